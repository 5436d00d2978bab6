"""The command ``import-history``: own listening to raw logs, and what was found, left out and not known."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from skip_pipeline import settings
from skip_pipeline.cli.options import OUT, AsJson, DataDir, refusals, show_json
from skip_pipeline.defs.places import data_directory
from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import DataLayout

if TYPE_CHECKING:
    from skip_pipeline.streaming_history.import_history import ImportedFeatures, Summary


def import_history(
    exports: Annotated[
        list[Path],
        typer.Argument(
            metavar="EXPORT",
            help="Spotify's Extended streaming history: the zip as downloaded, its folder or its files.",
        ),
    ],
    data_dir: DataDir = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            help="Of the listener's hours and dates, such as Europe/Stockholm.", show_default="this machine's"
        ),
    ] = None,
    pause_minutes: Annotated[
        float, typer.Option(help="A longer pause between plays begins another session.")
    ] = settings.SITTING_PAUSE_MINUTES,
    features: Annotated[
        Path | None,
        typer.Option(
            help="CSV or parquet with Spotify's track ids and some of the published track features.",
            show_default="none, so that track features are not known",
        ),
    ] = None,
    names: Annotated[
        bool,
        typer.Option(
            "--names", help=f"Also write {settings.NAMES_FILE}: names of tracks, artists and albums."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn your own listening history into raw logs, which `skip-pipeline run` then trains and reports on.

    An earlier import in the data directory is replaced, and months that have not changed stay as they are. A
    data directory with other raw data is refused. User name, address, country and device are not written.
    """
    from skip_pipeline.streaming_history.import_history import import_history as write

    started = time.perf_counter()
    with refusals():
        raw = _raw_folder(data_dir)
        zone = time_zone if time_zone is not None else _zone_of_this_machine()
        summary = write(
            exports, raw, time_zone=zone, pause_minutes=pause_minutes, features=features, with_names=names
        )
    if as_json:
        show_json(asdict(summary) | {"time_zone": zone})
        return
    _show_found(summary, raw, time.perf_counter() - started)
    _show_left_out(summary)
    where = "" if time_zone is not None else ", the time zone of this machine; --time-zone names another"
    OUT.print(f"Hours and dates are those of {zone}{where}")
    _show_unknown(summary, features)
    option = "" if data_dir is None else f" --data-dir {shlex.quote(str(data_dir))}"
    OUT.print(f"Next:   skip-pipeline run{option}")


def _raw_folder(data_dir: Path | None) -> Path:
    if os.environ.get(settings.STORAGE_VARIABLE):
        raise RefusedError(
            f"${settings.STORAGE_VARIABLE} is set, but an import writes to a folder of this machine; "
            "expected the variable unset. Unset it, import with --data-dir FOLDER, and copy the folder's "
            "01_raw to the storage"
        )
    return DataLayout(data_directory(data_dir)).raw


def _zone_of_this_machine() -> str:
    from zoneinfo import ZoneInfoNotFoundError

    from tzlocal import get_localzone_name

    try:
        return get_localzone_name() or "Etc/UTC"  # a machine without a setting shows UTC
    except (ZoneInfoNotFoundError, ValueError) as failure:
        raise RefusedError(
            f"the time zone of this machine cannot be found ({failure}); expected its IANA name. Name the "
            "listener's with --time-zone, such as --time-zone Europe/Stockholm"
        ) from failure


def _show_found(summary: Summary, raw: Path, seconds: float) -> None:
    marker = summary.marker
    people = "1 person" if marker.people == 1 else f"{marker.people:,} people"
    years = f"{summary.first_year} to {summary.last_year}"
    OUT.print(
        f"{people}, {summary.plays:,} plays of music, {years}: {marker.sessions:,} sessions of 10 to 20 "
        f"tracks, {marker.plays:,} log rows and {marker.tracks:,} tracks written to {raw} in {seconds:.1f} s"
    )


def _show_left_out(summary: Summary) -> None:
    left_out = summary.marker.left_out
    if not left_out:
        OUT.print("Nothing was left out")
        return
    table = Table("plays", "left out")
    table.columns[0].justify = "right"
    for reason, count in left_out.items():
        table.add_row(f"{count:,}", Text(reason))
    OUT.print(table)


def _show_unknown(summary: Summary, file: Path | None) -> None:
    from skip_pipeline.schema import TRACK_ATTRIBUTES

    unknown = summary.marker.unknown
    of_log = [name for name in unknown if name not in TRACK_ATTRIBUTES]
    of_tracks = [name for name in unknown if name in TRACK_ATTRIBUTES]
    OUT.print(f"Not known: {', '.join(of_log)}")
    if summary.features is None:
        OUT.print("Not known: all track features (--features FILE adds them)")
        return
    OUT.print(_features_line(summary.features, summary.marker.tracks, file))
    if of_tracks:
        OUT.print(f"Not known of some or all tracks: {', '.join(of_tracks)}")


def _features_line(features: ImportedFeatures, tracks: int, file: Path | None) -> str:
    parts = [f"Track features: {features.found:,} of {tracks:,} tracks are in {file}"]
    if features.ignored:
        parts.append(f"columns without use: {', '.join(features.ignored)}")
    if features.repeated:
        parts.append(f"rows without use, because an earlier row has their track: {features.repeated:,}")
    return "; ".join(parts)
