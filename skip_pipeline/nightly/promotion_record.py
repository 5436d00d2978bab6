"""Records of promotion decisions: of this night, for its files, and of every version, from the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from skip_pipeline.settings import DataSource

if TYPE_CHECKING:  # it imports scikit-learn, which the commands that need only a file's name do without
    from skip_pipeline.nightly.promotion import Decision

PROMOTION_FILE: Final = "promotion.json"
PROMOTION_PAGE: Final = "promotion.html"

CHAMPION: Final = "champion"
"""Alias of the version that is served."""

CHALLENGER: Final = "challenger"
"""Alias of the version that was judged last."""

PREVIOUS_CHAMPION: Final = "previous_champion"
"""Alias of the version that served before the champion; a rollback makes it the champion again."""

OPPONENT: Final = "promotion.opponent"
"""Tag of a version: the version it was judged against. Written before anything is decided, so that judging
again after a crash, or after a rollback, compares the same two."""

DECISION: Final = "promotion.decision"
"""Tag of a version: ``promoted`` or ``refused``. Written last, when the aliases have been moved."""

REASONS: Final = "promotion.reasons"
DATA_SOURCE: Final = "data_source"
FINGERPRINT: Final = "fingerprint"
KIND: Final = "kind"  # of what answers: network, logistic_regression, gradient_boosted_trees or stack
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
    champion: str | None  # version that serves now
    test_sessions: int  # on which both were scored
    data_source: DataSource
    bundles: str  # fingerprint
    again: bool  # whether this challenger had been judged before, so that no alias was moved

    def to_json(self) -> dict[str, Any]:
        """JSON values: the decision's, and the versions."""
        names = ("challenger", "opponent", "champion", "test_sessions", "data_source", "bundles")
        versions = {name: getattr(self, name) for name in names}
        return self.decision.to_json() | versions | {"decided_before": self.again}
