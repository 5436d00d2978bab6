"""What each stage does with one shard: files in, files out, and a summary that merges with others'.

Every function takes paths and plain values, so that it can run wherever the files can be seen, and writes
below a folder that is published later as a whole. Running one again gives the same files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.parts import PART_FILES, TRACKS, open_tracks, write_part, write_tracks
from skip_pipeline.raw.folder import shard_name
from skip_pipeline.raw.oddities import unknown_levels
from skip_pipeline.raw.session_log import SessionLogSummary, load_session_log
from skip_pipeline.raw.text_columns import text_of
from skip_pipeline.raw.track_features import read_track_features
from skip_pipeline.settings import SESSIONS_FOLDER, TRACK_TABLE, DataSource
from skip_pipeline.stages import bundle, encode, ingest, merge, scale
from skip_pipeline.stages.scale import FeatureRange, Scaler
from skip_pipeline.storage import Made, read_array, read_json, read_table, write_array, write_table

HASHES_FOLDER: Final = "_session_hashes"
"""Beside the merged shards: a hash of each session's id, to notice a session in two files."""


def table_file(raw: Path) -> str:
    """Name of a session log's shard in every table."""
    return f"{shard_name(raw)}.parquet"


def sessions_file(shard: str) -> str:
    """Name of the sessions of a shard, beside the encoded and the scaled table."""
    return f"{SESSIONS_FOLDER}/{shard}"


def hashes_file(shard: str) -> str:
    """Name of the session hashes of a shard, beside the merged table."""
    return f"{HASHES_FOLDER}/{Path(shard).stem}.npy"


def judge_log(raw: Path, *, among: tuple[Path, ...], today: dt.date, out: Path) -> Made:
    """Judge one session log; nothing of it is kept but its summary and a hash of each session's id.

    Args:
        raw, among, today: see ``merge_shard``.
        out: folder that gets the hashes.

    Raises:
        BadInputError, MissingInputError: see ``raw.session_log.load_session_log``.
    """
    _, summary = load_session_log(raw, among=among, today=today)
    return Made((_write_hashes(out, table_file(raw), summary),), summary.to_json())


def _write_hashes(out: Path, shard: str, summary: SessionLogSummary) -> str:
    hashes = out / hashes_file(shard)
    hashes.parent.mkdir(exist_ok=True)
    write_array(hashes, summary.session_hashes)
    return hashes_file(shard)


def judge_tracks(raw: tuple[Path, ...], *, out: Path) -> Made:  # noqa: ARG001
    """Judge all track feature files together; see ``ingest.track_findings``."""
    tracks = read_track_features(raw)
    findings = [asdict(finding) for finding in ingest.track_findings(tracks)]
    return Made((), {"rows": tracks.num_rows, "findings": findings})


def track_table(raw: tuple[Path, ...], *, out: Path, data_source: DataSource) -> Made:
    """Read all track feature files as one table, sorted by id; see ``raw.track_features``."""
    tracks = read_track_features(raw)
    write_table(tracks, out / TRACK_TABLE, schema.TRACK_FEATURES, data_source=data_source)
    return Made((TRACK_TABLE,), {"rows": tracks.num_rows})


def merge_shard(
    raw: Path, *, among: tuple[Path, ...], tracks: Path, out: Path, today: dt.date, data_source: DataSource
) -> Made:
    """Read, judge and merge one session log.

    Args:
        raw: the log.
        among: all session logs, to say where the rest of a broken session is.
        tracks: the track table, sorted by id.
        out: folder that gets the shard and its session hashes.
        today: see ``raw.session_log.load_session_log``.

    Raises:
        BadInputError, MissingInputError: see ``raw.session_log.load_session_log`` and ``merge.merge``.
    """
    log, summary = load_session_log(raw, among=among, today=today)
    name = table_file(raw)
    merged = merge.merge(log, _tracks(tracks, schema.TRACK_FEATURES.names), shard=str(raw))
    write_table(merged, out / name, schema.MERGED, data_source=data_source)
    return Made((name, _write_hashes(out, name, summary)), summary.to_json())


def summary_of(summary: Mapping[str, Any], hashes: Path) -> SessionLogSummary:
    """The summary of a merged shard, from its JSON values and its session hashes."""
    return SessionLogSummary.from_json(summary, read_array(hashes))


