"""Decisions of the default network and its rivals on the second halves of held-out sessions.

Each function learns from the splits ``train`` and ``validation``, and decides on every second-half track of
the split ``held_out``: decisions by name, uint8 (rows,), session after session, 1 for skipped (``skip_2``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.baselines.features import INPUTS, Standard, features_of
from skip_pipeline.bundles.second_half import first_half, heard_skips, lengths_of, skips
from skip_pipeline.challenge.rules import commoner_outcome, last_outcome
from skip_pipeline.metrics import calibration as calibrate
from skip_pipeline.metrics.decision_rule import THRESHOLD, DecisionRule, best_constant_strings
from skip_pipeline.networks.listening import all_played, log_column
from skip_pipeline.settings import BASELINE_SESSIONS, DECISION_THRESHOLD, DEFAULT_PRESET, PRESETS
from skip_pipeline.training.splits import Split, gather, parts

Decisions = dict[str, np.ndarray]
Splits = Mapping[str, Split]

NETWORK: Final = "network, whole strings or threshold"
"""The default network with the rule that is chosen on validation sessions, as it is served."""

_MOST: Final = 10  # tracks of a second half, and of a first half
_AT_ONCE: Final = 4096  # sessions whose features are made together: 150 MB

_TREES: Final[Mapping[str, Any]] = {
    "learning_rate": 0.1,
    "max_iter": 300,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "max_bins": 63,
    "early_stopping": True,
    "n_iter_no_change": 7,
}
"""About as ``baselines.fit``, with a lower rate, since there is one model for each position."""

# Of the encoder and decoder. Twice the units gained nothing on 7,000 synthetic sessions.
_UNITS: Final = 64
_BATCH: Final = 256
_EPOCHS: Final = 30
_PATIENCE: Final = 3


class Halves(NamedTuple):
    """The n sessions of a split."""

    lengths: np.ndarray  # int64 (n,)
    heard: np.ndarray  # skip_2 of all first halves, uint8, session after session
    truth: np.ndarray  # skip_2 of all second halves, uint8 (rows,)

    @classmethod
    def of(cls, split: Split) -> Halves:
        """Read a split in parts."""
        read = [(lengths_of(part), heard_skips(part), skips(part)) for part in parts(split, ())]
        return cls(*(np.concatenate(values) for values in zip(*read, strict=True)))

    @property
    def tracks(self) -> np.ndarray:
        """Number of tracks of each second half, int64 (n,)."""
        return np.asarray(self.lengths - first_half(self.lengths))


def by_rules(splits: Splits, seed: int) -> Decisions:
    """Without a model: random, the last action, the majority, and the best string of each length."""
    test, training = Halves.of(splits["held_out"]), Halves.of(splits["train"])
    heard = first_half(test.lengths)
    strings = best_constant_strings(training.truth, training.lengths)
    return {
        "random": np.random.default_rng(seed).integers(0, 2, test.tracks.sum(), np.uint8),
        "last action": np.repeat(last_outcome(test.heard, heard), test.tracks),
        "majority of the first half": np.repeat(commoner_outcome(test.heard, heard), test.tracks),
        "best string of each length": np.concatenate([strings[length] for length in test.lengths.tolist()]),
    }


def by_network(splits: Splits, seed: int) -> Decisions:
    """The default network by the threshold, by whole strings, and by the better of both.

    Args:
        splits: with the memory of tracks.
        seed: of the network.
    """
    from skip_pipeline.training import export, train
    from skip_pipeline.training.onnx_model import open_onnx, predict_tracks
    from skip_pipeline.training.second_half import fit_rule, predict_second_half

    settings = dataclasses.replace(PRESETS[DEFAULT_PRESET], seed=seed)
    trained = train.train(splits["train"], splits["validation"], settings, lambda _: None)
    network = open_onnx(export.to_onnx(trained.network))
    played, p_tracks = all_played(splits["validation"]), predict_tracks(network, splits["validation"])
    session, track = np.nonzero(~np.isnan(played))
    calibration = calibrate.fit(played[session, track], p_tracks[session, track], session)
    rule = fit_rule(network, splits["validation"], calibration)
    halves = predict_second_half(network, splits["held_out"], calibration)
    rules = {
        "network, threshold": THRESHOLD,
        "network, whole strings": DecisionRule(rule.correlations, joint=True),
        NETWORK: rule,
    }
    return {
        name: each.decide(halves.p_skip_2, halves.tracks, halves.lengths).astype(np.uint8)
        for name, each in rules.items()
    }


def by_trees(splits: Splits, seed: int) -> Decisions:
    """Gradient-boosted trees on hand-made features, one model for each position of the second half.

    The features are those of the baselines (``baselines.features``), of the first half as the history and the
    track as the next one, with the session's length. At most ``BASELINE_SESSIONS`` sessions are learnt from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    sample = _sample(splits["train"], BASELINE_SESSIONS, seed)
    watched = _sample(splits["validation"], BASELINE_SESSIONS // 4, seed)
    standard = Standard.fit(sample)
    test = Halves.of(splits["held_out"])
    p = np.full((len(test.lengths), _MOST), np.nan)
    for position in range(_MOST):
        rows, labels = _examples(sample, standard, position)
        others, of_others = _examples(watched, standard, position)
        model = HistGradientBoostingClassifier(**_TREES, random_state=seed)
        model.fit(rows, labels, X_val=others, y_val=of_others)
        start = 0
        for part in _in_memory(splits["held_out"]):
            own = test.tracks[start : start + len(part["last_track"])] > position
            chances = model.predict_proba(_examples(part, standard, position)[0])[:, 1]
            p[start : start + len(own), position][own] = chances
            start += len(own)
    p_skip_2 = p[np.arange(_MOST) < test.tracks[:, None]]
    return {"boosted trees per position": (p_skip_2 > DECISION_THRESHOLD).astype(np.uint8)}


def _sample(split: Split, most: int, seed: int) -> dict[str, np.ndarray]:
    n = len(split[schema.LABEL])
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:most])
    return gather(split, chosen, INPUTS)


