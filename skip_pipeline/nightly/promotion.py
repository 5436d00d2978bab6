"""Whether a challenger takes the champion's place, and every reason for it.

Labels and probabilities in, a decision out; nothing here knows a registry. Both models are scored on the
same test sessions. A session's split is a hash of its id and never changes, so neither has learnt from them,
whenever it was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.intervals import Estimate, estimate_means
from skip_pipeline.metrics.scores import losses, need_both_outcomes
from skip_pipeline.settings import (
    CONFIDENCE,
    DECISION_THRESHOLD,
    PROMOTION_MARGIN,
    PROMOTION_SLICE_LIMITS,
    DataSource,
)


class Parting(Protocol):
    """One way to part the test sessions (``report.slices.Slicing``)."""

    @property
    def name(self) -> str:
        """Identifies it in the settings."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the slices."""
        ...

    @property
    def slice_of(self) -> np.ndarray:
        """Index into ``labels`` of each session, int (n,)."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A model and what it says of the test sessions.

    Attributes:
        name: such as ``version 3``, for the reasons.
        data_source: of the data it was trained on.
        p_not_skipped: float (n,).
        threshold: probability from which on it predicts "not skipped".
    """

    name: str
    data_source: DataSource
    p_not_skipped: np.ndarray
    threshold: float = DECISION_THRESHOLD


@dataclass(frozen=True)
class Unusable:
    """A champion that cannot be compared: it cannot be loaded, or takes other inputs than today's models.

    Attributes:
        name: such as ``version 3``.
        data_source: of the data it was trained on, as far as it is known.
        why: in words.
    """

    name: str
    data_source: DataSource | None
    why: str


@dataclass(frozen=True)
class Reason:
    """One rule, whether the challenger passed it, and the facts."""

    rule: str
    passed: bool
    facts: str


@dataclass(frozen=True)
class SliceChange:
    """What changing models does to one slice of the test sessions.

    Attributes:
        way: name of the slicing.
        label: of the slice.
        sessions: in it, at least 1.
        accuracy: challenger minus champion, paired, as a share.
        limit: by which it may fall.
    """

    way: str
    label: str
    sessions: int
    accuracy: Estimate
    limit: float

    @property
    def fallen(self) -> bool:
        """Whether it falls by more than that, and beyond chance."""
        return -self.accuracy.value > self.limit and self.accuracy.high < 0


@dataclass(frozen=True)
class Decision:
    """Whether the challenger is promoted: when it passed every rule that applied.

    Attributes:
        log_loss_difference: challenger minus champion, paired; None where they were not compared.
        slices: that were looked at; none where they were not compared.
    """

    reasons: tuple[Reason, ...]
    log_loss_difference: Estimate | None = None
    slices: tuple[SliceChange, ...] = ()

    @property
    def promoted(self) -> bool:
        """Whether all rules were passed."""
        return all(reason.passed for reason in self.reasons)

    @property
    def word(self) -> str:
        """``promoted`` or ``refused``."""
        return "promoted" if self.promoted else "refused"

    @property
    def summary(self) -> str:
        """One sentence: what was decided, and why."""
        failed = [reason.facts for reason in self.reasons if not reason.passed]
        if failed:
            return f"Refused: {'; '.join(failed)}"
        return f"Promoted: {'; '.join(reason.facts for reason in self.reasons)}"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "promoted": self.promoted,
            "summary": self.summary,
            "reasons": [asdict(reason) for reason in self.reasons],
            "log_loss_difference": asdict(self.log_loss_difference) if self.log_loss_difference else None,
            "slices": [asdict(part) | {"fallen": part.fallen} for part in self.slices],
        }


