"""Changes that begin on a given day, for monitoring to find.

Each kind changes one thing that a team would want to hear of the same night; what it changes is stated
beside it, how much in ``constants.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from skip_pipeline.errors import RefusedError
from skip_pipeline.world.extent import Extent

BoolArray = npt.NDArray[np.bool_]


class DriftKind(StrEnum):
    """What changes: the label, the features, the shares of a category, or the levels of one."""

    skip_rate = "skip_rate"
    """Listeners have less patience with every track."""
    track_features = "track_features"
    """A part of the plays goes to the most organic tracks of the catalogue."""
    context_type = "context_type"
    """Radio is chosen more often, at the start and after switches."""
    unknown_level = "unknown_level"
    """A part of the clicked tracks starts with ``uriopen``, which only the full data have."""


@dataclass(frozen=True)
class Drift:
    """One change, from ``since`` on."""

    kind: DriftKind
    since: date

    @classmethod
    def parse(cls, text: str) -> Drift:
        """Read ``kind@YYYY-MM-DD``.

        Raises:
            RefusedError: another spelling, or a kind that there is not.
        """
        kind, _, since = text.partition("@")
        try:
            # Other spellings of ISO 8601 are turned away, for dates are compared by eye with file names.
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
        """Which of the sessions come after a change of this kind: bool (len(sessions),)."""
        days = self.extent.day_of(sessions)
        first = self.extent.date_of(0)
        begun = [days >= (drift.since - first).days for drift in self.changes if drift.kind is kind]
        return np.logical_or.reduce(begun) if begun else np.zeros(len(days), dtype=np.bool_)