def _in_memory(split: Split) -> Any:
    for start in range(0, len(split[schema.LABEL]), _AT_ONCE):
        yield gather(split, slice(start, start + _AT_ONCE), INPUTS)


def _examples(
    arrays: Mapping[str, np.ndarray], standard: Standard, position: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features and ``skip_2`` of the track at a position, from 0, of each second half that has it."""
    lengths = lengths_of(arrays)
    tracks = lengths - first_half(lengths)
    own = tracks > position
    asked = {name: array[own] for name, array in arrays.items()}
    lengths, tracks = lengths[own], tracks[own]
    labels = np.column_stack([asked["session_log"][:, :, log_column("skip_2")], asked["last_flags"][:, 1]])[
        np.arange(len(tracks)), schema.MAX_SESSION_LENGTH - tracks + position
    ]
    rows = []
    for start in range(0, len(lengths), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        part = _next_only({name: array[some] for name, array in asked.items()}, tracks[some], position)
        rows.append(np.column_stack([features_of(part, standard)[:, -1], lengths[some]]))
    return np.concatenate(rows), labels


def _next_only(arrays: Mapping[str, np.ndarray], tracks: np.ndarray, position: int) -> dict[str, np.ndarray]:
    """Sessions that end with their first half, then one track of the second: ``INPUTS``."""
    target = schema.MAX_SESSION_LENGTH - tracks + position  # place of the track among 20
    rows = np.arange(len(tracks))
    source = np.arange(schema.STEPS) - tracks[:, None] + 1  # place among the steps; negative in padding
    ahead = source < 0
    source = np.maximum(source, 0)
    made = {"circumstances": arrays["circumstances"]}
    every = np.concatenate([arrays["previous_tracks"], arrays["last_track"][:, None]], axis=1)
    for name, fill in (
        ("session_log", 0.0),
        ("previous_tracks", 0.0),
        ("skip_sequence", schema.SKIP_PADDING),
    ):
        moved = arrays[name][rows[:, None], source]
        moved[ahead] = fill
        made[name] = moved
    made["last_track"] = every[rows, target]
    for name, fill in (("track_numbers", -1.0), ("track_memory", 0.0)):
        moved = arrays[name][rows[:, None], source]
        moved[ahead] = fill
        made[name] = np.concatenate([moved, arrays[name][rows, target][:, None]], axis=1)
    return made


def by_bilstm(splits: Splits, seed: int) -> Decisions:
    """A plain encoder and decoder of bidirectional LSTMs, as the challenge's participants published them.

    The encoder reads log, track features and outcomes of the first half. Its last states start the decoder,
    which reads the second half's tracks. The loss is the mean cross-entropy of ``skip_2``. (Adapa, arXiv
    1904.10273, trains one such model for each length; this one is trained on all lengths.)
    """
    import keras
    from keras import layers

    from skip_pipeline.training import train  # noqa: F401 - sets Keras's backend

    keras.utils.set_random_seed(seed)
    mean, scale = _scaling(splits["train"])
    given = {name: _sequences(split, mean, scale) for name, split in splits.items()}
    heard = keras.Input((_MOST, given["train"].heard.shape[2]))
    tracks = keras.Input((_MOST, given["train"].tracks.shape[2]))
    _, *states = layers.Bidirectional(layers.LSTM(_UNITS, return_state=True))(layers.Masking()(heard))
    decoder = layers.Bidirectional(layers.LSTM(_UNITS, return_sequences=True))
    hidden = decoder(layers.Masking()(tracks), initial_state=states)
    network = keras.Model([heard, tracks], layers.Dense(1, "sigmoid")(hidden))
    network.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", weighted_metrics=[])
    one, watched, test = (given[name] for name in ("train", "validation", "held_out"))
    network.fit(
        [one.heard, one.tracks],
        one.skipped[:, :, None],
        sample_weight=one.real,
        batch_size=_BATCH,
        epochs=_EPOCHS,
        validation_data=([watched.heard, watched.tracks], watched.skipped[:, :, None], watched.real),
        callbacks=[keras.callbacks.EarlyStopping(patience=_PATIENCE, restore_best_weights=True)],
        verbose=0,
    )
    p = network.predict([test.heard, test.tracks], batch_size=1024, verbose=0)[:, :, 0]
    decided = p[test.real > 0.5] > DECISION_THRESHOLD
    return {"BiLSTM encoder and decoder": decided.astype(np.uint8)}


class _Sequences(NamedTuple):
    """n sessions as the encoder and the decoder read them."""

    heard: np.ndarray  # float32 (n, 10, F), the first half, zeros in front
    tracks: np.ndarray  # float32 (n, 10, G), the second half, zeros at the end
    skipped: np.ndarray  # float32 (n, 10), skip_2 in the second half
    real: np.ndarray  # float32 (n, 10), 1 where the second half has a track


def _wide(part: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of log columns, (n, 19, 35), and features of all tracks but their number, (n, 20, 30)."""
    tracks = np.concatenate([part["previous_tracks"], part["last_track"][:, None]], axis=1)
    return np.log1p(part["session_log"]), tracks[:, :, 1:]


