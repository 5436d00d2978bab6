"""Rendering of the pages: Jinja templates with every value escaped, number formats, axes of drawings."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.report.plots import DPI
from skip_pipeline.report.sentences import signed
from skip_pipeline.settings import CALIBRATION_BINS, CONFIDENCE, DECISION_THRESHOLD, FEW_SESSIONS

_PAGE_DPI: Final = 96  # CSS pixels to the inch
_WEB_ADDRESS: Final = re.compile(r"https?://(\w|\[[0-9a-f:]+\])", re.IGNORECASE)  # javascript: URLs run code


@dataclass(frozen=True)
class RunLink:
    """A run that made a page; linked if ``url`` is an http or https address."""

    label: str
    run_id: str
    url: str | None = None


@dataclass(frozen=True)
class Axis:
    """The horizontal axis of small drawings beside numbers."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Position of a value in percent of the axis; values beyond an end are put there.

        >>> Axis(0.0, 4.0).at(1.0)
        25.0
        """
        span = self.high - self.low
        return round(100 * min(max((value - self.low) / span, 0.0), 1.0), 2) if span > 0 else 50.0

    @classmethod
    def over(cls, shown: Iterable[Estimate], *values: float) -> Axis:
        """An axis that holds some intervals and values, with a margin of 4% at both ends."""
        ends = [*values, *(end for e in shown for end in (e.low, e.high))] or [0.0]
        margin = 0.04 * (max(ends) - min(ends))
        return cls(min(ends) - margin, max(ends) + margin)


def render(template: str, **values: Any) -> str:
    """Fill in a template of this folder: HTML text, to be written as UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        bins=CALIBRATION_BINS, confidence=CONFIDENCE, few=FEW_SESSIONS, usual_threshold=DECISION_THRESHOLD
    )
    environment.filters.update(
        percent="{:.1%}".format,
        count="{:,}".format,
        signed=signed,
        data_uri=lambda png: f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}",
        # The width at which a plot's text has its intended size; a PNG's header has the pixels at 16..20.
        css_width=lambda png: int.from_bytes(png[16:20], "big") * _PAGE_DPI // DPI,
        web_address=lambda url: url if url and _WEB_ADDRESS.match(url) else None,
    )
    return environment.get_template(template).render(values)
