"""Several runs of the same work as one row of a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import measure
from benchmarks.measure import Run


@dataclass(frozen=True)
class Summary:
    """All runs of one contender: median, fastest and slowest seconds, the largest peaks of memory, sizes."""

    seconds: float
    fastest: float
    slowest: float
    runs: int
    rows_per_second: int
    peak_rss_mib: float
    peak_anonymous_mib: float
    rows: int
    sessions: int
    table_bytes: int
    bundle_bytes: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Summary:
        """Summarize at least one run of the same work."""
        seconds = [run.seconds for run in runs]
        return cls(
            seconds=round(median(seconds), 4),
            fastest=round(min(seconds), 4),
            slowest=round(max(seconds), 4),
            runs=len(runs),
            rows_per_second=round(runs[0].rows / median(seconds)),
            peak_rss_mib=max(run.peak_rss_mib for run in runs),
            peak_anonymous_mib=max(run.peak_anonymous_mib for run in runs),
            rows=runs[0].rows,
            sessions=runs[0].sessions,
            table_bytes=runs[0].table_bytes,
            bundle_bytes=runs[0].bundle_bytes,
        )


def ratio(found: Mapping[str, Summary], above: str, below: str) -> float:
    """Ratio of the median seconds of two contenders."""
    return round(found[above].seconds / found[below].seconds, 2)


def result(
    headline: Mapping[str, float], found: Mapping[str, Summary], data: Mapping[str, Any]
) -> dict[str, Any]:
    """What a benchmark writes: ``headline``, ``contenders`` (a ``Summary`` each) and ``data``."""
    contenders = {name: asdict(summary) for name, summary in found.items()}
    return {"headline": dict(headline), "contenders": contenders, "data": dict(data)}


def headline_table(headline: Mapping[str, float]) -> str:
    """Headline figures as text, a line each."""
    return "\n".join(f"{name:26}{value:>14,}" for name, value in headline.items())


def table(result: Mapping[str, Any], headline: Callable[[Mapping[str, float]], str] = headline_table) -> str:
    """The contenders as text, a line each, and the headline below, as ``headline`` shows it."""
    contenders = {name: Summary(**figures) for name, figures in result["contenders"].items()}
    width = max(len(name) for name in contenders) + 2
    lines = [f"{'':{width}}{'seconds':>9}{'fastest':>9}{'slowest':>9}{'rows/s':>12}{'peak MiB':>10}"]
    lines += [
        f"{name:{width}}{c.seconds:9.3f}{c.fastest:9.3f}{c.slowest:9.3f}{c.rows_per_second:12,}"
        f"{c.peak_rss_mib:10,.0f}"
        for name, c in contenders.items()
    ]
    return "\n".join([*lines, "", headline(result["headline"])])


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table.

    >>> print(markdown(["night", "alarms"], [[1, 0]]))
    | night | alarms |
    |---|---|
    | 1 | 0 |
    """
    head_line, *lines = (f"| {' | '.join(map(str, cells))} |" for cells in (head, *rows))
    return "\n".join([head_line, f"|{'---|' * len(head)}", *lines])


def finish(
    result: dict[str, Any],
    title: str,
    figures: Path | None,
    headline: Callable[[Mapping[str, float]], str] = headline_table,
) -> None:
    """Print the table below a title, and write the figures with what they depend on, if that is asked for."""
    result["environment"] = measure.environment()
    print(f"{title}, synthetic data, {result['environment']['cores']} cores:")
    print(table(result, headline))
    if figures:
        figures.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
