"""The pipeline's own stages from raw CSVs to bundles, without Dagster, as things to be measured.

Each function takes a raw folder and an empty folder, as ``benchmarks.one_run`` calls them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from benchmarks.one_run import Made
from skip_pipeline import raw_folder, schema
from skip_pipeline.flow import bundle, encode, ingest, merge, scale
from skip_pipeline.settings import SCALER_FILE, SESSIONS_FOLDER, TRACK_TABLE, DataLayout, DataSource
from skip_pipeline.storage import publish, read_table, write_json, write_table


def parse(raw: Path, _folder: Path) -> Made:
    """The limit: all CSVs read by pyarrow to their final types, in memory, nothing looked at."""
    log = [_parsed(path, schema.SESSION_LOG) for path in raw_folder.find_session_logs(raw)]
    tracks = [_parsed(path, schema.TRACK_FEATURES) for path in raw_folder.find_track_features(raw)]
    # Sessions are not counted: that would be work of its own.
    return Made((log, tracks), rows=sum(table.num_rows for table in log), sessions=0)


def _parsed(path: Path, contract: pa.Schema) -> pa.Table:
    types = {field.name: field.type for field in contract}
    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=types))


def merge_and_encode(raw: Path, _folder: Path) -> Made:
    """Ours as far as the encoded table, in memory: what the polars and duckdb peers do too."""
    tracks = ingest.read_track_features(raw_folder.find_track_features(raw))
    encoded = [table for _, table, _ in encoded_shards(raw, tracks)]
    return Made(encoded, rows=sum(table.num_rows for table in encoded), sessions=0)


def encoded_shards(raw: Path, tracks: pa.Table) -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """Each shard's file name, its encoded table of 69 columns and its sessions."""
    for name, merged in _merged_shards(raw, tracks):
        yield name, encode.encode(merged, tracks[schema.TRACK_ID]), encode.sessions(merged)


def _merged_shards(raw: Path, tracks: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    paths, today = raw_folder.find_session_logs(raw), dt.datetime.now(tz=dt.UTC).date()
    summaries = {}
    for path in paths:
        log, summaries[path] = ingest.load_session_log(path, among=paths, today=today)
        yield f"{raw_folder.shard_name(path)}.parquet", merge.merge(log, tracks, shard=str(path))
    ingest.combine(summaries)  # refuses a session that lies in two files


def in_memory(raw: Path, _folder: Path) -> Made:
    """Raw CSVs to the compact bundle of every split, with every check of the stages, nothing written."""
    bundles, rows = bundled(raw)
    return Made(bundles, rows, sessions=sum(split.sessions for split in bundles.values()))


def gathered(raw: Path, _folder: Path) -> Made:
    """The same, and then the float32 inputs of all sessions at once, as the notebook has them at its end."""
    bundles, rows = bundled(raw)
    return Made(wide(bundles), rows, sessions=sum(split.sessions for split in bundles.values()))


def bundled(raw: Path) -> tuple[dict[str, bundle.Bundle], int]:
    """A bundle per split, in memory; and how many log rows there are."""
    tracks = ingest.read_track_features(raw_folder.find_track_features(raw))
    shards = list(encoded_shards(raw, tracks))
    scaler = scale.fit_scaler(scale.feature_range(encoded, sessions) for _, encoded, sessions in shards)
    matrix = bundle.track_matrix(tracks, scaler)
    parts = [
        bundle.bundle_shard(
            Path(name).stem,
            scaler.apply(encoded)[0],
            sessions,
            track_rows=encoded[schema.LOG_TRACK_ID],
            tracks=matrix,
        )
        for name, encoded, sessions in shards
    ]
    bundles = {
        split: bundle.Bundle(matrix, [part.of_split(split) for part in parts]) for split in schema.SPLITS
    }
    return bundles, sum(encoded.num_rows for _, encoded, _ in shards)


def wide(bundles: Mapping[str, bundle.Bundle]) -> dict[str, dict[str, np.ndarray]]:
    """Per split every array, whole."""
    return {split: {name: np.asarray(of[name]) for name in bundle.ARRAYS} for split, of in bundles.items()}


def persisted(raw: Path, folder: Path) -> Made:
    """Stage by stage as the assets go: each reads what the one before has published, shard by shard.

    Every table and bundle is written, hashed, flushed to the disk and published with its manifest.
    """
    layout = DataLayout(folder)
    source = raw_folder.data_source(raw)
    tracks = ingest.read_track_features(raw_folder.find_track_features(raw))

    with publish(layout.merged, stage="merged_table", data_source=source) as staging:
        write_table(tracks, staging.path(TRACK_TABLE), schema.TRACK_FEATURES, data_source=source)
        names = []
        for name, merged in _merged_shards(raw, tracks):
            write_table(merged, staging.path(name), schema.MERGED, data_source=source)
            staging.rows += merged.num_rows
            names.append(name)
    rows = staging.rows

    track_ids = tracks[schema.TRACK_ID]
    with publish(layout.encoded, stage="encoded_table", data_source=source) as staging:
        for name in names:
            merged = read_table(layout.merged / name, schema.MERGED)
            encoded, sessions = encode.encode(merged, track_ids), encode.sessions(merged)
            write_table(encoded, staging.path(name), schema.ENCODED, data_source=source)
            _write_sessions(sessions, staging.path(f"{SESSIONS_FOLDER}/{name}"), source)
    del merged, encoded

    shards = {name: read_table(layout.encoded / SESSIONS_FOLDER / name, schema.SESSIONS) for name in names}
    scaler = scale.fit_scaler(
        scale.feature_range(read_table(layout.encoded / name, schema.ENCODED), sessions)
        for name, sessions in shards.items()
    )
    with publish(layout.scaled, stage="scaled_table", data_source=source) as staging:
        for name, sessions in shards.items():
            scaled, _ = scaler.apply(read_table(layout.encoded / name, schema.ENCODED))
            write_table(scaled, staging.path(name), schema.SCALED, data_source=source)
            _write_sessions(sessions, staging.path(f"{SESSIONS_FOLDER}/{name}"), source)
        write_json(staging.path(SCALER_FILE), scaler.to_json())
    del scaled

    with publish(layout.bundles, stage="tensor_bundles", data_source=source) as staging:
        writer = bundle.BundleWriter(staging.folder, bundle.track_matrix(tracks, scaler))
        for name, sessions in shards.items():
            codes = read_table(layout.encoded / name, schema.ENCODED, columns=[schema.LOG_TRACK_ID])
            scaled = read_table(layout.scaled / name, schema.SCALED)
            writer.add(Path(name).stem, scaled, sessions, codes[schema.LOG_TRACK_ID])
        writer.close()

    sessions_made = sum(sessions.num_rows for sessions in shards.values())
    bundle_bytes = _bytes_below(layout.bundles)
    return Made(None, rows, sessions_made, _bytes_below(folder) - bundle_bytes, bundle_bytes)


def _write_sessions(sessions: pa.Table, path: Path, source: DataSource) -> None:
    write_table(sessions, path, schema.SESSIONS, data_source=source)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
