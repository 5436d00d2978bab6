"""The evaluation report as one self-contained HTML page: no script, no request, no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skip_pipeline.report import model_plots, plots
from skip_pipeline.report.evaluation import Evaluation
from skip_pipeline.report.html import Axis, RunLink, render
from skip_pipeline.report.plots import Plot
from skip_pipeline.settings import DataSource
from skip_pipeline.training.history import EpochReport


@dataclass(frozen=True)
class DataRow:
    """The size and digest of one stage's files."""

    name: str
    rows: int
    files: int
    bytes: int
    sha256: str


def draw_plots(
    evaluation: Evaluation,
    *,
    balance: Mapping[str, tuple[int, int]],
    lengths: Mapping[int, int],
    history: Sequence[EpochReport],
    best_epoch: int,
    data_source: DataSource,
    law: str | None = None,
) -> dict[str, Plot]:
    """Every plot of the report by name; arguments as of the functions of ``plots``."""
    entries = evaluation.leaderboard.entries
    return {
        "calibration": model_plots.calibration(entries, data_source, law),
        "roc": model_plots.roc(entries, data_source, law),
        "class_balance": plots.class_balance(balance, data_source, law),
        "session_lengths": plots.session_lengths(lengths, data_source, law),
        "training_curves": plots.training_curves(history, best_epoch, data_source, law),
        "confusion_matrix": model_plots.confusion_matrix(evaluation.confusion, data_source, law),
    }


def render_report(
    evaluation: Evaluation,
    plots: Mapping[str, Plot],
    *,
    data_source: DataSource,
    made_at: str,
    settings: Mapping[str, str | int | float | None],
    data: Sequence[DataRow],
    runs: Sequence[RunLink],
    law: str | None = None,
) -> str:
    """The page as HTML text, with the plots of ``draw_plots``, training settings, stages and runs.

    ``law`` names the law of synthetic listeners' behaviour, if it is not the default one.
    """
    network = evaluation.leaderboard.network
    # A slice of few sessions may exceed the axis.
    slices = [part for table in evaluation.slices for part in table.slices if not part.few]
    return render(
        "report_page.html.j2",
        evaluation=evaluation,
        plots=plots,
        data_source=data_source,
        made_at=made_at,
        settings=settings,
        data=data,
        runs=runs,
        law=law,
        axes={
            "accuracy": Axis.over([part.accuracy for part in slices], network.accuracy.value),
            "log_loss": Axis.over([part.log_loss for part in slices], network.log_loss.value),
            "rise": Axis.over([group.rise for group in evaluation.importance.inputs], 0.0),
        },
    )
