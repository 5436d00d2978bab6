"""The promotion rules: whether a challenger replaces the champion, and every reason.

Both models are scored on the same test sessions. A session's split is a hash of its id and never changes, so
neither model was trained on a test session, whenever it was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.intervals import Estimate, estimate_means
from skip_pipeline.metrics.scores import Slicing, correct, losses, need_both_outcomes
from skip_pipeline.settings import (
    CONFIDENCE,
    DECISION_THRESHOLD,
    PROMOTION_MARGIN,
    PROMOTION_SLICE_LIMITS,
    DataSource,
)


@dataclass(frozen=True)
class Candidate:
    """A model and its predictions."""

    name: str  # such as "version 3", for the reasons
    data_source: DataSource  # of its training data
    p_not_skipped: np.ndarray  # float (n,), of the test sessions
    threshold: float = DECISION_THRESHOLD  # it predicts "not skipped" from this probability on


@dataclass(frozen=True)
class Unusable:
    """A champion that cannot be loaded, or takes other inputs than today's models."""

    name: str  # such as "version 3"
    data_source: DataSource | None  # of its training data; None if unknown
    why: str


@dataclass(frozen=True)
class Reason:
    """One rule, whether the challenger passed it, and the facts in words."""

    rule: str
    passed: bool
    facts: str


@dataclass(frozen=True)
class SliceChange:
    """The change of accuracy on one slice of the test sessions."""

    slicing: str  # its name
    label: str  # of the slice
    sessions: int  # at least 1
    accuracy: Estimate  # challenger minus champion, paired, as a share
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
    log_loss_difference: Estimate | None = None  # challenger minus champion, paired; None if not compared
    slices: tuple[SliceChange, ...] = ()  # empty if not compared

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
        """The decision and its reasons in one sentence."""
        decisive = [reason.facts for reason in self.reasons if reason.passed == self.promoted]
        return f"{'Promoted' if self.promoted else 'Refused'}: {'; '.join(decisive)}"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "promoted": self.promoted,
            "summary": self.summary,
            "reasons": [asdict(reason) for reason in self.reasons],
            "log_loss_difference": asdict(self.log_loss_difference) if self.log_loss_difference else None,
            "slices": [change.to_json() for change in self.slices],
        }


def decide(
    not_skipped: np.ndarray,
    challenger: Candidate,
    champion: Candidate | Unusable | None,
    *,
    last_outcome: np.ndarray,
    slicings: Sequence[Slicing] = (),
    margin: float = PROMOTION_MARGIN,
    slice_limits: Mapping[str, float] = PROMOTION_SLICE_LIMITS,
) -> Decision:
    """Judge a challenger.

    It always has to beat the baseline. It is compared with the champion unless there is none, the champion is
    unusable, or the champion was trained on synthetic data and the challenger on real data. A challenger
    trained on synthetic data is refused unless the champion is known to be synthetic, too.

    Args:
        not_skipped: labels of the test sessions (n,), 0 or 1.
        challenger: the new model.
        champion: the model that serves; None if none does.
        last_outcome: p_not_skipped (n,) of the baseline that knows only the last outcome.
        slicings: of the test sessions; those named in ``slice_limits`` are compared.
        margin: log-loss in nats by which the challenger may be worse.
        slice_limits: by name of the slicing, the largest fall of accuracy allowed in one of its slices.
    """
    need_both_outcomes(not_skipped, "the test sessions")
    comparable = (
        champion
        if isinstance(champion, Candidate) and champion.data_source == challenger.data_source
        else None
    )
    scored = {challenger.name: challenger.p_not_skipped, "the baseline": last_outcome}
    if comparable:
        scored[comparable.name] = comparable.p_not_skipped
    for name, p in scored.items():
        if p.shape != not_skipped.shape:
            raise ContractError(
                f"{name} has probabilities of shape {p.shape} for labels of shape {not_skipped.shape}; "
                "score every model on the same test sessions"
            )
    own, baseline = (losses(not_skipped, p) for p in (challenger.p_not_skipped, last_outcome))
    facts = f"log-loss {own.mean():.4f}, and {baseline.mean():.4f} by going by the last outcome"
    beats_baseline = Reason("beats the last outcome", bool(own.mean() < baseline.mean()), facts)
    if comparable is None:
        return Decision((_without_comparison(challenger, champion), beats_baseline))

    difference = estimate_means((own - losses(not_skipped, comparable.p_not_skipped))[:, None])[0]
    not_worse = Reason(
        "not worse than the champion",
        difference.high <= margin,
        f"log-loss of {challenger.name} minus {comparable.name}: {difference.value:+.4f} ({CONFIDENCE:.0%} "
        f"interval {difference.low:+.4f} to {difference.high:+.4f}; allowed {margin:+.4f})",
    )
    reasons = [beats_baseline, not_worse]
    by_name = {slicing.name: slicing for slicing in slicings}
    if missing := [name for name in slice_limits if name not in by_name]:
        raise ContractError(
            f"there is no slicing {missing} of the test sessions; choose of {sorted(by_name)}"
        )
    gained, lost = (
        correct(not_skipped, model.p_not_skipped, model.threshold).astype(np.float64)
        for model in (challenger, comparable)
    )
    slices: list[SliceChange] = []
    for name, limit in slice_limits.items():
        changes = _slice_changes(gained - lost, by_name[name], limit)
        reasons.append(_no_slice_falls(name, limit, changes))
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


def _slice_changes(change: np.ndarray, slicing: Slicing, limit: float) -> list[SliceChange]:
    """The change of accuracy, given by session, on each slice that has sessions."""
    changes = []
    for i, label in enumerate(slicing.labels):
        within = change[slicing.slice_of == i]
        if len(within):
            accuracy = estimate_means(within[:, None])[0]
            changes.append(SliceChange(slicing.name, label, len(within), accuracy, limit))
    return changes


def _no_slice_falls(name: str, limit: float, changes: Sequence[SliceChange]) -> Reason:
    fallen = [f"{c.label} by {-c.accuracy.value:.1%} of {c.sessions} sessions" for c in changes if c.fallen]
    found = f"for {', '.join(fallen)} (allowed {limit:.0%})" if fallen else f"nowhere beyond {limit:.0%}"
    return Reason(f"no fall in a slice of {name}", not fallen, f"accuracy by {name} falls {found}")
