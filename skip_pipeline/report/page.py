"""The evaluation report as one HTML page that needs nothing else: no script, no request, no file.

Everything shown comes in through ``ReportContent`` and is escaped; nothing is computed here. The words
and the looks are in ``page.html.j2``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from skip_pipeline.flow.evaluate import SplitScores
from skip_pipeline.report.oracle import Distance
from skip_pipeline.report.plots import DPI
from skip_pipeline.settings import DataSource

_TEMPLATE: Final = "page.html.j2"
_PAGE_DPI: Final = 96  # CSS pixels to the inch


@dataclass(frozen=True)
class Plot:
    """A picture of the page: title, one sentence that says what it shows, PNG bytes."""

    title: str
    reading: str
    png: bytes


@dataclass(frozen=True)
class Baseline:
    """A rule that needs no network, scored on the test sessions."""

    name: str
    explanation: str
    accuracy: float


@dataclass(frozen=True)
class Rival:
    """Who predicts the test sessions, how well, and what the network lacks to it (None for itself)."""

    name: str
    scores: SplitScores
    distance: Distance | None


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
        scores: per split, in the order of ``schema.SPLITS``.
        baselines: rows below the test scores.
        rivals: the network and the oracles of synthetic data; empty for real data.
        plots: in the order they are shown.
        settings: hyper-parameters by name.
        data: one row per stage folder.
        runs: the runs that made it.
    """

    data_source: DataSource
    made_at: str
    preset: str
    parameters: int
    headline: str
    scores: Mapping[str, SplitScores]
    baselines: tuple[Baseline, ...]
    plots: tuple[Plot, ...]
    settings: Mapping[str, str | int | float | None]
    data: tuple[DataRow, ...]
    runs: tuple[RunLink, ...]
    rivals: tuple[Rival, ...] = ()


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
        count=_count,
        size=_size,
        data_uri=_data_uri,
        css_width=_css_width,
        web_address=_web_address,
    )
    return environment.get_template(_TEMPLATE).render(content=content)


def _percent(share: float) -> str:
    return f"{share:.1%}"


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
