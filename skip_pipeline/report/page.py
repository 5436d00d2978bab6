"""The evaluation report as one HTML page that needs nothing else: no script, no request, no file.

Everything shown comes in through ``ReportContent`` and is escaped; nothing is computed here but where the
marks of the small drawings stand. The words are in ``page.html.j2``, the looks in ``look.html.j2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report.calibration import CalibrationReport
from skip_pipeline.report.html import Axis, RunLink, render
from skip_pipeline.report.importance import Importance
from skip_pipeline.report.leaderboard import Leaderboard
from skip_pipeline.report.mistakes import Mistake
from skip_pipeline.report.slices import SliceTable
from skip_pipeline.settings import (
    CALIBRATION_BINS,
    CONFIDENCE,
    DECISION_THRESHOLD,
    FEW_SESSIONS,
    DataSource,
)


@dataclass(frozen=True)
class Plot:
    """A picture of the page: title, one sentence that says what it shows, PNG bytes."""

    title: str
    reading: str
    png: bytes


@dataclass(frozen=True)
class DataRow:
    """One stage folder: what it holds, in numbers."""

    name: str
    rows: int
    files: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ReportContent:
    """All that the page says.

    Attributes:
        data_source: ``synthetic`` puts a banner above everything.
        made_at: when, in words.
        preset: which network.
        parameters: how many it has.
        headline: the result in one sentence (``readings.headline``).
        readings: what each part says in words (``Evaluation.readings``); an empty one is left out.
        scores: per split, in the order of ``schema.SPLITS``.
        leaderboard: every model on the test sessions.
        calibration: what correcting the probabilities did; None where they are as the network gives them.
        slices: of the test sessions.
        importance: of the network's inputs.
        mistakes: the worst predictions.
        comparisons: plots of all models, in the order they are shown.
        plots: all others.
        settings: hyper-parameters by name.
        data: one row per stage folder.
        runs: the runs that made it.
    """

    data_source: DataSource
    made_at: str
    preset: str
    parameters: int
    headline: str
    readings: Mapping[str, str]
    scores: Mapping[str, SplitScores]
    leaderboard: Leaderboard
    calibration: CalibrationReport | None
    slices: tuple[SliceTable, ...]
    importance: Importance
    mistakes: tuple[Mistake, ...]
    comparisons: tuple[Plot, ...]
    plots: tuple[Plot, ...]
    settings: Mapping[str, str | int | float | None]
    data: tuple[DataRow, ...]
    runs: tuple[RunLink, ...]


def render_report(content: ReportContent) -> str:
    """The page as HTML text, to be written as UTF-8."""
    return render("page.html.j2", content=content, axes=_axes(content), facts=_FACTS)


_FACTS: Final = {
    "confidence": CONFIDENCE,
    "few": FEW_SESSIONS,
    "bins": CALIBRATION_BINS,
    "threshold": DECISION_THRESHOLD,
}


def _axes(content: ReportContent) -> dict[str, Axis]:
    """Axes of the small drawings; a slice with few sessions may run over their ends."""
    slices = [part for table in content.slices for part in table.slices if not part.few]
    overall = content.leaderboard.network
    return {
        "accuracy": Axis.over([part.accuracy for part in slices], overall.accuracy.value),
        "log_loss": Axis.over([part.log_loss for part in slices], overall.log_loss.value),
        "rise": Axis.over([entry.rise for entry in content.importance.inputs], 0.0),
    }
