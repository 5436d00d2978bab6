"""Permutation importance: the rise of log-loss when sessions exchange some of their inputs (Breiman, 2001).

Correlated inputs replace one another, so a group can matter and show little; a group that shows much is
certainly used. Only sessions of equal length exchange values, so that padding stays in place. Position and
session length, which depend on the length alone, are therefore in no group of features.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from skip_pipeline import schema
from skip_pipeline.metrics import scores
from skip_pipeline.metrics.intervals import Estimate, estimate_means
from skip_pipeline.settings import IMPORTANCE_SEED, IMPORTANCE_SESSIONS

Predict = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Maps the four inputs of n sessions to the probability of "not skipped", (n,)."""

GroupKind = Literal["branch", "features"]  # a whole branch, or features of one subject in every branch


@dataclass(frozen=True)
class InputGroup:
    """Inputs that are exchanged together."""

    name: str  # its key in metrics
    title: str  # its name on the page
    kind: GroupKind
    columns: Mapping[str, tuple[int, ...]]  # per branch, indices of its columns


@dataclass(frozen=True)
class GroupImportance:
    """Mean rise of log-loss, in nats, from exchanging one group; paired by session."""

    name: str
    title: str
    kind: GroupKind
    rise: Estimate


@dataclass(frozen=True)
class Importance:
    """The importance of all groups on the same sessions."""

    sessions: int  # number of test sessions
    log_loss: float  # of these, with their own inputs
    inputs: tuple[GroupImportance, ...]  # branches, then features; within each the highest rise first

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sessions": self.sessions,
            "seed": IMPORTANCE_SEED,
            "log_loss": self.log_loss,
            "inputs": [asdict(group) for group in self.inputs],
        }

    def of_kind(self, kind: GroupKind) -> tuple[GroupImportance, ...]:
        """The groups of one kind."""
        return tuple(group for group in self.inputs if group.kind == kind)


def _branch(name: str, title: str) -> InputGroup:
    return InputGroup(name, title, "branch", {name: tuple(range(schema.BRANCH_SHAPES[name][-1]))})


def _of_log(name: str, title: str, *features: str) -> InputGroup:
    columns = {"session_log": tuple(schema.SESSION_LOG_BRANCH.index(feature) for feature in features)}
    if schema.LABEL in features:
        columns["skip_sequence"] = (0,)
    return InputGroup(name, title, "features", columns)


def _of_tracks(name: str, title: str, *features: str) -> InputGroup:
    columns = tuple(schema.TRACK_BRANCH.index(feature) for feature in features)
    return InputGroup(name, title, "features", {"previous_tracks": columns, "last_track": columns})


_OUTCOMES: Final = ("skip_1", "skip_2", "skip_3", schema.LABEL)
_PAUSES: Final = ("no_pause_before_play", "short_pause_before_play", "long_pause_before_play")
_REASON: Final = "hist_user_behavior_reason"
_RELEASE: Final = ("duration", "release_year", "us_popularity_estimate")
_SOUND: Final = [n for n in schema.TRACK_BRANCH if n not in (schema.LOG_TRACK_ID, *_RELEASE)]

_MEMORY: Final = tuple(range(schema.TRACK_MEMORY))
_CIRCUMSTANCES: Final = tuple(range(schema.INPUT_SHAPES["circumstances"][0]))

INPUT_GROUPS: Final = (
    _branch("session_log", "everything the log says of the earlier tracks"),
    _branch("previous_tracks", "features of the earlier tracks"),
    _branch("skip_sequence", "whether each earlier track was skipped"),
    _branch("last_track", "features of the track to predict"),
    _of_log("outcomes", "outcomes: how much of each earlier track was heard", *_OUTCOMES),
    _of_log("end_reasons", "why earlier tracks ended", *schema.indicators(f"{_REASON}_end")),
    _of_log("start_reasons", "why earlier tracks started", *schema.indicators(f"{_REASON}_start")),
    _of_log("context", "context and its changes", "context_switch", *schema.indicators("context_type")),
    _of_log("pauses", "pauses before tracks", *_PAUSES),
    _of_log("seeks", "seeks", "hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback"),
    _of_log("shuffle", "shuffle", "hist_user_behavior_is_shuffle"),
    _of_tracks("sound", "acoustic features of all tracks", *_SOUND),
    _of_tracks("release", "popularity, year and duration of all tracks", *_RELEASE),
    _of_tracks("track_number", "number of each track", schema.LOG_TRACK_ID),
    InputGroup("memory", "what other sessions did with each track", "features", {"track_memory": _MEMORY}),
    InputGroup("circumstances", "hour of day and premium", "features", {"circumstances": _CIRCUMSTANCES}),
)
"""The four branches, and features by subject; those that a network does not take are left out."""


def choose_sessions(n: int, most: int = IMPORTANCE_SESSIONS) -> np.ndarray:
    """Draw at most so many of n sessions at random: their indices, ascending, int64."""
    return np.sort(np.random.default_rng(IMPORTANCE_SEED).permutation(n)[:most])


def permutation_importance(
    inputs: Mapping[str, np.ndarray], not_skipped: np.ndarray, predict: Predict
) -> Importance:
    """Measure every group on the inputs and labels (n,) of the same sessions, with the same partners.

    A group whose exchange changes no value, as where values are unknown in all sessions, is left out; unless
    every session is alone in its length.
    """
    arrays = {name: np.asarray(values) for name, values in inputs.items()}
    partner = partners(arrays["skip_sequence"])

    def losses(changed: Mapping[str, np.ndarray]) -> np.ndarray:
        p = predict(changed)
        scores.check_probabilities(not_skipped, p)
        return scores.losses(not_skipped, p)

    own = losses(arrays)
    alone = np.array_equal(partner, np.arange(len(partner)))
    groups, columns = [], []
    for group in INPUT_GROUPS:
        if arrays.keys() >= group.columns.keys():
            changed = exchanged(arrays, group, partner)
            if alone or any(not np.array_equal(changed[name], arrays[name]) for name in group.columns):
                groups.append(group)
                columns.append(losses(changed) - own)
    measured = [
        GroupImportance(group.name, group.title, group.kind, rise)
        for group, rise in zip(groups, estimate_means(np.column_stack(columns)), strict=True)
    ]
    measured.sort(key=lambda group: (group.kind != "branch", -group.rise.value))
    return Importance(len(not_skipped), float(own.mean()), tuple(measured))


def partners(skip_sequence: np.ndarray, seed: int = IMPORTANCE_SEED) -> np.ndarray:
    """The session whose values each session gets: int64 (n,), a permutation.

    Sessions of one length, which the padding of ``skip_sequence`` (n, 19, 1) gives, are put in random order,
    and each gets the values of the next. A session that is alone in its length keeps its own.
    """
    history = np.count_nonzero(skip_sequence[:, :, 0] != schema.SKIP_PADDING, axis=1)
    order = np.lexsort((np.random.default_rng(seed).random(len(history)), history))
    partner = np.empty(len(history), np.int64)
    for alike in np.split(order, np.flatnonzero(np.diff(history[order])) + 1):
        partner[alike] = np.roll(alike, -1)
    return partner


def exchanged(
    arrays: Mapping[str, np.ndarray], group: InputGroup, partner: np.ndarray
) -> dict[str, np.ndarray]:
    """The inputs with one group's columns from each session's partner; unchanged branches are not copied."""
    changed = dict(arrays)
    for branch, columns in group.columns.items():
        changed[branch] = arrays[branch].copy()
        changed[branch][..., columns] = arrays[branch][partner][..., columns]
    return changed
