"""All that is known of one model once its probabilities are: what metrics file, plots and page share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import BaselinePredictions
from skip_pipeline.metrics import curves
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import Confusion
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report import comparisons, readings
from skip_pipeline.report.calibration import CalibrationReport, judge_calibration
from skip_pipeline.report.circumstances import Circumstances
from skip_pipeline.report.comparison_plots import ModelCurves
from skip_pipeline.report.importance import Importance, Predict, choose_sessions, permutation_importance
from skip_pipeline.report.leaderboard import Leaderboard, Model, compare
from skip_pipeline.report.mistakes import Mistake, worst_mistakes
from skip_pipeline.report.oracle import GIVEN_PAST, GIVEN_STATE, BestPossible, oracle_chances, score_oracles
from skip_pipeline.report.slices import SliceTable, score_slices, slicings
from skip_pipeline.settings import DECISION_THRESHOLD


@dataclass(frozen=True)
class Network:
    """What the report says of the network beside its predictions.

    Attributes:
        preset: its name.
        parameters: how many it has.
        seconds: that its epochs took.
    """

    preset: str
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of every split; all else is of the test sessions alone.

    Attributes:
        scores: of the network by split, in the order of ``schema.SPLITS``; corrected, as all that follows.
        majority_class: the commoner outcome of the training sessions, 0 or 1.
        majority: test accuracy of always answering it.
        repeat_last: test accuracy of answering the outcome of the track before.
        p_not_skipped: (n,), of each test session.
        curves: of each model, in the order of the leaderboard.
        calibration: None where the network's probabilities are used as they are.
        best_possible: scores of the oracles; None for real data.
    """

    scores: Mapping[str, SplitScores]
    majority_class: int
    majority: float
    repeat_last: float
    p_not_skipped: np.ndarray
    confusion: Confusion
    leaderboard: Leaderboard
    curves: tuple[ModelCurves, ...]
    slices: tuple[SliceTable, ...]
    importance: Importance
    mistakes: tuple[Mistake, ...]
    calibration: CalibrationReport | None = None
    best_possible: BestPossible | None = None

    def metrics(self) -> dict[str, Any]:
        """All of it as JSON values; the content of metrics.json but for what the asset knows of the run.

        An estimate is ``{"value", "low", "high"}``, with the ends of its 95% interval. Probabilities are of
        "not skipped", corrected where there is a calibration.

            train, validation, test   scores of the network (``SplitScores``)
            baselines                 accuracy of two rules: majority (and its class), repeat_last_outcome
            threshold                 probability from which on the network answers "not skipped"
            leaderboard               sessions, share_not_skipped, interval (confidence, resamples, seed),
                                      ece_bins, and models: per model, the lowest log-loss first, every field
                                      of ``leaderboard.Entry`` but seconds; differences are the model's minus
                                      the network's, with beyond_chance
            slices                    per way to part the sessions its name and slices: label, sessions,
                                      share_not_skipped, accuracy and log_loss (estimates), few_sessions
            importance                sessions, seed, log_loss as they are, and inputs: name, title, kind
                                      (branch or features), rise of log-loss (estimate)
            mistakes                  the worst predictions (``mistakes.Mistake``), outcomes as 0 and 1
            calibration               slope, offset, threshold, sessions; validation and test: before, after
                                      (scores), ece_before, ece_after; left out where there is none
            oracle                    given_past, given_state: scores, and distance (log_loss, accuracy) of
                                      the network to them; left out for real data
        """
        metrics: dict[str, Any] = {split: asdict(scores) for split, scores in self.scores.items()}
        metrics["baselines"] = {
            "majority": {"class": self.majority_class, "accuracy": self.majority},
            "repeat_last_outcome": {"accuracy": self.repeat_last},
        }
        metrics["threshold"] = self.leaderboard.network.threshold
        metrics["leaderboard"] = self.leaderboard.metrics()
        metrics["slices"] = [table.metrics() for table in self.slices]
        metrics["importance"] = self.importance.metrics()
        metrics["mistakes"] = [mistake.metrics() for mistake in self.mistakes]
        if self.calibration:
            metrics["calibration"] = self.calibration.metrics()
        if self.best_possible:
            metrics["oracle"] = self.best_possible.metrics(self.scores["test"])
        return metrics

    def headline_metrics(self) -> dict[str, float]:
        """Test scores, named as MLflow shows them."""
        scores = asdict(self.scores["test"])
        del scores["sessions"]
        network = self.leaderboard.network
        named = {f"test_{name}": value for name, value in scores.items()}
        return named | {"test_pr_auc": network.pr_auc, "test_ece": network.ece}

    def comparison_metrics(self) -> dict[str, float]:
        """Scores of every model and importance of every input, in groups that MLflow charts together."""
        scores = {
            f"{score}/{entry.name}": value
            for entry in self.leaderboard.entries
            for score, value in (
                ("log_loss", entry.log_loss.value),
                ("accuracy", entry.accuracy.value),
                ("roc_auc", entry.roc_auc.value),
            )
        }
        inputs = {f"importance/{entry.name}": entry.rise.value for entry in self.importance.inputs}
        return scores | inputs

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
    def headline(self) -> str:
        """The result in one sentence."""
        return readings.headline(self.scores["test"], self.majority_class, self.majority, self.repeat_last)

    @property
    def readings(self) -> dict[str, str]:
        """What each part of the page says in a sentence or two; empty where there is nothing to say."""
        return {
            "verdict": comparisons.verdict(self.leaderboard),
            "rule": comparisons.rule(self.leaderboard),
            "distance": comparisons.distance(self.leaderboard) if self.best_possible else "",
            "calibration": comparisons.correction(self.calibration) if self.calibration else "",
            "slices": comparisons.slices(self.slices),
            "importance": comparisons.importance(self.importance),
            "mistakes": comparisons.mistakes(self.mistakes),
        }


