"""Scores of the network before and after its probabilities were calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import expected_calibration_error, reliability_curve
from skip_pipeline.metrics.scores import SplitScores, score
from skip_pipeline.settings import DECISION_THRESHOLD

SPLITS: Final = ("validation", "test")
"""The split that the calibration was fitted to, and the one that it is judged on."""


@dataclass(frozen=True)
class CalibrationEffect:
    """Scores of one split.

    Attributes:
        before: of the network's own probabilities, at the threshold of one half.
        after: of calibrated probabilities, at the calibration's threshold.
        ece_before, ece_after: expected calibration error.
    """

    before: SplitScores
    after: SplitScores
    ece_before: float
    ece_after: float


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration, and its effect by split of ``SPLITS``."""

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
    for split in SPLITS:
        before, after = p_not_skipped[split], calibration.apply(p_not_skipped[split])
        effects[split] = CalibrationEffect(
            before=score(labels[split], before, DECISION_THRESHOLD),
            after=score(labels[split], after, calibration.threshold),
            ece_before=expected_calibration_error(reliability_curve(labels[split], before)),
            ece_after=expected_calibration_error(reliability_curve(labels[split], after)),
        )
    return CalibrationReport(calibration, effects)
