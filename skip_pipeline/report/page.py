"""The evaluation report as one HTML page that needs nothing else: no script, no request, no file.

Everything shown comes in through ``ReportContent`` and is escaped; nothing is computed here but where the
marks of the small drawings stand. The words and the looks are in ``page.html.j2``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from skip_pipeline.flow.bootstrap import Estimate
from skip_pipeline.flow.evaluate import SplitScores
from skip_pipeline.report.calibration import CalibrationReport
from skip_pipeline.report.importance import Importance
from skip_pipeline.report.leaderboard import Leaderboard
from skip_pipeline.report.mistakes import Mistake
from skip_pipeline.report.plots import DPI
from skip_pipeline.report.slices import SliceTable
from skip_pipeline.settings import (
    CALIBRATION_BINS,
    CONFIDENCE,
    DECISION_THRESHOLD,
    FEW_SESSIONS,
    DataSource,
)

_TEMPLATE: Final = "page.html.j2"
_PAGE_DPI: Final = 96  # CSS pixels to the inch


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
class RunLink:
    """A run that made this report; linked where ``url`` is an http or https address."""

    label: str
    run_id: str
    url: str | None = None


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


@dataclass(frozen=True)
class Axis:
    """A horizontal axis of the small drawings beside numbers."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value stands, 0 to 100; a value beyond an end stands at it."""
        span = self.high - self.low
        return round(100 * min(max((value - self.low) / span, 0.0), 1.0), 2) if span > 0 else 50.0

    @classmethod
    def over(cls, shown: Iterable[Estimate], *values: float) -> Axis:
        """An axis on which some intervals and values fit, with some room at both ends."""
        ends = [*values, *(end for e in shown for end in (e.low, e.high))] or [0.0]
        room = 0.04 * (max(ends) - min(ends))
        return cls(min(ends) - room, max(ends) + room)


def render_report(content: ReportContent) -> str:
    """The page as HTML text, to be written as UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=_percent,
        signed=_signed,
        count=_count,
        size=_size,
        data_uri=_data_uri,
        css_width=_css_width,
        web_address=_web_address,
    )
    return environment.get_template(_TEMPLATE).render(content=content, axes=_axes(content), facts=_FACTS)


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


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _signed(value: float, digits: int) -> str:
    """With a sign that is as wide as a plus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _count(number: int) -> str:
    return f"{number:,}"


def _size(number_of_bytes: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number_of_bytes >= factor:
            return f"{number_of_bytes / factor:.1f} {unit}"
    return f"{number_of_bytes} B"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _css_width(png: bytes) -> int:
    """Width at which a plot has the text size it was drawn for; a PNG's header has its pixels at 16..20."""
    return int.from_bytes(png[16:20], "big") * _PAGE_DPI // DPI


def _web_address(url: str | None) -> str | None:
    """The address if following it can only open a web page, else None: ``javascript:`` is an address, too."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None
