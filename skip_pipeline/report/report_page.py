"""The evaluation report as one self-contained HTML page: no script, no request, no other file."""

from collections.abc import Mapping, Sequence

from skip_pipeline.raw.description import Description
from skip_pipeline.report import model_plots, plots
from skip_pipeline.report.evaluation import Evaluation
from skip_pipeline.report.html import Axis, RunLink, render
from skip_pipeline.report.leaderboard import Entry
from skip_pipeline.report.next_track import TrackEntry
from skip_pipeline.report.plots import Plot
from skip_pipeline.report.slices import SliceTable
from skip_pipeline.storage import Manifest
from skip_pipeline.training.history import EpochReport


def draw_plots(
    evaluation: Evaluation,
    *,
    balance: Mapping[str, tuple[int, int]],
    lengths: Mapping[int, int],
    history: Sequence[EpochReport],
    best_epoch: int,
    mark: str,
) -> dict[str, Plot]:
    """Every plot of the report by name; arguments as of the functions of ``plots``."""
    entries = evaluation.leaderboard.entries
    next_track = evaluation.next_track
    return {
        "calibration": model_plots.calibration(entries, mark),
        "roc": model_plots.roc(entries, mark),
        "class_balance": plots.class_balance(balance, mark),
        "session_lengths": plots.session_lengths(lengths, mark),
        "training_curves": plots.training_curves(history, best_epoch, mark),
        "confusion_matrix": model_plots.confusion_matrix(evaluation.confusion, mark),
        **({"positions": model_plots.positions(next_track, mark)} if next_track else {}),
    }


def render_report(
    evaluation: Evaluation,
    plots: Mapping[str, Plot],
    *,
    description: Description,
    made_at: str,
    settings: Mapping[str, str | int | float | None],
    data: Sequence[Manifest],
    runs: Sequence[RunLink],
) -> str:
    """The page as HTML text, with the plots of ``draw_plots``, training settings, stages and runs."""
    served = evaluation.leaderboard.served
    next_track = evaluation.next_track
    return render(
        "report_page.html.j2",
        evaluation=evaluation,
        plots=plots,
        description=description,
        made_at=made_at,
        settings=settings,
        data=data,
        runs=runs,
        slice_axes=_slice_axes(evaluation.slices, served),
        next_track_axes=_slice_axes(next_track.slices, next_track.served) if next_track else None,
        rise_axis=Axis.over([group.rise for group in evaluation.importance.inputs], 0.0),
    )


def _slice_axes(tables: Sequence[SliceTable], served: Entry | TrackEntry) -> dict[str, Axis]:
    """Axes of accuracy and log-loss; a slice of few sessions may exceed them."""
    large = [part for table in tables for part in table.slices if not part.few]
    return {
        "accuracy": Axis.over([part.accuracy for part in large], served.accuracy.value),
        "log_loss": Axis.over([part.log_loss for part in large], served.log_loss.value),
    }
