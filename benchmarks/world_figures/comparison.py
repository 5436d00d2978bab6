"""The published figures beside the world's: which of them the world reaches, and why not the others.

A figure passes when the world's differs from the published one by no more than the tolerance of its kind.
One that fails has a reason where the published number itself is uncertain by more than the tolerance, or
where ``deviations`` knows one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.world_figures.deviations import known_reason
from benchmarks.world_figures.published import Alikeness, Figure, Group, Kind, figures


@dataclass(frozen=True)
class Tolerance:
    """How far the world may be off.

    Attributes:
        width: largest difference that passes, in ``unit``.
        unit: ``absolute``, ``spreads`` (published standard deviations) or ``relative`` (to the published).
        words: the same for a reader.
        reason: why this wide.
    """

    width: float
    unit: Literal["absolute", "spreads", "relative"]
    words: str
    reason: str


TOLERANCES: Final[dict[Kind, Tolerance]] = {
    "exact": Tolerance(0, "absolute", "equal", "the generator sets sizes and draws none"),
    "share": Tolerance(
        0.01,
        "absolute",
        "0.01",
        "twice the standard error (0.005) of a share of 10,000 sessions, the size of both sets",
    ),
    "conditional_share": Tolerance(
        0.02,
        "absolute",
        "0.02",
        "one position, hour or level holds a fraction of the rows; derived shares are rounded twice",
    ),
    "sequence": Tolerance(
        0.02,
        "absolute",
        "0.02",
        "a tenth of 0.22, by which successive tracks agree in skip_2 more often than by chance",
    ),
    "spread": Tolerance(
        0.05,
        "spreads",
        "5% of the published standard deviation",
        "a shift of that size is hardly visible in a histogram, whatever the unit of the column",
    ),
    "correlation": Tolerance(
        0.1,
        "absolute",
        "0.1",
        "a correlation of 0.1 is 1% of common variance",
    ),
    "count": Tolerance(
        0.1,
        "relative",
        "10% of the published count",
        "twice the Poisson error of the fifth most played track, 719 plays, is 7%; extremes vary more",
    ),
}
"""Tight where a model learns from the figures, shares and successions; wider for the tracks, on which skips
hardly depend."""

ROWS_PER_SESSION: Final = 16.788
"""Mean rows of a session of the mini set: 167,880 rows, 10,000 sessions."""

DESIGN_EFFECTS: Final[dict[Alikeness, float]] = {
    "independent": 1.0,
    "actions": 3.7,
    "constant": ROWS_PER_SESSION,
}
"""By how much the variance of a share grows because rows of one session are alike, 1 + 2 sum over k of
(1 - k/m) r(k), m rows of a session. For actions r is the published autocorrelation of skip_2, m = 17; where
a session has one value, r = 1 and the effect is m. Both are upper estimates for a rare level, of which a
session has fewer rows."""

STANDARD_ERRORS: Final = 2.0  # 95% of samples lie within

DECISIVE_SHARE: Final = 0.9
"""Share of the judged figures that the world has to reach."""


@dataclass(frozen=True)
class Record:
    """One figure, published and measured.

    Attributes:
        world: None when the measured set has no such figure.
        tolerance: largest difference that passes.
        passed: None for a figure that is not judged.
        reason: why it fails; empty when it passes, is not judged, or nothing explains it.
    """

    group: str
    key: str
    published: float
    world: float | None
    tolerance: float
    passed: bool | None
    reason: str = ""

    @property
    def difference(self) -> float:
        """World minus published; infinite when the world has no such figure."""
        return math.inf if self.world is None else self.world - self.published


@dataclass(frozen=True)
class Comparison:
    """Every published figure, judged where it is to be judged."""

    records: tuple[Record, ...]

    def of(self, *groups: str) -> Comparison:
        """The records of some groups."""
        return Comparison(tuple(record for record in self.records if record.group in groups))

    def without(self, kind: Kind) -> Comparison:
        """The records of all groups but those of a kind."""
        return self.of(*(name for name, group in figures().items() if group.kind != kind))

    @property
    def judged(self) -> tuple[Record, ...]:
        """Records that passed or failed."""
        return tuple(record for record in self.records if record.passed is not None)

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records that failed."""
        return tuple(record for record in self.records if record.passed is False)

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(record.passed is True for record in self.records)

    @property
    def share_passed(self) -> float:
        """Share of the judged records that passed; NaN when none is judged."""
        return self.passed / len(self.judged) if self.judged else math.nan

    def shares_passed(self) -> dict[str, float]:
        """The same for each group that is judged, in published order."""
        names = dict.fromkeys(record.group for record in self.judged)
        return {name: self.of(name).share_passed for name in names}

    @property
    def reached(self) -> bool:
        """Whether enough of the figures are reached."""
        return self.share_passed >= DECISIVE_SHARE


