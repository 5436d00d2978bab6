"""Changes of a world that begin on a given day, for tests of monitoring; ``constants.py`` has their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

import numpy as np

from skip_pipeline.errors import RefusedError
from skip_pipeline.world.arrays import BoolArray
from skip_pipeline.world.extent import Extent


class DriftKind(StrEnum):
    """What changes."""

    skip_rate = "skip_rate"
    """Listeners have less patience with every track."""
    track_features = "track_features"
    """A share of the plays moves to the most organic tracks of the catalogue."""
    context_type = "context_type"
    """Radio is chosen more often, at the start and after switches."""
    unknown_level = "unknown_level"
    """A share of the clicked tracks starts with ``uriopen``, a level that only the full data have."""


@dataclass(frozen=True)
class Drift:
    """One change, from ``since`` on."""

    kind: DriftKind
    since: date

    @classmethod
    def parse(cls, text: str) -> Drift:
        """Read ``kind@YYYY-MM-DD``.

        Raises:
            RefusedError: another spelling or an unknown kind.
        """
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


@dataclass(frozen=True)
class Drifts:
    """The changes of one world.

    Raises:
        RefusedError: a change that begins outside the world's days.
    """

    changes: Sequence[Drift]
    extent: Extent

    def __post_init__(self) -> None:
        first, last = self.extent.date_of(0), self.extent.date_of(self.extent.days - 1)
        for drift in self.changes:
            if not first <= drift.since <= last:
                raise RefusedError(
                    f"drift {drift} begins outside the days of the world, {first} to {last}; choose a date "
                    "between them or more days"
                )

    def holds(self, kind: DriftKind, sessions: range) -> BoolArray:
        """Whether a change of this kind has begun by the day of each session: bool (len(sessions),)."""
        days = self.extent.day_of(sessions)
        first = self.extent.date_of(0)
        begun = [days >= (drift.since - first).days for drift in self.changes if drift.kind is kind]
        return np.logical_or.reduce(begun) if begun else np.zeros(len(days), dtype=np.bool_)