def decide(
    not_skipped: np.ndarray,
    challenger: Candidate,
    champion: Candidate | Unusable | None,
    *,
    last_outcome: np.ndarray,
    slicings: Sequence[Parting] = (),
    margin: float = PROMOTION_MARGIN,
    slice_limits: Mapping[str, float] = PROMOTION_SLICE_LIMITS,
) -> Decision:
    """Judge a challenger.

    Without a champion to compare with (there is none, it cannot be used, or it was trained on synthetic data
    and the challenger on real) the challenger has to beat the baseline. A challenger trained on synthetic
    data follows no champion but one known to be synthetic, too.

    Args:
        not_skipped: labels of the test sessions (n,), 0 or 1.
        challenger: the new model.
        champion: the one that serves; None if none does.
        last_outcome: p_not_skipped (n,) of the baseline that goes by the last outcome.
        slicings: ways to part the sessions; those that ``slice_limits`` names are looked at.
        margin: log-loss in nats by which the challenger may be worse.
        slice_limits: by name of the slicing, by how much the accuracy of one of its slices may fall.

    Raises:
        ContractError: the numbers of labels and probabilities differ, or a named slicing is not given.
        TrainingError: all test sessions end alike.
    """
    need_both_outcomes(not_skipped, "the test sessions")
    compared = isinstance(champion, Candidate) and champion.data_source == challenger.data_source
    for name, p in (
        (challenger.name, challenger.p_not_skipped),
        ("the baseline", last_outcome),
        *([(champion.name, champion.p_not_skipped)] if isinstance(champion, Candidate) and compared else []),
    ):
        if p.shape != not_skipped.shape:
            raise ContractError(
                f"{name} has probabilities of shape {p.shape} for labels of shape {not_skipped.shape}; "
                "score every model on the same test sessions"
            )
    reasons = [_beats_baseline(not_skipped, challenger, last_outcome)]
    if not isinstance(champion, Candidate) or not compared:
        return Decision((_without_comparison(challenger, champion), *reasons))
    difference = _difference(not_skipped, challenger, champion)
    reasons.append(_not_worse(difference, challenger, champion, margin))
    ways = {way.name: way for way in slicings}
    if missing := [name for name in slice_limits if name not in ways]:
        raise ContractError(f"there is no slicing {missing} of the test sessions; choose of {sorted(ways)}")
    slices: list[SliceChange] = []
    for name, limit in slice_limits.items():
        changes = _slice_changes(not_skipped, challenger, champion, ways[name], limit)
        reasons.append(_slices_hold(name, limit, changes))
        slices += changes
    return Decision(tuple(reasons), difference, tuple(slices))


def _without_comparison(challenger: Candidate, champion: Candidate | Unusable | None) -> Reason:
    rule = "a champion to compare with"
    if champion is None:
        return Reason(rule, True, "there is no champion yet")
    if challenger.data_source == "synthetic" and champion.data_source != "synthetic":
        source = f"on {champion.data_source} data" if champion.data_source else "on data of unknown source"
        facts = f"the champion, {champion.name}, was trained {source}, {challenger.name} on synthetic data"
        return Reason(rule, False, facts)
    if isinstance(champion, Unusable):
        return Reason(rule, True, f"the champion, {champion.name}, cannot be used: {champion.why}")
    facts = f"the champion, {champion.name}, was trained on synthetic data, and is no measure for real data"
    return Reason(rule, True, facts)


def _beats_baseline(not_skipped: np.ndarray, challenger: Candidate, last_outcome: np.ndarray) -> Reason:
    own, baseline = (float(losses(not_skipped, p).mean()) for p in (challenger.p_not_skipped, last_outcome))
    return Reason(
        "beats the last outcome",
        own < baseline,
        f"log-loss {own:.4f}, and {baseline:.4f} by going by the last outcome",
    )


def _difference(not_skipped: np.ndarray, challenger: Candidate, champion: Candidate) -> Estimate:
    rise = losses(not_skipped, challenger.p_not_skipped) - losses(not_skipped, champion.p_not_skipped)
    return estimate_means(rise[:, None])[0]


def _not_worse(difference: Estimate, challenger: Candidate, champion: Candidate, margin: float) -> Reason:
    return Reason(
        "not worse than the champion",
        difference.high <= margin,
        f"log-loss of {challenger.name} minus {champion.name}: {difference.value:+.4f} "
        f"({CONFIDENCE:.0%} interval {difference.low:+.4f} to {difference.high:+.4f}; allowed {margin:+.4f})",
    )


def _slice_changes(
    not_skipped: np.ndarray, challenger: Candidate, champion: Candidate, way: Parting, limit: float
) -> list[SliceChange]:
    """Each slice that has sessions."""
    right = [
        ((model.p_not_skipped >= model.threshold) == not_skipped).astype(np.float64)
        for model in (challenger, champion)
    ]
    change = right[0] - right[1]
    found = []
    for i, label in enumerate(way.labels):
        inside = change[way.slice_of == i]
        if len(inside):
            found.append(SliceChange(way.name, label, len(inside), estimate_means(inside[:, None])[0], limit))
    return found


def _slices_hold(name: str, limit: float, changes: Sequence[SliceChange]) -> Reason:
    """No slice's accuracy falls by more than the limit, where the fall is beyond chance."""
    fallen = [f"{c.label} by {-c.accuracy.value:.1%} of {c.sessions} sessions" for c in changes if c.fallen]
    return Reason(
        f"no fall in a slice of {name}",
        not fallen,
        f"accuracy by {name} "
        + (
            f"falls for {', '.join(fallen)} (allowed {limit:.0%})"
            if fallen
            else f"falls nowhere beyond {limit:.0%}"
        ),
    )
