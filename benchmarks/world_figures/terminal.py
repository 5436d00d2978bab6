"""The command ``python -m benchmarks.world_figures data/01_raw``.

Compares every published statistic with the one measured on a raw folder, prints those that fail, writes all
as a page, and ends with status 0 when at least nine tenths of the judged figures pass, else 1.
"""

from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.world_figures.comparison import Comparison, compare
from benchmarks.world_figures.measures import measure
from benchmarks.world_figures.page import number, page, verdict
from skip_pipeline import schema
from skip_pipeline.errors import RefusedError, SkipPipelineError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.folder import data_source, find_session_logs, find_track_features, marker_doubt
from skip_pipeline.settings import DataSource

PAGE: Final = Path("benchmarks/world_figures/README.md")

_WIDTH: Final = 200  # of lines that go to a file or another program: names and most reasons fit in one

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    raw: Annotated[Path, typer.Argument(metavar="DIR", help="Raw folder, such as data/01_raw.")],
    page_path: Annotated[Path, typer.Option("--page", help="Markdown page to write.")] = PAGE,
    no_page: Annotated[bool, typer.Option("--no-page", help="Print only.")] = False,
) -> None:
    """Compare a raw data set with the published statistics of the real one.

    Exit status 0 when at least nine tenths of the judged figures pass, else 1.
    """
    out = Console(highlight=False)
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        source, doubt = data_source(raw), marker_doubt(raw)
        comparison = compare(measure_folder(raw))
        if not no_page:
            _write(page_path, page(comparison, source, doubt=doubt))
    except SkipPipelineError as refusal:
        err.print(f"error: {refusal}", style="red", markup=False)
        raise typer.Exit(1) from None
    if doubt:
        err.print(f"warning: {doubt}", style="yellow", markup=False)
    show(comparison, source, out if out.is_terminal else Console(highlight=False, width=_WIDTH))
    if not no_page:
        out.print(f"Page: {page_path}", markup=False, soft_wrap=True)
    raise typer.Exit(0 if comparison.reached else 1)


def measure_folder(raw: Path) -> dict[str, dict[str, float]]:
    """Measure a raw folder, all its shards together in memory; see ``measures.measure``.

    Raises:
        MissingInputError: no session logs or no track features there.
        BadInputError: a file breaks the raw contract, a session's rows lie apart, or a log row plays a track
            that has no features.
    """
    log = [read_csv(path, schema.SESSION_LOG, schema.RAW_RANGES) for path in find_session_logs(raw)]
    tracks = [read_csv(path, schema.TRACK_FEATURES, {}) for path in find_track_features(raw)]
    measured = measure(pa.concat_tables(log), pa.concat_tables(tracks))
    return {group: dict(values) for group, values in measured.items()}


def show(comparison: Comparison, source: DataSource, console: Console) -> None:
    """Print the figures that fail, then the result; the page has every figure."""
    failing = Table(
        "group", "figure", "published", source, "reason", title="Figures that fail", title_justify="left"
    )
    for record in comparison.failed:
        failing.add_row(
            record.group,
            record.key,
            number(record.published),
            number(record.world),
            record.reason or "unexplained",
        )
    console.print(failing, markup=False)
    console.print(f"Measured on {source} data. {verdict(comparison)}", markup=False, soft_wrap=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise RefusedError(
            f"{path} cannot be written ({failure.strerror}); expected a place for the page. Name another "
            "with --page, or leave it out with --no-page"
        ) from failure
