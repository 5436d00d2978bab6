"""A decision on a challenger: every reason, and what follows for the versions that serve."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.nightly.evidence import LAST_TRACK, NEXT_TRACK
from skip_pipeline.nightly.power import Power

Who = Literal["challenger", "champion", "best"]

_MAIN: Final = (
    "a champion",
    "a best version",
    "beats the last outcome:",
    "not worse than the champion:",
    "not worse than the best version:",
)
"""How the rules begin that explain a promotion; the others are the same in words every night."""


@dataclass(frozen=True)
class Reason:
    """One rule, whether the challenger passed it, and the facts in words."""

    rule: str
    passed: bool
    facts: str


@dataclass(frozen=True)
class SliceChange:
    """The change of accuracy on one slice of the gate sessions."""

    slicing: str  # its name
    label: str  # of the slice
    sessions: int
    # Challenger minus opponent, paired, as a share; the interval is for all slices together.
    accuracy: Estimate
    limit: float  # largest fall allowed

    @property
    def fallen(self) -> bool:
        """Whether accuracy falls by more than the limit, and significantly."""
        return -self.accuracy.value > self.limit and self.accuracy.high < 0

    def to_json(self) -> dict[str, Any]:
        """JSON values; the name of the slicing has the key "way"."""
        values = asdict(self)
        return {"way": values.pop("slicing")} | values | {"fallen": self.fallen}


@dataclass(frozen=True)
class Decision:
    """The reasons of a decision, one per rule that applied."""

    reasons: tuple[Reason, ...]
    opponent: str | None = None  # the champion, or what takes its place; None if nothing does
    differences: Mapping[str, Estimate] = field(default_factory=dict)  # of log-loss to it, by question
    newest_day: Mapping[str, Estimate] = field(default_factory=dict)  # the same on the newest day
    to_best: Mapping[str, Estimate] = field(default_factory=dict)  # the same to another best version
    slices: tuple[SliceChange, ...] = ()  # empty if not compared
    small_slices: int = 0  # that hold too few sessions to be judged
    power: Power | None = None  # None if not compared
    alarms: tuple[str, ...] = ()  # what somebody has to look at
    serves: Who = "champion"  # "best": the best version, since the champion cannot be used, or fails
    best: Who = "best"  # which is the best version from now on

    @property
    def promoted(self) -> bool:
        """Whether the challenger passed every rule."""
        return all(reason.passed for reason in self.reasons)

    @property
    def word(self) -> str:
        """``promoted`` or ``refused``."""
        return "promoted" if self.promoted else "refused"

    @property
    def summary(self) -> str:
        """The decision and its reasons in one sentence: rules that failed, or the main ones that passed."""
        decisive = [
            reason.facts
            for reason in self.reasons
            if reason.passed == self.promoted and (not reason.passed or reason.rule.startswith(_MAIN))
        ]
        return f"{'Promoted' if self.promoted else 'Refused'}: {'; '.join(decisive)}"

    @property
    def because(self) -> tuple[str, ...]:
        """The facts of the rules that failed; of a promotion those of the comparison with the champion.

        Without a champion to compare with, those of the comparison with the last outcome.
        """
        failed = [reason.facts for reason in self.reasons if not reason.passed]
        compared, beaten = (
            [reason.facts for reason in self.reasons if reason.rule.startswith(rule)]
            for rule in ("not worse than the champion:", "beats the last outcome:")
        )
        return tuple(failed or compared or beaten)

    @property
    def log_loss_difference(self) -> Estimate | None:
        """Challenger minus opponent on last tracks; None if not compared."""
        return self.differences.get(LAST_TRACK)

    @property
    def next_track_difference(self) -> Estimate | None:
        """The same at any position."""
        return self.differences.get(NEXT_TRACK)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        last, following = self.log_loss_difference, self.next_track_difference
        return {
            "promoted": self.promoted,
            "summary": self.summary,
            "because": list(self.because),
            "reasons": [asdict(reason) for reason in self.reasons],
            "log_loss_difference": asdict(last) if last else None,
            "next_track_difference": asdict(following) if following else None,
            "newest_day": {question: asdict(found) for question, found in self.newest_day.items()},
            "to_best_version": {question: asdict(found) for question, found in self.to_best.items()},
            "slices": [change.to_json() for change in self.slices],
            "small_slices": self.small_slices,
            "power": asdict(self.power) if self.power else None,
            "alarms": list(self.alarms),
        }
