"""Hand-made features: what is known before each track of a session, as one row of numbers.

Features are computed from a bundle and the memory of tracks. Of the predicted track only its number, its own
features, its memory and the session's length are used. ``docs/handmade_features.md`` explains each feature.
Arrays over steps are (n, 19), over targets (n, 20), as in ``networks.listening``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import SEEKS
from skip_pipeline.networks.listening import (
    OUTCOMES,
    TARGETS,
    Listening,
    all_played,
    before,
    in_parts,
    log_column,
)

INPUTS: Final = (*schema.BRANCH_SHAPES, "circumstances", "track_numbers", "track_memory")
"""Arrays from which features are made."""

FEATURES: Final = tuple(n for n in schema.TRACK_BRANCH if n not in (schema.LOG_TRACK_ID, "mode_minor"))
"""A track's own features: all but its number, whose order has no meaning, and ``mode_minor``, which is 1
where ``mode_major`` is 0."""

# The order of ``schema.INPUT_SHAPES``: sines and cosines of the day and of the half day.
CIRCUMSTANCES: Final = ("hour_sine", "half_day_sine", "hour_cosine", "half_day_cosine", "premium")
LAGS: Final = 5  # latest outcomes that have a feature of their own
WINDOWS: Final = (3, 5)  # numbers of latest tracks over which shares and means are taken
MEMORIES: Final = (0.5, 0.7, 0.85)
"""Factors by which a track's weight decays with each later track: half-lives of 1, 2 and 4 tracks."""

# Widths of Gaussian kernels exp(-d²/width), d² a mean over coordinates. A smaller width sees fewer, more
# similar tracks. They were not searched for.
WIDTHS: Final = (0.25, 1.0)  # of the tracks' own features
_COMPANY_WIDTH: Final = 0.5
_APPEAL_WIDTH: Final = 0.2
_PLAYS_WIDTH: Final = 0.5

_LIMIT: Final = 4.0
"""Standardised features are clipped at ±4 standard deviations, so that one unusual track does not decide."""

_SHRINKAGE: Final = 2.0  # tracks added to a count by which a sum is divided, so that few tracks tell little
_SMALL_LENGTH: Final = 0.05  # added to squared lengths of company, so that a track without any has cosine 0

# Log columns other than position, length and outcome.
_OCCURRENCES: Final = schema.SESSION_LOG_BRANCH[log_column("context_switch") :]
_SEEK_COLUMNS: Final = [_OCCURRENCES.index(name) for name in SEEKS]
_COMPANY: Final = slice(2, 18)
"""The first 16 coordinates of a track's company in its memory; with few sessions the others are noise."""
_OWN: Final = [schema.TRACK_BRANCH.index(name) for name in FEATURES]

Columns = dict[str, np.ndarray]


class Examples(NamedTuple):
    """Every track of some sessions, one after the other."""

    features: np.ndarray  # float32 (rows, F), finite
    not_skipped: np.ndarray  # float32 (rows,), 1 played to the end, 0 skipped


@dataclass(frozen=True)
class Standard:
    """Means and standard deviations of ``FEATURES`` over the rows of training sessions."""

    mean: np.ndarray  # float32 (29,)
    scale: np.ndarray  # float32 (29,)

    @classmethod
    def fit(cls, training: Mapping[str, Any]) -> Standard:
        """Fit on the tracks before the last ones, read in parts."""
        from sklearn.preprocessing import StandardScaler  # here, because serving only computes features

        scaler = StandardScaler()
        for part in in_parts(training, ("previous_tracks", "skip_sequence")):
            real = part["skip_sequence"][:, :, 0] != schema.SKIP_PADDING
            scaler.partial_fit(part["previous_tracks"][real][:, _OWN].astype(np.float64))
        return cls(scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32))

    def of(self, tracks: np.ndarray) -> np.ndarray:
        """``FEATURES`` of tracks (…, 31), standardised and clipped: float32 (…, 29)."""
        return np.asarray(np.clip((tracks[..., _OWN] - self.mean) / self.scale, -_LIMIT, _LIMIT))


def feature_names() -> tuple[str, ...]:
    """Names of the features, in their order."""
    nobody = {name: np.empty((0, *schema.INPUT_SHAPES[name]), np.float32) for name in INPUTS}
    return tuple(_columns(nobody, Standard(np.zeros(len(_OWN)), np.ones(len(_OWN)))))