def _scaling(training: Split) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of log columns and features over a sample's tracks, (65,) each."""
    part = gather(training, slice(0, 20_000), tuple(schema.BRANCH_SHAPES))
    log, tracks = _wide(part)
    real = part["skip_sequence"][:, :, 0] != schema.SKIP_PADDING
    values = np.column_stack([log[real], tracks[:, :-1][real]])
    return values.mean(axis=0), values.std(axis=0) + 0.01


def _sequences(split: Split, mean: np.ndarray, scale: np.ndarray) -> _Sequences:
    made = []
    columns = len(schema.SESSION_LOG_BRANCH)
    for part in parts(split, tuple(schema.BRANCH_SHAPES)):
        log, tracks = _wide(part)
        log, tracks = (
            np.clip((values - mean[own]) / scale[own], -5.0, 5.0)
            for values, own in ((log, slice(0, columns)), (tracks, slice(columns, None)))
        )
        lengths = lengths_of(part)
        second = lengths - first_half(lengths)
        rows = np.arange(len(lengths))[:, None]
        step = np.arange(_MOST) + schema.MAX_SESSION_LENGTH - second[:, None] - _MOST  # of the first half
        is_heard = step >= schema.MAX_SESSION_LENGTH - lengths[:, None]
        step = np.maximum(step, 0)
        heard = np.concatenate([log[rows, step], tracks[rows, step]], axis=2) * is_heard[:, :, None]
        place = schema.MAX_SESSION_LENGTH - second[:, None] + np.arange(_MOST)
        real = place < schema.MAX_SESSION_LENGTH
        place = np.minimum(place, schema.STEPS)
        position = np.broadcast_to(np.arange(1, _MOST + 1)[None, :, None] / _MOST, (*real.shape, 1))
        length = np.broadcast_to(lengths[:, None, None] / schema.MAX_SESSION_LENGTH, (*real.shape, 1))
        asked = np.concatenate([tracks[rows, place], position, length], axis=2) * real[:, :, None]
        skipped = np.zeros(real.shape, np.float32)
        skipped[real] = skips(part)
        made.append([values.astype(np.float32) for values in (heard, asked, skipped, real)])
    return _Sequences(*(np.concatenate(values) for values in zip(*made, strict=True)))
