"""What a model listens to: how much worse it predicts when sessions exchange some of their inputs.

Permutation importance (Breiman, 2001): the values of one group of inputs are taken from another session, the
rest stays, and log-loss is measured again. Inputs that repeat one another cover for one another, so a group
can matter and show little; a group that shows much is certainly used. It needs predictions alone.

Sessions of equal length exchange, so that padding stays where it was. What only tells the length, position
and session length, is therefore in no group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from skip_pipeline import schema
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.metrics.intervals import Estimate, estimate_means
from skip_pipeline.settings import IMPORTANCE_SEED, IMPORTANCE_SESSIONS

Predict = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""The four inputs of n sessions to the probability of "not skipped", (n,)."""

InputKind = Literal["branch", "features"]


@dataclass(frozen=True)
class InputGroup:
    """Inputs that are exchanged together.

    Attributes:
        name: identifies it in metrics.
        title: in words.
        kind: one of the four branches, or features of one subject, whatever branches they are in.
        columns: per branch, which of its columns.
    """

    name: str
    title: str
    kind: InputKind
    columns: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class InputImportance:
    """What exchanging one group costs.

    Attributes:
        rise: of log-loss, in nats, mean over the sessions; paired by session.
    """

    name: str
    title: str
    kind: InputKind
    rise: Estimate


@dataclass(frozen=True)
class Importance:
    """All groups on the same sessions.

    Attributes:
        sessions: number of test sessions it was measured on.
        log_loss: of these as they are.
        inputs: branches first, then features; within each kind the costliest first.
    """

    sessions: int
    log_loss: float
    inputs: tuple[InputImportance, ...]

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sessions": self.sessions,
            "seed": IMPORTANCE_SEED,
            "log_loss": self.log_loss,
            "inputs": [asdict(entry) for entry in self.inputs],
        }

    def of_kind(self, kind: InputKind) -> tuple[InputImportance, ...]:
        """The groups of one kind."""
        return tuple(entry for entry in self.inputs if entry.kind == kind)


# --- Groups -------------------------------------------------------------------------------------------

_BRANCHES: Final = {
    "session_log": "everything the log says of the earlier tracks",
    "previous_tracks": "features of the earlier tracks",
    "skip_sequence": "whether each earlier track was skipped",
    "last_track": "features of the track to predict",
}

# By what a person would ask about. Duration stands with year and popularity: facts of a release, not a sound.
_RELEASE: Final = ("duration", "release_year", "us_popularity_estimate")
_LOG_GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "outcomes": (
        "outcomes: how much of each earlier track was heard",
        ("skip_1", "skip_2", "skip_3", schema.LABEL),
    ),
    "end_reasons": ("why earlier tracks ended", schema.indicators("hist_user_behavior_reason_end")),
    "start_reasons": ("why earlier tracks started", schema.indicators("hist_user_behavior_reason_start")),
    "context": ("context and its changes", ("context_switch", *schema.indicators("context_type"))),
    "pauses": (
        "pauses before tracks",
        ("no_pause_before_play", "short_pause_before_play", "long_pause_before_play"),
    ),
    "seeks": ("seeks", ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")),
    "shuffle": ("shuffle", ("hist_user_behavior_is_shuffle",)),
}
_TRACK_GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "sound": (
        "acoustic features of all tracks",
        tuple(n for n in schema.TRACK_BRANCH if n not in (schema.LOG_TRACK_ID, *_RELEASE)),
    ),
    "release": ("popularity, year and duration of all tracks", _RELEASE),
    "track_number": ("number of each track", (schema.LOG_TRACK_ID,)),
}


def _of_log(name: str) -> InputGroup:
    title, columns = _LOG_GROUPS[name]
    where = {"session_log": tuple(schema.SESSION_LOG_BRANCH.index(column) for column in columns)}
    repeated = {"skip_sequence": (0,)} if schema.LABEL in columns else {}
    return InputGroup(name, title, "features", where | repeated)


