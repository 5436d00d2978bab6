"""What correcting the network's probabilities on the validation sessions has done to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from skip_pipeline.metrics import curves
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.settings import DECISION_THRESHOLD

SPLITS: Final = ("validation", "test")
"""Where it was learnt, and where it is judged."""


@dataclass(frozen=True)
class CalibrationEffect:
    """Scores of one split before and after.

    Attributes:
        before: as the network gives its probabilities, with the plain threshold.
        after: corrected, with the chosen threshold.
        ece_before, ece_after: ``curves.expected_calibration_error``.
    """

    before: SplitScores
    after: SplitScores
    ece_before: float
    ece_after: float


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration as it was fitted, and its effect by split, ``SPLITS``."""

    calibration: Calibration
    effects: Mapping[str, CalibrationEffect]

    def metrics(self) -> dict[str, Any]:
        """As JSON values: the calibration's own, and the effect by split."""
        effects = {split: asdict(effect) for split, effect in self.effects.items()}
        return self.calibration.to_json() | effects


def judge_calibration(
    labels: Mapping[str, np.ndarray], p_not_skipped: Mapping[str, np.ndarray], calibration: Calibration
) -> CalibrationReport:
    """Score a calibration on the sessions it was learnt from and on the test sessions.

    Args:
        labels: per split of ``SPLITS`` (n,), 0 or 1.
        p_not_skipped: per split (n,), as the network gives them.
        calibration: fitted on the validation sessions.

    Raises:
        ContractError, TrainingError: see ``evaluate.score``.
    """
    effects = {}
    for split in SPLITS:
        before, after = p_not_skipped[split], calibration.apply(p_not_skipped[split])
        effects[split] = CalibrationEffect(
            before=evaluate.score(labels[split], before, DECISION_THRESHOLD),
            after=evaluate.score(labels[split], after, calibration.threshold),
            ece_before=_ece(labels[split], before),
            ece_after=_ece(labels[split], after),
        )
    return CalibrationReport(calibration, effects)


def _ece(labels: np.ndarray, p_not_skipped: np.ndarray) -> float:
    return curves.expected_calibration_error(curves.reliability_curve(labels, p_not_skipped))
