"""The pictures of the report, each with its title and what it shows in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from skip_pipeline.report import comparison_plots, plots, readings
from skip_pipeline.report.evaluation import Evaluation
from skip_pipeline.report.page import Plot
from skip_pipeline.settings import DataSource
from skip_pipeline.training.history import EpochReport


def draw_comparisons(evaluation: Evaluation, data_source: DataSource) -> dict[str, Plot]:
    """The network and every other model, by name of the picture."""
    network = next(model for model in evaluation.curves if model.kind == "network")
    return {
        "calibration": Plot(
            "What is a probability worth?",
            readings.calibration(network.reliability),
            comparison_plots.calibration(evaluation.curves, data_source),
        ),
        "roc": Plot(
            "Who ranks sessions best?",
            readings.roc(network.roc),
            comparison_plots.roc(evaluation.curves, data_source),
        ),
    }


def draw(
    evaluation: Evaluation,
    *,
    balance: Mapping[str, tuple[int, int]],
    lengths: Mapping[int, int],
    history: tuple[EpochReport, ...],
    best_epoch: int,
    data_source: DataSource,
) -> dict[str, Plot]:
    """The data, the training and the predictions of the network, by name of the picture."""
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
    }
