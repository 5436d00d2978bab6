"""What the gate measures: a challenger against its opponents, paired by session, on the same gate sessions.

Two questions are asked: the last track, and the next track at any position, which is every track of a session
from those before it. A session's split is a hash of its id and never changes, so no version was trained on a
gate session, whenever it was trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.every_track import answers_every_track, is_track, mean_over
from skip_pipeline.metrics.intervals import Estimate, ratio_with_error
from skip_pipeline.metrics.scores import Slicing, correct, losses, need_both_outcomes
from skip_pipeline.nightly.limits import GATE_CONFIDENCE, LEAST_GATE_SESSIONS, PROMOTION_SLICE_LIMITS
from skip_pipeline.settings import DECISION_THRESHOLD, DataSource

LAST_TRACK: Final = "last track"
NEXT_TRACK: Final = "next track at any position"
QUESTIONS: Final = (LAST_TRACK, NEXT_TRACK)

_LAST_OUTCOME: Final = "the last outcome"
NORMAL: Final = NormalDist()

# --- What is compared ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A model and its predictions."""

    name: str  # such as "version 3", for the reasons
    data_source: DataSource  # of its training data
    p_not_skipped: np.ndarray  # float (n, 20), of every track; all but the last NaN if it answers that alone
    threshold: float = DECISION_THRESHOLD  # it predicts "not skipped" from this probability on


@dataclass(frozen=True)
class Unusable:
    """A version that cannot be loaded, or takes other inputs than today's models."""

    name: str  # such as "version 3"
    data_source: DataSource | None  # of its training data; None if unknown
    why: str


@dataclass(frozen=True)
class Gate:
    """The gate sessions."""

    not_skipped: np.ndarray  # labels of their tracks (n, 20), as in ``metrics.every_track``
    last_outcome: np.ndarray  # p_not_skipped (n, 20) of the baseline that knows only the last outcome
    rivals: Mapping[str, np.ndarray] = field(default_factory=dict)  # p_not_skipped (n, 20) of other baselines
    slicings: Sequence[Slicing] = ()  # of the sessions
    newest_day: str = ""  # YYYY-MM-DD; empty if no shard has a plausible date
    is_newest: np.ndarray | None = None  # bool (n,), the sessions of that day; None for none


# --- What is found ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Mean of a challenger's score minus the mean of an opponent's, paired by session."""

    value: float
    error: float  # standard error

    def interval(self, confidence: float = GATE_CONFIDENCE) -> Estimate:
        """With a two-sided normal interval.

        >>> Difference(0.5, 0.1).interval(0.95)
        Estimate(value=0.5, low=0.3040036015459946, high=0.6959963984540054)
        """
        reach = quantile(confidence) * self.error
        return Estimate(self.value, self.value - reach, self.value + reach)


def quantile(confidence: float) -> float:
    """Half the width, in standard errors, of a two-sided normal interval.

    >>> round(quantile(0.95), 2)
    1.96
    """
    return NORMAL.inv_cdf((1 + confidence) / 2)


@dataclass(frozen=True)
class Absent:
    """Why a challenger is not compared with the champion or with the best version."""

    why: str
    refuses: bool = False  # whether the challenger is refused for it
    alarm: bool = False  # whether somebody has to look at it


@dataclass(frozen=True)
class Comparison:
    """Differences of log-loss to one opponent, by question; of those that the opponent answers."""

    opponent: str  # its name
    pool: Mapping[str, Difference]  # on all gate sessions
    newest_day: Mapping[str, Difference] = field(default_factory=dict)  # empty: not judged


@dataclass(frozen=True)
class Losses:
    """Mean log-loss on the same sessions."""

    challenger: float
    last_outcome: float
    opponent: float | None  # None if there is none, or if it does not answer the question


@dataclass(frozen=True)
class SliceDifference:
    """The change of accuracy of the last track on one slice of the gate sessions."""

    slicing: str  # its name
    label: str  # of the slice
    sessions: int  # at least 1
    accuracy: Difference  # challenger minus opponent, as a share
    limit: float  # largest fall allowed


