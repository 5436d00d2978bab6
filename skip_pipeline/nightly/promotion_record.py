"""Records of promotion decisions: of this night, for its files, and of every version, from the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from skip_pipeline.settings import DataSource

if TYPE_CHECKING:  # it imports scikit-learn, which the commands that need only a file's name do without
    from skip_pipeline.nightly.decision import Decision

PROMOTION_FILE: Final = "promotion.json"
PROMOTION_PAGE: Final = "promotion.html"

CHECKS: Final = {
    "nothing_to_look_at": "A model beats the last outcome on the newest day, and the versions that the "
    "challenger is compared with can be loaded.",
    "gate_can_judge": "The gate sessions are enough to tell a worse model from one that is as good.",
}
"""Names and descriptions of the checks of a decision: no alarms, and no warnings of its power."""

CHAMPION: Final = "champion"
"""Alias of the version that is served."""

CHALLENGER: Final = "challenger"
"""Alias of the version that was judged last."""

PREVIOUS_CHAMPION: Final = "previous_champion"
"""Alias of the version that served before the champion; a rollback makes it the champion again."""

BEST: Final = "best_version"
"""Alias of the best version so far, which every challenger is compared with. A promotion moves it if the
version is significantly better, a rollback if it withdraws that version; a version that cannot be compared
with any more gives it up to the champion."""

OPPONENT: Final = "promotion.opponent"
"""Tag of a version: the version it was judged against. Written before anything is decided, so that judging
again after a crash, or after a rollback, compares the same two."""

BEST_OPPONENT: Final = "promotion.best_version"
"""Tag of a version: the best version at that time, which it was judged against, too."""

DECISION: Final = "promotion.decision"
"""Tag of a version: ``promoted`` or ``refused``. Written last, when the aliases have been moved."""

REASONS: Final = "promotion.reasons"
DATA_SOURCE: Final = "data_source"
FINGERPRINT: Final = "fingerprint"
KIND: Final = "kind"  # of what answers
KINDS_IN_WORDS: Final = {
    "network": "the network",
    "logistic_regression": "logistic regression",
    "gradient_boosted_trees": "gradient-boosted trees",
    "stack": "a stack of network, regression and trees",
}
NO_VERSION: Final = "none"  # MLflow takes no empty tag
LONGEST_TAG: Final = 2_000  # characters: a whole message of ours; MLflow cuts tags at 8,000


@dataclass(frozen=True)
class JudgedVersion:
    """A registered version; strings are empty if unknown or if it was not judged."""

    version: str
    registered: datetime  # UTC
    data_source: str
    decision: str  # "promoted" or "refused"
    opponent: str  # version that it was compared with
    reasons: str
    aliases: tuple[str, ...]  # that point to it now
    kind: str = ""  # of what answers, see ``KIND``


@dataclass(frozen=True)
class Promotion:
    """A decision and the versions it concerns."""

    decision: Decision
    challenger: str  # version that was judged
    opponent: str | None  # version that served at that time
    best: str | None  # best version at that time; the opponent if none was known
    champion: str | None  # version that serves now
    best_now: str | None  # best version now
    gate_sessions: int  # on which all were scored
    newest_day: str  # YYYY-MM-DD; empty if no session log has a plausible date
    newest_sessions: int  # gate sessions of that day
    data_source: DataSource
    bundles: str  # fingerprint
    again: bool  # whether this challenger had been judged before, so that no alias was moved

    @property
    def alarms(self) -> tuple[str, ...]:
        """What somebody has to look at."""
        return self.decision.alarms

    def to_json(self) -> dict[str, Any]:
        """JSON values: the decision's, and the versions."""
        names = (
            *("challenger", "opponent", "champion", "gate_sessions", "newest_sessions", "data_source"),
            "bundles",
        )
        versions = {name: getattr(self, name) for name in names}
        best = {"judged_against": self.best, "now": self.best_now}
        found = self.decision.to_json()
        found["best_version"] = best | {"log_loss_difference": found.pop("to_best_version")}
        found["newest_day"] = {"day": self.newest_day, "log_loss_difference": found.pop("newest_day")}
        return found | versions | {"decided_before": self.again}
