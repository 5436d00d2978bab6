"""Changes of a world that begin on a given day, for tests of monitoring; ``constants.py`` has their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from skip_pipeline.errors import RefusedError


class DriftKind(StrEnum):
    """What changes."""

    skip_rate = "skip_rate"  # listeners have less patience with every track
    track_features = "track_features"  # a share of the plays moves to the most organic tracks
    context_type = "context_type"  # radio is chosen more often, at the start and after switches
    unknown_level = "unknown_level"  # a share of the clicked tracks starts with a level of the full data only


@dataclass(frozen=True)
class Drift:
    """One change, from ``since`` on."""

    kind: DriftKind
    since: date

    @classmethod
    def parse(cls, text: str) -> Drift:
        """Read ``kind@YYYY-MM-DD``; raise RefusedError for another spelling or an unknown kind."""
        kind, _, since = text.partition("@")
        try:
            # One spelling of ISO 8601 only, the one of the file names.
            return cls(DriftKind(kind), datetime.strptime(since, "%Y-%m-%d").date())
        except ValueError as error:
            kinds = ", ".join(DriftKind)
            raise RefusedError(
                f"drift is {text!r}, but must be a kind and its first date, such as skip_rate@2018-07-17; "
                f"kinds are {kinds}"
            ) from error

    def __str__(self) -> str:
        return f"{self.kind}@{self.since.isoformat()}"