def features_of(
    part: Mapping[str, np.ndarray], standard: Standard, targets: slice = slice(TARGETS)
) -> np.ndarray:
    """Features of the tracks of n sessions: float32 (n, 20, F), arbitrary in padding.

    Args:
        part: ``INPUTS``, in memory.
        standard: of the training sessions.
        targets: which of the 20 tracks.
    """
    columns = [column[:, targets, None] for column in _columns(part, standard).values()]
    return np.concatenate(columns, axis=2, dtype=np.float32, casting="same_kind")


def examples_of(split: Mapping[str, Any], standard: Standard) -> Examples:
    """Every track of every session as an example, read in parts; a session's last track is its last row."""
    played = all_played(split)
    real = ~np.isnan(played)
    features = np.empty((np.count_nonzero(real), len(feature_names())), np.float32)
    sessions = rows = 0
    for part in in_parts(split, INPUTS):
        of_part = real[sessions : sessions + len(part["last_track"])]
        some = features_of(part, standard)[of_part]
        features[rows : rows + len(some)] = some
        sessions, rows = sessions + len(of_part), rows + len(some)
    return Examples(features, played[real])


def _lagged(steps: np.ndarray, lag: int) -> np.ndarray:
    """Value ``lag`` steps before each target, 0 where there is none: (n, 19 or 20, …) to (n, 20, …)."""
    lagged = np.zeros((len(steps), TARGETS, *steps.shape[2:]), steps.dtype)
    lagged[:, lag:] = steps[:, : TARGETS - lag]
    return lagged


def _columns(part: Mapping[str, np.ndarray], standard: Standard) -> Columns:
    """Each feature of every target by name, (n, 20)."""
    past = Listening.of(part)
    place = standard.of(past.tracks)  # (n, 20, 29)
    own = {name: past.tracks[:, :, column] for name, column in zip(FEATURES, _OWN, strict=True)}
    return {
        **_position(past),
        **_outcomes(past),
        **_habits(past),
        **_occurrences(past),
        **_circumstances(part["circumstances"]),
        **own,
        **_again(past, part["track_numbers"]),
        **_memory(past, part["track_memory"]),
        **_likeness(past, place),
        **_company(past, part["track_memory"][:, :, _COMPANY]),
    }


def _position(past: Listening) -> Columns:
    """A target's position. A session of the greatest length was cut, so its listener may go on.

    The length is the log's, because a session that is served may go on after its predicted track.
    """
    position = past.count + 1.0
    length = np.repeat(past.log[:, -1:, log_column(schema.LENGTH)], TARGETS, axis=1)
    last = (position == length).astype(np.float32)
    return {
        "position": position,
        "log_position": np.log(position),
        "session_length": length,
        "tracks_left": length - position,
        "log_tracks_left": np.log1p(length - position),
        "is_last": last,
        "listener_leaves": last * (length < schema.MAX_SESSION_LENGTH),
    }


def _outcomes(past: Listening) -> Columns:
    """Outcome and depth of each of the latest tracks, and the kind of the latest two."""
    columns = {}
    sign = past.sign
    for lag in range(1, LAGS + 1):
        columns[f"played_{lag}_ago"] = _lagged(sign, lag)
        columns[f"depth_{lag}_ago"] = _lagged(past.depth, lag)
    for depth, name in enumerate(OUTCOMES[:-1]):
        happened = (past.depth == depth) * past.real
        columns |= {f"{name}_{lag}_ago": _lagged(happened, lag) for lag in (1, 2)}
    return columns


