"""An import from end to end: exports to plays, plays to raw logs, raw logs to a raw folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import RefusedError
from skip_pipeline.raw.own_listening import SOURCE, OwnListening
from skip_pipeline.settings import SITTING_PAUSE_MINUTES
from skip_pipeline.streaming_history.exports import Imported, read_exports
from skip_pipeline.streaming_history.features import Features, read_features, track_features
from skip_pipeline.streaming_history.outcomes import outcomes_of
from skip_pipeline.streaming_history.raw_files import publish_raw
from skip_pipeline.streaming_history.session_log import UNKNOWN_COLUMNS, local_times, session_log
from skip_pipeline.streaming_history.sittings import LEAST_PAUSE_MINUTES, sessions_of
from skip_pipeline.streaming_history.tracks import tracks_of

LEAST_SESSIONS: Final = 300
"""Fewer are refused: gate and test have a tenth of them each, and the interval of an accuracy of 75% on 30
sessions is already 31 points wide, so that no model could be told from another."""


@dataclass(frozen=True)
class ImportedFeatures:
    """What a file of track features gave."""

    found: int  # tracks of the sessions that are in the file
    ignored: tuple[str, ...]  # columns
    repeated: int  # rows of a track that an earlier row has


@dataclass(frozen=True)
class Summary:
    """What an import read and wrote."""

    plays: int  # of music, in the exports, each once
    first_year: int
    last_year: int
    features: ImportedFeatures | None
    marker: OwnListening


@dataclass(frozen=True)
class RawTables:
    """The tables of an import, and its marker without the files."""

    log: pa.Table
    tracks: pa.Table
    groups: pa.Table
    names: pa.Table
    features: ImportedFeatures | None
    marker: OwnListening


def import_history(
    exports: Sequence[Path],
    raw: Path,
    *,
    time_zone: str,
    pause_minutes: float = SITTING_PAUSE_MINUTES,
    features: Path | None = None,
    with_names: bool = False,
) -> Summary:
    """Write the session logs of one or more people's exports to a raw folder, as a whole or not at all.

    Args:
        exports: zips, folders or files, as ``exports.read_exports`` takes them.
        raw: folder of the raw data; made if missing.
        time_zone: IANA name, of hours and dates.
        pause_minutes: a longer pause begins another session.
        features: CSV or parquet of track features.
        with_names: whether to write ``names.parquet``, with the names of tracks, artists and albums.

    Raises:
        RefusedError: an argument is impossible, there are fewer than ``LEAST_SESSIONS`` sessions, or ``raw``
            cannot be written or holds other data.
        MissingInputError: a file is not there.
        BadInputError: an export or the file of features cannot be used, or there is no music.
    """
    local_times(pa.array([0]), time_zone)  # refused before the minutes of work
    if not pause_minutes >= LEAST_PAUSE_MINUTES:
        raise RefusedError(
            f"--pause-minutes is {pause_minutes:g}; expected at least {LEAST_PAUSE_MINUTES:g}. Choose more"
        )
    known = read_features(features) if features else None
    imported = read_exports(exports)
    tables = raw_tables(imported, time_zone, pause_minutes, known)
    _refuse_too_few(tables.marker)
    names = tables.names if with_names else None
    marker = publish_raw(raw, tables.log, tables.tracks, tables.groups, names, tables.marker)
    year = pc.year(local_times(imported.plays["start"].combine_chunks(), time_zone))
    return Summary(
        plays=len(imported.plays),
        first_year=pc.min(year).as_py(),
        last_year=pc.max(year).as_py(),
        features=tables.features,
        marker=marker,
    )


def raw_tables(
    imported: Imported,
    time_zone: str,
    pause_minutes: float = SITTING_PAUSE_MINUTES,
    features: Features | None = None,
) -> RawTables:
    """Map plays to the raw tables."""
    plays = imported.plays
    outcomes = outcomes_of(plays)
    sessions = sessions_of(plays, outcomes.cut_off, pause_minutes)
    tracks = tracks_of(plays, sessions.plays)
    log = session_log(plays, outcomes, sessions, tracks, time_zone)
    table, found = track_features(tracks.ids, tracks.spotify, features)
    dates = pc.min_max(log[schema.DATE]).as_py()
    marker = OwnListening(
        data="real",
        source=SOURCE,
        people=imported.people,
        first_day=dates["min"] or "",
        last_day=dates["max"] or "",
        time_zone=time_zone,
        pause_minutes=pause_minutes,
        plays=len(log),
        sessions=len(sessions.ids),
        tracks=len(table),
        unknown=(*UNKNOWN_COLUMNS, *(name for name in schema.TRACK_ATTRIBUTES if table[name].null_count)),
        left_out={
            reason: count for reason, count in (imported.left_out | sessions.left_out).items() if count
        },
        files={},
    )
    given = ImportedFeatures(found, features.ignored, features.repeated) if features else None
    return RawTables(log, table, tracks.groups, tracks.names, given, marker)


def _refuse_too_few(marker: OwnListening) -> None:
    if marker.sessions >= LEAST_SESSIONS:
        return
    raise RefusedError(
        f"the exports give {marker.sessions:,} sessions of 10 to 20 tracks ({marker.plays:,} plays; "
        f"{_counts(marker.left_out)} left out), too few to learn from and to judge a model; expected at "
        f"least {LEAST_SESSIONS}. Name all parts of the export, add other people's exports, or try the "
        "pipeline on synthetic listeners with `skip-pipeline synthesize`. Nothing was written"
    )


def _counts(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "nothing"
