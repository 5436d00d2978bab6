"""The challenge's question asked of a trained network, on whole sessions: the second half given the first.

Every second-half track is a step whose outcome is hidden, as in sessions that are cut in training, so one run
of the network answers all of them. A track is answered from the first half and from the track itself; the
other tracks of the second half have no influence.
"""

from typing import Any, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.second_half import hide, is_asked, lengths_of, skips
from skip_pipeline.metrics import decision_rule
from skip_pipeline.metrics.calibration import Calibration, within
from skip_pipeline.metrics.decision_rule import DecisionRule
from skip_pipeline.training.onnx_model import predict_outcomes
from skip_pipeline.training.splits import Split, parts


class SecondHalves(NamedTuple):
    """The second halves of n sessions; values of tracks are flat, (rows,), session after session."""

    lengths: np.ndarray  # int64 (n,), number of tracks of each whole session
    skip_2: np.ndarray  # uint8 (rows,), what was logged
    p_skip_2: np.ndarray  # float64 (rows,), probabilities given the first half, calibrated
    p_skip: np.ndarray  # float64 (rows,), of not being played to the end

    @property
    def tracks(self) -> np.ndarray:
        """Number of tracks of each second half, int64 (n,)."""
        return np.asarray(self.lengths - self.lengths // 2)


def predict_second_half(
    network: Any, split: Split, calibration: Calibration | None, *, p_next: np.ndarray | None = None
) -> SecondHalves:
    """Predict the second half of every session of a split from its first half.

    Args:
        network: the default network's ONNX session (``onnx_model.open_onnx``).
        split: whole sessions with ``track_memory``, the label and the last flags.
        calibration: of the network's probabilities; None to leave them.
        p_next: other probabilities that each track is played, given all before it, (n, 20); the first track
            of each second half gets these. None to leave the network's.

    Raises:
        ContractError: the network answers for the last track alone, or fails.
    """
    lengths, logged, predicted = [], [], []
    for part in parts(split, tuple(schema.INPUT_SHAPES)):
        lengths.append(lengths_of(part))
        logged.append(skips(part))
        hidden = hide({name: part[name] for name in schema.INPUT_SHAPES})
        outcomes = predict_outcomes(network, hidden | {"last_track": hidden["last_track"][:, None]})
        predicted.append(outcomes[is_asked(lengths[-1])].astype(np.float64))  # (rows, 4)
    outcomes = np.concatenate([np.empty((0, len(schema.OUTCOME_FLAGS))), *predicted])
    p_not_skipped = outcomes[:, -1]
    p_skip = 1.0 - (p_not_skipped if calibration is None else calibration.apply(p_not_skipped))
    every_length = np.concatenate([np.empty(0, np.int64), *lengths])
    if p_next is not None:
        asked = is_asked(every_length)
        is_first = asked & ~np.pad(asked, ((0, 0), (1, 0)))[:, :-1]
        p_skip[is_first[asked]] = 1.0 - p_next[is_first]
    early = within(outcomes, p_skip)
    return SecondHalves(
        lengths=every_length,
        skip_2=np.concatenate([np.empty(0, np.uint8), *logged]),
        p_skip_2=early[:, schema.OUTCOME_FLAGS.index("skip_2")],
        p_skip=p_skip,
    )


def fit_rule(
    network: Any, validation: Split, calibration: Calibration | None, *, p_next: np.ndarray | None = None
) -> DecisionRule:
    """Fit the decision rule to validation sessions; arguments and errors as of ``predict_second_half``."""
    halves = predict_second_half(network, validation, calibration, p_next=p_next)
    return decision_rule.fit(halves.skip_2, halves.p_skip_2, halves.lengths)
