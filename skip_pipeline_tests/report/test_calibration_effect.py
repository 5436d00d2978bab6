"""What correcting probabilities did, on the sessions it was learnt from and on the test sessions."""

import json

import numpy as np
import pytest

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.scores import score
from skip_pipeline.report.calibration_effect import measure_calibration
from skip_pipeline_tests.builders import refusal

RANDOM = np.random.default_rng(2)
TRUTH = {split: RANDOM.random(500) for split in ("train", "validation", "test")}
LABELS = {split: (RANDOM.random(500) < p).astype(np.float32) for split, p in TRUTH.items()}
TOO_SURE = {split: 1 / (1 + ((1 - p) / p) ** 2) for split, p in TRUTH.items()}  # twice the log-odds
HALVED = Calibration(slope=0.5, offset=0.0, threshold=0.4, tracks=500)


def test_scores_before_are_at_one_half_and_after_at_the_chosen_threshold() -> None:
    report = measure_calibration(LABELS, TOO_SURE, HALVED)

    assert list(report.effects) == ["validation", "test"]
    for split, effect in report.effects.items():
        assert effect.before == score(LABELS[split], TOO_SURE[split], 0.5)
        assert effect.after == score(LABELS[split], HALVED.apply(TOO_SURE[split]), 0.4)
        assert effect.after.log_loss < effect.before.log_loss
        assert effect.after.roc_auc == pytest.approx(effect.before.roc_auc)
        assert effect.ece_after < effect.ece_before


def test_metrics_hold_the_calibration_and_its_effect() -> None:
    metrics = json.loads(json.dumps(measure_calibration(LABELS, TOO_SURE, HALVED).metrics()))

    assert Calibration.from_json(metrics) == HALVED
    assert metrics["test"].keys() == {"before", "after", "ece_before", "ece_after"}


def test_probabilities_of_another_split_are_refused() -> None:
    mixed = TOO_SURE | {"test": TOO_SURE["test"][:9]}
    assert "(9,)" in refusal(ContractError, lambda: measure_calibration(LABELS, mixed, HALVED))
