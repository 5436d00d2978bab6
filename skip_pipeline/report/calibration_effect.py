"""Scores of the network before and after its probabilities were calibrated."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import expected_calibration_error, reliability_curve
from skip_pipeline.metrics.scores import SplitScores, score
from skip_pipeline.settings import DECISION_THRESHOLD


@dataclass(frozen=True)
class CalibrationEffect:
    """Scores of one split."""

    before: SplitScores  # of the network's own probabilities, at the threshold of one half
    after: SplitScores  # of calibrated probabilities, at the calibration's threshold
    ece_before: float  # expected calibration error
    ece_after: float


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration, and its effect by split."""

    calibration: Calibration
    effects: Mapping[str, CalibrationEffect]

    def metrics(self) -> dict[str, Any]:
        """As JSON values: slope, offset, threshold and sessions, and the effect by split."""
        effects = {split: asdict(effect) for split, effect in self.effects.items()}
        return self.calibration.to_json() | effects


def measure_calibration(
    labels: Mapping[str, np.ndarray], p_not_skipped: Mapping[str, np.ndarray], calibration: Calibration
) -> CalibrationReport:
    """Score labels (n,) and the network's own probabilities (n,) of both splits, before and after."""
    effects = {}
    for split in ("validation", "test"):  # where the calibration was fitted, and where it is judged
        truth, before, after = labels[split], p_not_skipped[split], calibration.apply(p_not_skipped[split])
        effects[split] = CalibrationEffect(
            score(truth, before, DECISION_THRESHOLD),
            score(truth, after, calibration.threshold),
            *(expected_calibration_error(reliability_curve(truth, p)) for p in (before, after)),
        )
    return CalibrationReport(calibration, effects)