def encode_shard(shard: str, *, merged: Path, tracks: Path, out: Path, data_source: DataSource) -> Made:
    """Encode one merged shard, tell its sessions apart, and take the range of its features in training.

    Args:
        shard: its name.
        merged: the merged shard.
        tracks: the track table, sorted by id.
        out: folder that gets the shard and its sessions.
    """
    columns = [name for name in schema.MERGED.names if name != schema.DATE]
    text = text_of(schema.MERGED)
    table = read_table(merged, schema.MERGED, columns=columns, dictionaries=text)
    encoded = encode.encode(table, _tracks(tracks, [schema.TRACK_ID])[schema.TRACK_ID])
    sessions = encode.sessions(table)
    write_table(encoded, out / shard, schema.ENCODED, data_source=data_source)
    (out / SESSIONS_FOLDER).mkdir()
    write_table(sessions, out / sessions_file(shard), schema.SESSIONS, data_source=data_source)
    unknown = sum(sum(counts.values()) for counts in unknown_levels(table).values())
    summary = {
        "rows": encoded.num_rows,
        "values_of_unknown_level": unknown,
        "training_range": scale.feature_range(encoded, sessions).to_json(),
    }
    return Made((shard, sessions_file(shard)), summary)


def fit_scaler(summaries: Iterable[Mapping[str, Any]]) -> Scaler:
    """The scaler of all encoded shards, from their summaries.

    Raises:
        TrainingError: see ``scale.fit_scaler``.
    """
    return scale.fit_scaler(FeatureRange.from_json(summary["training_range"]) for summary in summaries)


def scale_shard(
    shard: str, *, encoded: Path, sessions: Path, scaler: Scaler, out: Path, data_source: DataSource
) -> Made:
    """Scale one encoded shard; its sessions come along.

    Args:
        shard: its name.
        encoded: the encoded shard.
        sessions: the shard's sessions.
        scaler: fitted on all shards.
        out: folder that gets the shard and its sessions.
    """
    table, clipped = scaler.apply(read_table(encoded, schema.ENCODED))
    write_table(table, out / shard, schema.SCALED, data_source=data_source)
    (out / SESSIONS_FOLDER).mkdir()
    known = read_table(sessions, schema.SESSIONS)
    write_table(known, out / sessions_file(shard), schema.SESSIONS, data_source=data_source)
    return Made((shard, sessions_file(shard)), {"rows": table.num_rows, "values_clipped": clipped})


def track_matrix(*, tracks: Path, scaler: Path, out: Path) -> Made:
    """Scale every track once.

    Args:
        tracks: the track table, sorted by id.
        scaler: JSON of the fitted scaler.
        out: folder that gets the matrix.
    """
    fitted = Scaler.from_json(read_json(scaler))
    matrix = scale.scale_tracks(read_table(tracks, schema.TRACK_FEATURES), fitted)
    write_tracks(out, matrix)
    return Made((TRACKS,), {"tracks": len(matrix)})


def bundle_shard(shard: str, *, encoded: Path, scaled: Path, sessions: Path, matrix: Path, out: Path) -> Made:
    """Make the part of one scaled shard.

    Args:
        shard: its name.
        encoded: the encoded shard, which has each row's track.
        scaled: the scaled shard.
        sessions: its sessions.
        matrix: the track matrix.
        out: folder that gets the part, whose record (``parts.record_from_json``) is the summary.

    Raises:
        ContractError, MissingInputError: see ``bundle.bundle_shard`` and ``storage.read_table``.
    """
    codes = read_table(encoded, schema.ENCODED, columns=[schema.LOG_TRACK_ID])
    parts = bundle.bundle_shard(
        Path(shard).stem,
        read_table(scaled, schema.SCALED),
        read_table(sessions, schema.SESSIONS),
        track_rows=codes[schema.LOG_TRACK_ID],
        tracks=_matrix(matrix),
    )
    record = write_part(out, parts)
    return Made(tuple(f"{record.name}/{name}" for name in PART_FILES), asdict(record))


def _tracks(path: Path, columns: list[str]) -> pa.Table:
    return _tracks_once(path, tuple(columns))


@lru_cache(maxsize=1)
def _tracks_once(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """Columns of the track table, read once for all shards that a process works on."""
    return read_table(path, schema.TRACK_FEATURES, columns=list(columns), dictionaries=["mode"])


@lru_cache(maxsize=1)
def _matrix(path: Path) -> np.ndarray:
    """The track matrix, opened once for all shards that a process works on."""
    return open_tracks(path)
