"""What the pages have in common: templates filled in with every value escaped, and small drawings."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.report.plots import DPI

_PAGE_DPI: Final = 96  # CSS pixels to the inch


@dataclass(frozen=True)
class RunLink:
    """A run that made this report; linked where ``url`` is an http or https address."""

    label: str
    run_id: str
    url: str | None = None


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


def render(template: str, **values: Any) -> str:
    """A template of this folder with its values, as HTML text, to be written as UTF-8."""
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
    return environment.get_template(template).render(values)


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