def _of_tracks(name: str) -> InputGroup:
    title, columns = _TRACK_GROUPS[name]
    where = tuple(schema.TRACK_BRANCH.index(column) for column in columns)
    return InputGroup(name, title, "features", {"previous_tracks": where, "last_track": where})


INPUT_GROUPS: Final[tuple[InputGroup, ...]] = (
    *(
        InputGroup(name, title, "branch", {name: tuple(range(schema.BRANCH_SHAPES[name][-1]))})
        for name, title in _BRANCHES.items()
    ),
    *(_of_log(name) for name in _LOG_GROUPS),
    *(_of_tracks(name) for name in _TRACK_GROUPS),
)
"""The four branches, and features by subject."""


# --- Measurement --------------------------------------------------------------------------------------


def choose_sessions(n: int, most: int = IMPORTANCE_SESSIONS, seed: int = IMPORTANCE_SEED) -> np.ndarray:
    """Which of n sessions to measure on: at most so many, at random, in ascending order, int64."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def permutation_importance(
    inputs: Mapping[str, np.ndarray],
    not_skipped: np.ndarray,
    predict: Predict,
    groups: tuple[InputGroup, ...] = INPUT_GROUPS,
    seed: int = IMPORTANCE_SEED,
) -> Importance:
    """Measure every group on the same sessions, with the same exchange.

    One prediction of all sessions per group, and one without any exchange.

    Args:
        inputs: ``schema.BRANCH_SHAPES`` of n sessions.
        not_skipped: labels (n,), 0 or 1.
        predict: of the model.
        groups: what is exchanged.
        seed: of who exchanges with whom.

    Raises:
        ContractError: see ``evaluate.score``.
    """
    arrays = {name: np.asarray(inputs[name]) for name in schema.BRANCH_SHAPES}
    partner = partners(arrays["skip_sequence"], seed)
    as_they_are = _losses(not_skipped, predict(arrays))
    rises = [
        _losses(not_skipped, predict(exchanged(arrays, group, partner))) - as_they_are for group in groups
    ]
    measured = [
        InputImportance(group.name, group.title, group.kind, rise)
        for group, rise in zip(groups, estimate_means(np.column_stack(rises)), strict=True)
    ]
    measured.sort(key=lambda entry: (entry.kind != "branch", -entry.rise.value))
    return Importance(len(not_skipped), float(as_they_are.mean()), tuple(measured))


def _losses(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    evaluate.check_probabilities(not_skipped, p_not_skipped)
    return evaluate.losses(not_skipped, p_not_skipped)


def partners(skip_sequence: np.ndarray, seed: int = IMPORTANCE_SEED) -> np.ndarray:
    """Whose values each session gets: another session of its length, its own where it is alone; int64 (n,).

    Sessions of a length are put in random order, and each gets the values of the next.

    Args:
        skip_sequence: (n, 19, 1), whose padding tells the length.
    """
    history = np.count_nonzero(skip_sequence[:, :, 0] != schema.SKIP_PADDING, axis=1)
    n = len(history)
    order = np.lexsort((np.random.default_rng(seed).random(n), history))
    begins = np.flatnonzero(np.diff(history[order], prepend=-1))
    following = np.arange(1, n + 1)
    following[np.append(begins[1:], n) - 1] = begins  # the last of a length gets the first one's
    partner = np.empty(n, np.int64)
    partner[order] = order[following]
    return partner


def exchanged(
    arrays: Mapping[str, np.ndarray], group: InputGroup, partner: np.ndarray
) -> dict[str, np.ndarray]:
    """The inputs with one group's columns taken from each session's partner; other branches are shared."""
    changed = dict(arrays)
    for branch, columns in group.columns.items():
        changed[branch] = arrays[branch].copy()
        changed[branch][..., columns] = arrays[branch][partner][..., columns]
    return changed
