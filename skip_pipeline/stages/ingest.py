"""Delivered session logs and track features: each read and judged against its contract."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.raw.diagnosis import shown_value
from skip_pipeline.raw.oddities import unknown_levels
from skip_pipeline.raw.session_log import SessionLogSummary, load_session_log
from skip_pipeline.raw.track_features import read_track_features
from skip_pipeline.raw.track_groups import read_track_groups
from skip_pipeline.settings import EXAMPLES_SHOWN, TRACK_TABLE, DataSource
from skip_pipeline.stages import findings as named
from skip_pipeline.stages.findings import Finding
from skip_pipeline.stages.shards import table_file, write_hashes
from skip_pipeline.stages.track_table import track_columns
from skip_pipeline.storage import Made, write_array, write_table

LOG_FINDINGS: Final = (
    named.COLUMNS,
    named.SESSIONS_WHOLE,
    named.LENGTHS,
    named.LEVELS_KNOWN,
    named.DATES_PLAUSIBLE,
    named.MARKER_FITS,
)
GROUPS: Final = "_groups.npy"  # leading underscore: parquet readers skip it as metadata

TRACK_FINDINGS: Final = (named.COLUMNS, named.TRACKS_UNIQUE, named.COMPLETE, named.LEVELS_KNOWN)


def judge_log(
    raw: Path, *, among: tuple[Path, ...], today: dt.date, unknown: Collection[str], out: Path
) -> Made:
    """Judge one session log with ``load_session_log``; ``out`` gets the hashes of its session ids."""
    _, summary = load_session_log(raw, among=among, today=today, may_be_empty=unknown)
    hashes = write_hashes(out, table_file(raw), summary.session_hashes)
    return Made((hashes,), summary.to_json())


def judge_tracks(raw: tuple[Path, ...], *, unknown: Collection[str], out: Path) -> Made:  # noqa: ARG001
    """Judge all track feature files together."""
    tracks = read_track_features(raw, may_be_empty=unknown)
    found = [asdict(finding) for finding in track_findings(tracks, unknown)]
    return Made((), {"rows": tracks.num_rows, "findings": found})


def track_table(
    raw: tuple[Path, ...], *, unknown: Collection[str], out: Path, data_source: DataSource
) -> Made:
    """Write all track feature files as one table, sorted by id."""
    tracks = read_track_features(raw, may_be_empty=unknown)
    write_table(
        tracks, out / TRACK_TABLE, schema.TRACK_FEATURES, data_source=data_source, may_be_null=unknown
    )
    return Made((TRACK_TABLE,), {"rows": tracks.num_rows})


def track_groups(raw: Path, *, tracks: Path, out: Path) -> Made:
    """Write artist and album of every track of the track table, int32 (tracks, 2), in its order."""
    ids = track_columns(tracks, schema.TRACK_ID)[schema.TRACK_ID].combine_chunks()
    write_array(out / GROUPS, read_track_groups(raw, ids))
    return Made((GROUPS,), {})


def log_findings(
    summary: SessionLogSummary, doubt: str, unknown: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Findings on session logs that could be read, in the order of ``LOG_FINDINGS``.

    The last three are oddities to warn of; reading refuses a log that breaks one of the others.

    Args:
        doubt: from ``raw.folder.marker_doubt``.
        unknown: columns of the logs in which a value may be missing.
    """
    counted = {"sessions": summary.sessions, "rows": summary.rows}
    own = bool(unknown)  # of the public data, no column is unknown
    return (
        Finding(named.COLUMNS, True, {"columns": len(schema.SESSION_LOG)} | _said_unknown(unknown)),
        Finding(named.SESSIONS_WHOLE, True, counted),
        Finding(named.LENGTHS, True, {str(length): n for length, n in summary.lengths.items()}),
        # Exports of own listening have more reasons than the public data, so these are no oddity there.
        Finding(named.LEVELS_KNOWN, not summary.unknown_levels or own, _oddities(summary.unknown_levels)),
        Finding(named.DATES_PLAUSIBLE, not summary.junk_dates, _oddities({schema.DATE: summary.junk_dates})),
        Finding(named.MARKER_FITS, not doubt, {"doubt": doubt} if doubt else {}),
    )


def track_findings(tracks: pa.Table, unknown: Collection[str] = ()) -> tuple[Finding, ...]:
    """Findings on track features that could be read, in the order of ``TRACK_FINDINGS``.

    Args:
        unknown: columns in which a value may be missing.
    """
    levels = unknown_levels(tracks, may_be_empty=unknown)
    counted = {"tracks": tracks.num_rows}
    return (
        Finding(named.COLUMNS, True, {"columns": len(schema.TRACK_FEATURES)} | _said_unknown(unknown)),
        Finding(named.TRACKS_UNIQUE, True, counted),
        Finding(named.COMPLETE, True, counted),
        Finding(named.LEVELS_KNOWN, not levels, _oddities(levels)),
    )


def _said_unknown(columns: Collection[str]) -> dict[str, str]:
    """The fact that own listening does not know every value of some columns."""
    return {"unknown in own listening": ", ".join(columns)} if columns else {}


def _oddities(counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """The first odd values of each column with their rows, in words."""
    words = {}
    for column, values in counts.items():
        rows = [f"{shown_value(value)} in {n} row{'' if n == 1 else 's'}" for value, n in values.items()]
        more = len(rows) - EXAMPLES_SHOWN
        others = f" and {more} more value{'' if more == 1 else 's'}" if more > 0 else ""
        if rows:
            words[column] = ", ".join(rows[:EXAMPLES_SHOWN]) + others
    return words