def _habits(past: Listening) -> Columns:
    """Counts, shares and mean depths over the session, windows and decaying weights; changes; run."""
    count = np.maximum(past.count, 1.0)
    depth, sign = past.depth.astype(np.float32), past.sign
    kinds = before((past.depth[:, :, None] == np.arange(len(OUTCOMES))) * past.real[:, :, None])  # (n, 20, 5)
    columns = {f"share_{name}": kinds[:, :, i] / count for i, name in enumerate(OUTCOMES)}
    columns["times_played"] = before(past.played)
    columns["times_skipped"] = before(past.real - past.played)
    columns["balance"] = before(sign) / (past.count + _SHRINKAGE)
    columns["mean_depth"] = before(depth) / count
    for window in WINDOWS:
        tracks = np.maximum(_latest(past.real, window), 1.0)
        columns[f"balance_of_{window}"] = _latest(sign, window) / tracks
        columns[f"mean_depth_of_{window}"] = _latest(depth, window) / tracks
    fading = _fading(np.stack([past.real, sign, depth], axis=2), MEMORIES)
    for memory, (weight, of_sign, of_depth) in zip(
        MEMORIES, np.moveaxis(fading, (2, 3), (0, 1)), strict=True
    ):
        weight[weight == 0.0] = 1.0
        columns[f"balance_fading_{memory}"] = of_sign / weight
        columns[f"mean_depth_fading_{memory}"] = of_depth / weight
    changed = np.zeros_like(past.played)
    changed[:, 1:] = (past.played[:, 1:] != past.played[:, :-1]) * past.real[:, :-1]
    columns["share_changed"] = before(changed) / count
    columns["run"] = _run(past) * _lagged(sign, 1)
    return columns


def _occurrences(past: Listening) -> Columns:
    """Every other log column, of the track before and as the mean over the session so far."""
    values = past.log[:, :, -len(_OCCURRENCES) :].copy()
    values[:, :, _SEEK_COLUMNS] = np.log1p(values[:, :, _SEEK_COLUMNS])
    mean = before(values) / np.maximum(past.count, 1.0)[:, :, None]
    latest = _lagged(values, 1)
    return {
        f"{name}_{kind}": of[:, :, i]
        for i, name in enumerate(_OCCURRENCES)
        for kind, of in (("1_ago", latest), ("mean", mean))
    }


def _circumstances(circumstances: np.ndarray) -> Columns:
    """The hour, as itself and as harmonics, and premium, of the session's first track."""
    sine, cosine = circumstances[:, 0], circumstances[:, 2]
    hour = np.arctan2(sine, cosine) * np.float32(12.0 / np.pi) % 24.0
    columns = {"hour": hour, **dict(zip(CIRCUMSTANCES, circumstances.T, strict=True))}
    return {name: np.repeat(values[:, None], TARGETS, axis=1) for name, values in columns.items()}


def _again(past: Listening, numbers: np.ndarray) -> Columns:
    """How often the session played the same track before, and with what outcomes."""
    again = (numbers[:, :, None] == numbers[:, None, :-1]) * past.earlier  # (n, 20, 19)
    apart = np.arange(TARGETS)[:, None] - np.arange(schema.STEPS)
    return {
        "heard_before": again.sum(axis=2),
        "played_before": (again * past.played[:, None]).sum(axis=2),
        "skipped_before": (again * (1.0 - past.played[:, None])).sum(axis=2),
        "heard_ago": np.where(again > 0, apart, TARGETS).min(axis=2),
    }


def _memory(past: Listening, memory: np.ndarray) -> Columns:
    """What other sessions did with the target and with the tracks before it.

    Outcomes are surprising as far as they differ from what the appeal of each track leads to expect.
    """
    count = past.count
    appeal, plays = memory[:, :, 0], memory[:, :, 1]
    surprise = (past.sign - np.tanh(appeal[:, :-1] / 2.0)) * past.real
    columns = {"appeal": appeal, "plays": plays, "never_played": (plays == 0.0).astype(np.float32)}
    for name, values in (("appeal", appeal), ("plays", plays)):
        values = values[:, :-1] * past.real
        columns[f"{name}_1_ago"] = _lagged(values, 1)
        columns[f"{name}_mean"] = before(values) / np.maximum(count, 1.0)
    columns["surprise"] = before(surprise) / (count + _SHRINKAGE)
    columns["surprise_fading"] = _fading(surprise[:, :, None], MEMORIES[1:2])[:, :, 0, 0]
    for name, values, width in (("appeal", appeal, _APPEAL_WIDTH), ("plays", plays, _PLAYS_WIDTH)):
        distance = np.square(values[:, :, None] - values[:, None, :-1])
        columns |= _kernel(past, np.exp(-distance / width), f"like_{name}")
    company = memory[:, :, _COMPANY]
    return columns | {f"company_{i + 1}": company[:, :, i] for i in range(company.shape[2])}


