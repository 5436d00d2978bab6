"""All that is known of one model once its probabilities are: what metrics file, plots and page share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.flow import evaluate
from skip_pipeline.flow.evaluate import Confusion, ReliabilityBin, RocCurve, SplitScores
from skip_pipeline.flow.history import EpochReport
from skip_pipeline.report import plots, readings
from skip_pipeline.report.oracle import BestPossible, best_possible
from skip_pipeline.report.page import Baseline, Plot, Rival
from skip_pipeline.settings import DataSource


@dataclass(frozen=True)
class Evaluation:
    """Scores of every split; baselines and curves of the test split alone.

    Attributes:
        scores: by split, in the order of ``schema.SPLITS``.
        majority_class: the commoner outcome of the training sessions, 0 or 1.
        majority: test accuracy of always answering it.
        repeat_last: test accuracy of answering the outcome of the track before.
        best_possible: scores of the oracles on the test sessions; None for real data.
    """

    scores: Mapping[str, SplitScores]
    majority_class: int
    majority: float
    repeat_last: float
    confusion: Confusion
    roc: RocCurve
    reliability: tuple[ReliabilityBin, ...]
    best_possible: BestPossible | None = None

    def metrics(self) -> dict[str, Any]:
        """Scores and baselines as JSON values, and the oracles' where there are any."""
        metrics: dict[str, Any] = {split: asdict(scores) for split, scores in self.scores.items()}
        metrics["baselines"] = {
            "majority": {"class": self.majority_class, "accuracy": self.majority},
            "repeat_last_outcome": {"accuracy": self.repeat_last},
        }
        if self.best_possible:
            metrics["oracle"] = self.best_possible.metrics(self.scores["test"])
        return metrics

    def headline_metrics(self) -> dict[str, float]:
        """Test scores, named as MLflow shows them."""
        scores = asdict(self.scores["test"])
        del scores["sessions"]
        return {f"test_{name}": value for name, value in scores.items()}

    def oracle_metrics(self) -> dict[str, float]:
        """Scores of the oracles and the distance to the one that knows the past; empty for real data."""
        if not self.best_possible:
            return {}
        past, _ = self.best_possible.distances(self.scores["test"])
        return {
            "oracle_past_accuracy": self.best_possible.given_past.accuracy,
            "oracle_past_log_loss": self.best_possible.given_past.log_loss,
            "oracle_state_accuracy": self.best_possible.given_state.accuracy,
            "oracle_state_log_loss": self.best_possible.given_state.log_loss,
            "distance_to_oracle_accuracy": past.accuracy,
            "distance_to_oracle_log_loss": past.log_loss,
        }

    @property
    def rivals(self) -> tuple[Rival, ...]:
        """The network between the oracles and nothing else, for the page; empty for real data."""
        if not self.best_possible:
            return ()
        test = self.scores["test"]
        past, state = self.best_possible.distances(test)
        return (
            Rival("this network", test, None),
            Rival("best possible, given the past", self.best_possible.given_past, past),
            Rival("best possible, given the state", self.best_possible.given_state, state),
        )

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        return readings.headline(self.scores["test"], self.majority_class, self.majority, self.repeat_last)

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """What needs no network, for the page."""
        return (
            Baseline(
                f"always “{readings.OUTCOMES[self.majority_class]}”",
                "the commoner outcome of the training sessions",
                self.majority,
            ),
            Baseline(
                "repeat the last outcome", "what the listener did with the track before", self.repeat_last
            ),
        )


def evaluate_model(
    bundles: Mapping[str, Mapping[str, np.ndarray]],
    p_not_skipped: Mapping[str, np.ndarray],
    oracle: Path | None = None,
) -> Evaluation:
    """Score probabilities against labels.

    Args:
        bundles: per split, ``skip_sequence`` (n, 19, 1), the label (n,) and the session ids (n,).
        p_not_skipped: per split (n,).
        oracle: file of the best possible predictions, which only synthetic data have.

    Raises:
        BadInputError: see ``report.oracle.best_possible``.
        ContractError, TrainingError: see ``flow.evaluate.score``.
    """
    labels = {split: bundles[split][schema.LABEL] for split in schema.SPLITS}
    test, p_test = labels["test"], p_not_skipped["test"]
    return Evaluation(
        scores={split: evaluate.score(labels[split], p_not_skipped[split]) for split in schema.SPLITS},
        majority_class=evaluate.majority_class(labels["train"]),
        majority=evaluate.majority_accuracy(labels["train"], test),
        repeat_last=evaluate.repeat_last_outcome_accuracy(bundles["test"]["skip_sequence"], test),
        confusion=evaluate.confusion(test, p_test),
        roc=evaluate.roc_curve(test, p_test),
        reliability=evaluate.reliability_curve(test, p_test),
        best_possible=best_possible(oracle, bundles["test"]) if oracle else None,
    )


def predictions_table(test: Mapping[str, np.ndarray], p_not_skipped: np.ndarray) -> pa.Table:
    """``schema.PREDICTIONS``: the test sessions with their outcome and its probability."""
    return pa.Table.from_arrays(
        [
            pa.array(np.asarray(test[schema.SESSION_ID])),
            pa.array(test[schema.LABEL].astype(np.int8)),
            pa.array(p_not_skipped),
        ],
        schema=schema.PREDICTIONS,
    )


def draw(
    evaluation: Evaluation,
    *,
    balance: Mapping[str, tuple[int, int]],
    lengths: Mapping[int, int],
    history: tuple[EpochReport, ...],
    best_epoch: int,
    data_source: DataSource,
) -> dict[str, Plot]:
    """The six pictures of the report, by name."""
    return {
        "class_balance": Plot(
            "How often the last track is skipped",
            readings.class_balance(balance),
            plots.class_balance(balance, data_source),
        ),
        "session_lengths": Plot(
            "Session lengths and padding",
            readings.session_lengths(lengths),
            plots.session_lengths(lengths, data_source),
        ),
        "training_curves": Plot(
            "Training",
            readings.training_curves(history, best_epoch),
            plots.training_curves(history, best_epoch, data_source),
        ),
        "confusion_matrix": Plot(
            "What was predicted, what happened",
            readings.confusion_matrix(evaluation.confusion),
            plots.confusion_matrix(evaluation.confusion, data_source),
        ),
        "roc": Plot("ROC curve", readings.roc(evaluation.roc), plots.roc(evaluation.roc, data_source)),
        "calibration": Plot(
            "Calibration",
            readings.calibration(evaluation.reliability),
            plots.calibration(evaluation.reliability, data_source),
        ),
    }