@dataclass(frozen=True)
class Evidence:
    """Everything that a decision is made from."""

    challenger: str  # its name
    answers_every_track: bool
    sessions: int  # of the gate
    losses: Mapping[str, Losses]  # by question
    champion: Comparison | Absent
    best: Comparison | Absent | None = None  # None if the champion is the best version
    setback: Mapping[str, Difference] = field(default_factory=dict)
    """Log-loss of the champion minus the best version's on the newest day, by question; empty: not judged."""
    newest_day: str = ""
    newest_sessions: int = 0  # of the newest day
    newest_losses: Mapping[str, Losses] = field(default_factory=dict)  # by question; empty: not judged
    rivals: Mapping[str, Comparison] = field(default_factory=dict)  # by question, the best rival on it
    slices: tuple[SliceDifference, ...] = ()  # those that hold sessions

    @property
    def opponent(self) -> Comparison | None:
        """The champion; the best version, if the champion cannot be compared with; else None."""
        found = [c for c in (self.champion, self.best) if isinstance(c, Comparison)]
        return found[0] if found else None

    @property
    def reference(self) -> Comparison | None:
        """The best version: the champion, if it is that or if the best version cannot be compared with."""
        return self.best if isinstance(self.best, Comparison) else self.opponent

    @property
    def judged_slices(self) -> tuple[SliceDifference, ...]:
        """The slices that hold enough sessions."""
        return tuple(part for part in self.slices if part.sessions >= LEAST_GATE_SESSIONS)

    @property
    def slice_confidence(self) -> float:
        """Of the interval of one slice, so that all together have ``GATE_CONFIDENCE`` (Bonferroni)."""
        return 1 - (1 - GATE_CONFIDENCE) / max(len(self.judged_slices), 1)


# --- Measuring ----------------------------------------------------------------------------------------


def measure(
    gate: Gate,
    challenger: Candidate,
    champion: Candidate | Unusable | None,
    best: Candidate | Unusable | None = None,
    *,
    slice_limits: Mapping[str, float] = PROMOTION_SLICE_LIMITS,
) -> Evidence:
    """Compare a challenger with its opponents.

    Models of real and of synthetic data are never compared.

    Args:
        gate: the sessions.
        challenger: the new model.
        champion: the version that serves; None if none does.
        best: the best version; None if it is the champion, or if none is known.
        slice_limits: by name of the slicing, the largest fall of accuracy allowed in one of its slices.
    """
    labels = gate.not_skipped
    need_both_outcomes(labels[:, -1], "the gate sessions")
    standing = {"champion": champion, "best version": best}
    absent = {role: _absence(challenger, other, role) for role, other in standing.items()}
    rivals = [Candidate(name, challenger.data_source, p) for name, p in gate.rivals.items()]
    usable = {
        role: other
        for role, other in standing.items()
        if isinstance(other, Candidate) and absent[role] is None
    }
    last_outcome = Candidate(_LAST_OUTCOME, challenger.data_source, gate.last_outcome)
    for model in (challenger, last_outcome, *rivals, *usable.values()):
        if model.p_not_skipped.shape != labels.shape:
            raise ContractError(
                f"{model.name} has probabilities of shape {model.p_not_skipped.shape} for labels of shape "
                f"{labels.shape}; score every model on the same gate sessions"
            )
    answers = answers_every_track(labels, challenger.p_not_skipped)
    asked = {question: _asked(labels, question) for question in QUESTIONS[: 1 + answers]}
    newest = np.zeros(len(labels), bool) if gate.is_newest is None else gate.is_newest
    enough = np.count_nonzero(newest) >= LEAST_GATE_SESSIONS
    asked_newest = {q: chosen[newest] for q, chosen in asked.items()} if enough else {}
    loss = {model.name: losses(labels, model.p_not_skipped) for model in (challenger, last_outcome, *rivals)}
    loss |= {model.name: losses(labels, model.p_not_skipped) for model in usable.values()}
    own = loss[challenger.name]

    def compared(name: str) -> Comparison:
        change = own - loss[name]
        return Comparison(name, _differences(change, asked), _differences(change[newest], asked_newest))

    found: dict[str, Comparison | Absent | None] = dict(absent)
    found |= {role: compared(other.name) for role, other in usable.items()}
    opponent = usable.get("champion") or usable.get("best version")
    setback: Mapping[str, Difference] = {}
    if len(usable) == len(standing):
        change = loss[usable["champion"].name] - loss[usable["best version"].name]
        setback = _differences(change[newest], asked_newest)
    names = (challenger.name, opponent.name if opponent else None)
    slices = _slices(labels[:, -1], challenger, opponent, gate.slicings, slice_limits)
    one = found["champion"]
    return Evidence(
        challenger=challenger.name,
        answers_every_track=answers,
        sessions=len(labels),
        losses={q: _losses(loss, names, chosen) for q, chosen in asked.items()},
        champion=one if one else Absent("there is no champion yet"),
        best=found["best version"] if best else None,
        setback=setback,
        newest_day=gate.newest_day,
        newest_sessions=int(np.count_nonzero(newest)),
        newest_losses={
            q: _losses({name: of[newest] for name, of in loss.items()}, names, chosen)
            for q, chosen in asked_newest.items()
        },
        rivals={q: compared(_best_rival(rivals, loss, chosen)) for q, chosen in asked.items() if rivals},
        slices=slices,
    )