def evaluate_model(
    bundles: Mapping[str, Mapping[str, Any]],
    p_not_skipped: Mapping[str, np.ndarray],
    predict: Predict,
    network: Network,
    sessions: Circumstances,
    *,
    baselines: Sequence[BaselinePredictions] = (),
    calibration: Calibration | None = None,
    oracle: Path | None = None,
) -> Evaluation:
    """Score probabilities against labels, and set the network beside everything else.

    Args:
        bundles: per split, the four branches, the label (n,) and the session ids (n,).
        p_not_skipped: per split (n,), as the network gives them.
        predict: the network, for the importance of its inputs.
        network: facts about it.
        sessions: circumstances of the test sessions.
        baselines: with probabilities of the same test sessions.
        calibration: fitted on the validation sessions; None leaves probabilities as they are and the
            threshold at one half.
        oracle: file of the best possible predictions, which only synthetic data have.

    Raises:
        BadInputError: see ``report.oracle.oracle_chances``.
        ContractError, TrainingError: see ``metrics.scores.score`` and ``report.leaderboard.compare``.
    """
    labels = {split: bundles[split][schema.LABEL] for split in schema.SPLITS}
    test = labels["test"]
    apply: Callable[[np.ndarray], np.ndarray] = calibration.apply if calibration else _as_they_are
    threshold = calibration.threshold if calibration else DECISION_THRESHOLD
    corrected = {split: apply(p_not_skipped[split]) for split in schema.SPLITS}
    chances = oracle_chances(oracle, np.asarray(bundles["test"][schema.SESSION_ID])) if oracle else {}
    models = (
        _network_model(network, corrected["test"], threshold),
        *(_baseline_model(baseline) for baseline in baselines),
        *(_oracle_model(name, p) for name, p in chances.items()),
    )
    board = compare(test, models)
    return Evaluation(
        scores={split: evaluate.score(labels[split], corrected[split], threshold) for split in schema.SPLITS},
        majority_class=evaluate.majority_class(labels["train"]),
        majority=evaluate.majority_accuracy(labels["train"], test),
        repeat_last=evaluate.repeat_last_outcome_accuracy(bundles["test"]["skip_sequence"], test),
        p_not_skipped=corrected["test"],
        confusion=curves.confusion(test, corrected["test"], threshold),
        leaderboard=board,
        curves=_curves(test, models, board),
        slices=score_slices(test, corrected["test"], slicings(sessions), threshold),
        importance=_importance(bundles["test"], lambda inputs: apply(predict(inputs))),
        mistakes=worst_mistakes(bundles["test"], corrected["test"], sessions),
        calibration=judge_calibration(labels, p_not_skipped, calibration) if calibration else None,
        best_possible=score_oracles(chances, test) if chances else None,
    )


def _as_they_are(p_not_skipped: np.ndarray) -> np.ndarray:
    return p_not_skipped


def _network_model(network: Network, p_not_skipped: np.ndarray, threshold: float) -> Model:
    return Model(
        name=network.preset,
        title=f"{network.preset} network",
        description="This pipeline's network, on the four branches.",
        kind="network",
        p_not_skipped=p_not_skipped,
        threshold=threshold,
        seconds=network.seconds,
        parameters=network.parameters,
    )


def _baseline_model(baseline: BaselinePredictions) -> Model:
    return Model(
        name=baseline.name,
        title=baseline.title[:1].lower() + baseline.title[1:],  # it stands in sentences, too
        description=baseline.description,
        kind="baseline",
        p_not_skipped=baseline.p_not_skipped["test"],
        seconds=baseline.seconds,
        parameters=baseline.parameters,
    )


_ORACLES: Final = {
    GIVEN_PAST: ("oracle_past", "best possible, given the past", "Knows the world's laws, and the log."),
    GIVEN_STATE: ("oracle_state", "best possible, given the state", "Also knows taste, patience and mood."),
}


def _oracle_model(column: str, p_not_skipped: np.ndarray) -> Model:
    name, title, description = _ORACLES[column]
    return Model(name, title, description, "oracle", p_not_skipped)


def _curves(test: np.ndarray, models: Sequence[Model], board: Leaderboard) -> tuple[ModelCurves, ...]:
    by_name = {model.name: model for model in models}
    return tuple(
        ModelCurves(
            entry.title,
            entry.kind,
            curves.roc_curve(test, by_name[entry.name].p_not_skipped),
            curves.reliability_curve(test, by_name[entry.name].p_not_skipped),
        )
        for entry in board.entries
    )


def _importance(test: Mapping[str, Any], predict: Predict) -> Importance:
    chosen = choose_sessions(len(test[schema.LABEL]))
    inputs = {name: test[name][chosen] for name in schema.BRANCH_SHAPES}
    return permutation_importance(inputs, test[schema.LABEL][chosen], predict)


def predictions_table(test: Mapping[str, Any], p_not_skipped: np.ndarray) -> pa.Table:
    """``schema.PREDICTIONS``: the test sessions with their outcome and its probability."""
    return pa.Table.from_arrays(
        [
            pa.array(np.asarray(test[schema.SESSION_ID])),
            pa.array(test[schema.LABEL].astype(np.int8)),
            pa.array(p_not_skipped),
        ],
        schema=schema.PREDICTIONS,
    )
