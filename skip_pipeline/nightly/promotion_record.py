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