def _absence(challenger: Candidate, other: Candidate | Unusable | None, role: str) -> Absent | None:
    """Why a version is not compared with; None if it is, or if there is none."""
    if other is None:
        return None
    if challenger.data_source == "synthetic" and other.data_source != "synthetic":
        source = f"on {other.data_source} data" if other.data_source else "on data of unknown source"
        why = f"the {role}, {other.name}, was trained {source}, {challenger.name} on synthetic data"
        return Absent(why, refuses=True, alarm=isinstance(other, Unusable))
    if isinstance(other, Unusable):
        return Absent(f"the {role}, {other.name}, cannot be used: {other.why}", alarm=True)
    if other.data_source != challenger.data_source:
        return Absent(
            f"the {role}, {other.name}, was trained on synthetic data, and is no measure for real data"
        )
    return None


def _asked(not_skipped: np.ndarray, question: str) -> np.ndarray:
    """The tracks that a question is about: bool (n, 20)."""
    asked = is_track(not_skipped)
    if question == LAST_TRACK:
        asked[:, :-1] = False
    return asked


def _differences(change: np.ndarray, asked: Mapping[str, np.ndarray]) -> dict[str, Difference]:
    """Of log-loss (n, 20), by question; a question that the opponent does not answer is left out."""
    return {
        question: Difference(*ratio_with_error(*mean_over(change, chosen)))
        for question, chosen in asked.items()
        if not np.isnan(change[chosen]).any()
    }


def _losses(loss: Mapping[str, np.ndarray], names: tuple[str, str | None], chosen: np.ndarray) -> Losses:
    """Of a challenger, the last outcome and perhaps an opponent, over the chosen tracks."""
    challenger, opponent = names
    other = float(loss[opponent][chosen].mean()) if opponent else np.nan
    return Losses(
        float(loss[challenger][chosen].mean()),
        float(loss[_LAST_OUTCOME][chosen].mean()),
        None if np.isnan(other) else other,
    )


def _best_rival(rivals: Sequence[Candidate], loss: Mapping[str, np.ndarray], chosen: np.ndarray) -> str:
    return min((float(loss[rival.name][chosen].mean()), rival.name) for rival in rivals)[1]


def _slices(
    label: np.ndarray,
    challenger: Candidate,
    opponent: Candidate | None,
    slicings: Sequence[Slicing],
    slice_limits: Mapping[str, float],
) -> tuple[SliceDifference, ...]:
    """The change of accuracy on each slice that holds sessions."""
    if opponent is None:
        return ()
    by_name = {slicing.name: slicing for slicing in slicings}
    if missing := [name for name in slice_limits if name not in by_name]:
        raise ContractError(
            f"there is no slicing {missing} of the gate sessions; choose of {sorted(by_name)}"
        )
    right = [
        correct(label, model.p_not_skipped[:, -1], model.threshold).astype(np.float64)
        for model in (challenger, opponent)
    ]
    change = right[0] - right[1]
    found = []
    for name, limit in slice_limits.items():
        slicing = by_name[name]
        for i, of in enumerate(slicing.labels):
            within = change[slicing.slice_of == i]
            if len(within):
                accuracy = Difference(*ratio_with_error(within, np.ones(len(within))))
                found.append(SliceDifference(name, of, len(within), accuracy, limit))
    return tuple(found)