def _likeness(past: Listening, place: np.ndarray) -> Columns:
    """Kernels of the tracks' own features, and which features go with a greater depth in this session."""
    products, squares = _products(place)
    columns: Columns = {}
    for width in WIDTHS:
        columns |= _kernel(past, np.exp(-squares / width), f"like_{width}")
    residual, count = _residual(past), past.count
    columns["agreement"] = (residual * products).sum(axis=2)
    columns["mean_agreement"] = columns["agreement"] / (count + _SHRINKAGE)
    mean = before(place[:, :-1] * past.real[:, :, None]) / np.maximum(count, 1.0)[:, :, None]
    by_feature = (residual @ place[:, :-1]) * (place - mean) / (count + _SHRINKAGE)[:, :, None]
    return columns | {f"agreement_{name}": by_feature[:, :, i] for i, name in enumerate(FEATURES)}


def _company(past: Listening, company: np.ndarray) -> Columns:
    """The same with the company of tracks, and its cosine."""
    products, squares = _products(company)
    length = np.square(company).mean(axis=2) + _SMALL_LENGTH
    cosine = products / np.sqrt(length[:, :, None] * length[:, None, :-1]) * past.earlier
    count = past.count
    to_the_one_before = np.diagonal(cosine, -1, 1, 2)  # (n, 19), of targets 1 to 19
    return {
        **_kernel(past, np.exp(-squares / _COMPANY_WIDTH), "like_company"),
        "agreement_company": (_residual(past) * products).sum(axis=2) / (count + _SHRINKAGE),
        "cosine_balance": (cosine * past.sign[:, None]).sum(axis=2),
        "cosine_mean": cosine.sum(axis=2) / np.maximum(count, 1.0),
        "cosine_1_ago": _lagged(to_the_one_before, 1),
    }


def _latest(steps: np.ndarray, count: int) -> np.ndarray:
    """Sum over the ``count`` steps before each target."""
    sums = before(steps)
    return np.asarray(sums - _lagged(sums, count))


def _fading(steps: np.ndarray, memories: Sequence[float]) -> np.ndarray:
    """Sums over the steps before each target, each weighted by a memory to the power of its distance.

    From (n, 19, k) and M memories to float32 (n, 20, M, k).
    """
    factors = np.array(memories, np.float32)[:, None]
    sums = np.repeat(_lagged(steps, 1)[:, :, None], len(memories), axis=2)
    for target in range(1, TARGETS):
        sums[:, target] = factors * (sums[:, target - 1] + sums[:, target])
    return sums


def _run(past: Listening) -> np.ndarray:
    """Length of the run of equal outcomes, played or not, before each target."""
    begins = np.ones(past.played.shape, bool)
    begins[:, 1:] = (past.played[:, 1:] != past.played[:, :-1]) | (past.real[:, :-1] == 0.0)
    step = np.arange(schema.STEPS)
    first = np.maximum.accumulate(np.where(begins, step, 0), axis=1)
    return _lagged((step - first + 1) * past.real, 1)


def _residual(past: Listening) -> np.ndarray:
    """Depth of each earlier track less the mean depth before the target: (n, 20, 19), 0 elsewhere."""
    depth = past.depth.astype(np.float32)
    mean = before(depth) / np.maximum(past.count, 1.0)
    return np.asarray(past.earlier * (depth[:, None] - mean[:, :, None]))


def _products(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean products and mean squared differences of coordinates, targets by steps: (n, 20, 19) each."""
    products = place @ np.swapaxes(place[:, :-1], 1, 2) / place.shape[2]
    own = np.square(place).mean(axis=2)
    squares = own[:, :, None] + own[:, None, :-1] - 2.0 * products
    return products, np.maximum(squares, 0.0)


def _kernel(past: Listening, weight: np.ndarray, name: str) -> Columns:
    """Sums of weights (n, 20, 19) over the earlier tracks that were played and skipped, and their balance."""
    weight = weight * past.earlier
    played = (weight * past.played[:, None]).sum(axis=2)
    skipped = weight.sum(axis=2) - played
    balance = (played - skipped) / (played + skipped + 0.5)
    return {f"{name}_played": played, f"{name}_skipped": skipped, f"{name}_balance": balance}
