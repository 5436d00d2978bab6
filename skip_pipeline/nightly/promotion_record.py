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
NO_VERSION: Final = "none"  # MLflow takes no empty tag
LONGEST_TAG: Final = 2_000  # characters: a whole message of ours; MLflow cuts tags at 8,000


@dataclass(frozen=True)
class JudgedVersion:
    """A registered version; strings are empty if unknown or if it was not judged.

    Attributes:
        version: its number.
        registered: when, UTC.
        data_source: of its training data.
        decision: ``promoted`` or ``refused``.
        opponent: version that it was compared with.
        reasons: in words.
        aliases: that point to it now.
    """

    version: str
    registered: datetime
    data_source: str
    decision: str
    opponent: str
    reasons: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Promotion:
    """A decision and the versions it concerns.

    Attributes:
        decision: with its reasons.
        challenger: version that was judged.
        opponent: version that served at that time; None if none did.
        champion: version that serves now.
        test_sessions: number on which both were scored.
        data_source: of those sessions.
        bundles: their fingerprint.
        again: whether this challenger had been judged before, so that no alias was moved.
    """

    decision: Decision
    challenger: str
    opponent: str | None
    champion: str | None
    test_sessions: int
    data_source: DataSource
    bundles: str
    again: bool

    def to_json(self) -> dict[str, Any]:
        """JSON values: the decision's, and the versions."""
        return self.decision.to_json() | {
            "challenger": self.challenger,
            "opponent": self.opponent,
            "champion": self.champion,
            "test_sessions": self.test_sessions,
            "data_source": self.data_source,
            "bundles": self.bundles,
            "decided_before": self.again,
        }