def compare(measured: Mapping[str, Mapping[str, float]]) -> Comparison:
    """Set measured figures beside the published ones.

    Args:
        measured: what ``measures.measure`` gives.
    """
    return Comparison(
        tuple(
            judge(group, figure, _world(group, figure.key, measured.get(name, {})))
            for name, group in figures().items()
            for figure in group.figures.values()
        )
    )


def _world(group: Group, key: str, measured: Mapping[str, float]) -> float | None:
    """The measured counterpart; a level that never occurs has the share 0, but no rate and no correlation."""
    return measured.get(key, 0.0 if measured and group.kind == "share" else None)


def judge(group: Group, figure: Figure, world: float | None) -> Record:
    """Compare one figure."""
    tolerance = tolerance_of(group, figure)
    passed = world is not None and _within(abs(world - figure.value), tolerance)
    return Record(
        group=group.name,
        key=figure.key,
        published=figure.value,
        world=world,
        tolerance=tolerance,
        passed=passed if group.judged else None,
        reason="" if passed or not group.judged else reason_for(group, figure, world),
    )


def tolerance_of(group: Group, figure: Figure) -> float:
    """Largest difference that passes, in the figure's own unit."""
    tolerance = TOLERANCES[group.kind]
    if tolerance.unit == "relative":
        return tolerance.width * abs(figure.value)
    if tolerance.unit == "spreads":
        if figure.spread is None:
            raise ValueError(f"{group.name}, {figure.key}: published.json names no spread for it")
        return tolerance.width * figure.spread
    return tolerance.width


def sampling_error(figure: Figure) -> float:
    """Twice the standard error of a published share, by its rows; 0 where these are not known.

    The share is moved towards one half by two rows of each sort (Agresti and Coull, 1998), else shares of
    0 and 1 would have no error.
    """
    if figure.rows is None:
        return 0.0
    rows = figure.rows + 4
    share = (figure.value * figure.rows + 2) / rows
    variance = share * (1 - share) / rows * DESIGN_EFFECTS[figure.alikeness]
    return STANDARD_ERRORS * math.sqrt(max(variance, 0.0))


def reason_for(group: Group, figure: Figure, world: float | None) -> str:
    """Why a figure fails, or the empty string.

    Few rows explain a difference no larger than that of two such samples, whose error is sqrt(2) times as
    large as that of one.
    """
    if known := known_reason(group.name, figure.key):
        return known
    if world is None:
        return ""
    error = sampling_error(figure) if group.kind in ("share", "conditional_share", "sequence") else 0.0
    if error > tolerance_of(group, figure) and abs(world - figure.value) <= math.sqrt(2) * error:
        return f"{figure.rows:,} rows: sampling error {error:.3f}"
    return ""


def unexplained(records: Iterable[Record]) -> tuple[Record, ...]:
    """Failed records without a reason."""
    return tuple(record for record in records if record.passed is False and not record.reason)


def _within(difference: float, tolerance: float) -> bool:
    # A difference of decimals that is the tolerance exactly must not fail by the last bit.
    return difference <= tolerance or math.isclose(difference, tolerance, rel_tol=1e-9)
