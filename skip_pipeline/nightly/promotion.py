"""The promotion rules: whether a challenger replaces the champion, and every reason.

Both models are scored on the same test sessions, on two questions: the last track, and the next track at any
position, which is every track of a session from those before it. The model that serves answers both, so a
challenger that answers the last track alone is refused. A session's split is a hash of its id and never
changes, so neither model was trained on a test session, whenever it was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.every_track import answers_every_track, is_track, mean_over
from skip_pipeline.metrics.intervals import Estimate, estimate_means, estimate_ratios
from skip_pipeline.metrics.scores import Slicing, correct, losses, need_both_outcomes
from skip_pipeline.settings import (
    CONFIDENCE,
    DECISION_THRESHOLD,
    PROMOTION_MARGIN,
    PROMOTION_SLICE_LIMITS,
    DataSource,
)

LAST_TRACK: Final = "last track"
NEXT_TRACK: Final = "next track at any position"
QUESTIONS: Final = (LAST_TRACK, NEXT_TRACK)


@dataclass(frozen=True)
class Candidate:
    """A model and its predictions."""

    name: str  # such as "version 3", for the reasons
    data_source: DataSource  # of its training data
    p_not_skipped: np.ndarray  # float (n, 20), of every track; all but the last NaN if it answers that alone
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
    next_track_difference: Estimate | None = None  # the same at any position
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
            "next_track_difference": asdict(self.next_track_difference)
            if self.next_track_difference
            else None,
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

    It always has to answer both questions, and to beat the baseline on each. It is compared with the champion
    unless there is none, the champion is unusable, or the champion was trained on synthetic data and the
    challenger on real data; with a champion that answers the last track alone, on that question. A challenger
    trained on synthetic data is refused unless the champion is known to be synthetic, too.

    Args:
        not_skipped: labels of the test sessions' tracks (n, 20), as in ``metrics.every_track``.
        challenger: the new model.
        champion: the model that serves; None if none does.
        last_outcome: p_not_skipped (n, 20) of the baseline that knows only the last outcome.
        slicings: of the test sessions; those named in ``slice_limits`` are compared, on the last track.
        margin: log-loss in nats by which the challenger may be worse, on either question.
        slice_limits: by name of the slicing, the largest fall of accuracy allowed in one of its slices.
    """
    label = not_skipped[:, -1]
    need_both_outcomes(label, "the test sessions")
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
    answers = answers_every_track(not_skipped, challenger.p_not_skipped)
    facts = f"{challenger.name} answers both questions"
    if not answers:
        facts = f"{challenger.name} answers only the last track; train the preset fast"
    reasons = [Reason("answers both questions", answers, facts)]
    questions = {question: _asked(not_skipped, question) for question in QUESTIONS[: 1 + answers]}
    reasons += [
        _beats_last_outcome(question, asked, not_skipped, challenger, last_outcome)
        for question, asked in questions.items()
    ]
    if comparable is None:
        return Decision((_without_comparison(challenger, champion), *reasons))
    differences: dict[str, Estimate] = {}
    for question, asked in questions.items():
        rule = f"not worse than the champion: {question}"
        if np.isnan(comparable.p_not_skipped[asked]).any():
            why = f"{question}: not compared, since {comparable.name} answers only the last track"
            reasons.append(Reason(rule, True, why))
            continue
        own, other = (losses(not_skipped, model.p_not_skipped) for model in (challenger, comparable))
        found = differences[question] = _mean(own - other, asked)
        facts = (
            f"{question}: log-loss of {challenger.name} minus {comparable.name}: {found.value:+.4f} "
            f"({CONFIDENCE:.0%} interval {found.low:+.4f} to {found.high:+.4f}; allowed {margin:+.4f})"
        )
        reasons.append(Reason(rule, found.high <= margin, facts))
    slices = _compare_slices(label, challenger, comparable, slicings, slice_limits)
    reasons += [
        _no_slice_falls(name, limit, [change for change in slices if change.slicing == name])
        for name, limit in slice_limits.items()
    ]
    return Decision(tuple(reasons), differences[LAST_TRACK], differences.get(NEXT_TRACK), slices)


def _compare_slices(
    label: np.ndarray,
    challenger: Candidate,
    champion: Candidate,
    slicings: Sequence[Slicing],
    slice_limits: Mapping[str, float],
) -> tuple[SliceChange, ...]:
    by_name = {slicing.name: slicing for slicing in slicings}
    if missing := [name for name in slice_limits if name not in by_name]:
        raise ContractError(
            f"there is no slicing {missing} of the test sessions; choose of {sorted(by_name)}"
        )
    gained, lost = (
        correct(label, model.p_not_skipped[:, -1], model.threshold).astype(np.float64)
        for model in (challenger, champion)
    )
    return tuple(
        change
        for name, limit in slice_limits.items()
        for change in _slice_changes(gained - lost, by_name[name], limit)
    )


def _asked(not_skipped: np.ndarray, question: str) -> np.ndarray:
    """The tracks that a question is about: bool (n, 20)."""
    asked = is_track(not_skipped)
    if question == LAST_TRACK:
        asked[:, :-1] = False
    return asked


def _mean(values: np.ndarray, asked: np.ndarray) -> Estimate:
    return estimate_ratios(*(side[:, None] for side in mean_over(values, asked)))[0]


def _beats_last_outcome(
    question: str,
    asked: np.ndarray,
    not_skipped: np.ndarray,
    challenger: Candidate,
    last_outcome: np.ndarray,
) -> Reason:
    own, baseline = (
        float(losses(not_skipped, p)[asked].mean()) for p in (challenger.p_not_skipped, last_outcome)
    )
    facts = f"{question}: log-loss {own:.4f}, and {baseline:.4f} by going by the last outcome"
    return Reason(f"beats the last outcome: {question}", own < baseline, facts)


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
