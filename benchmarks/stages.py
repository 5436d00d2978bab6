"""The pipeline's stages from raw CSVs to bundles, without Dagster, as functions for ``benchmarks.one_run``.

Each takes a raw folder and an empty folder.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from benchmarks.one_run import Made
from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.engine import open_engine
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.raw.session_log import combine, load_session_log
from skip_pipeline.raw.track_features import read_track_features
from skip_pipeline.settings import DataLayout, EngineKind, EngineSettings
from skip_pipeline.stages import bundle, encode, merge, scale
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.encode import feature_range
from skip_pipeline.stages.track_matrix import scale_tracks
from skip_pipeline.storage import Apply, Staging, in_turn, read_manifest

T = TypeVar("T")
R = TypeVar("R")

_START_SECONDS: Final = 0.3
"""Duration of the first task of each worker, so that the next task starts another worker."""


def parse(raw: Path, _folder: Path) -> Made:
    """The lower limit: pyarrow reads all CSVs into memory with their final types; nothing is checked."""
    log = [_parsed(path, schema.SESSION_LOG) for path in raw_folder.find_session_logs(raw)]
    tracks = [_parsed(path, schema.TRACK_FEATURES) for path in raw_folder.find_track_features(raw)]
    # Sessions are not counted, since that would take time.
    return Made((log, tracks), rows=sum(table.num_rows for table in log), sessions=0)


def _parsed(path: Path, contract: pa.Schema) -> pa.Table:
    types = {field.name: field.type for field in contract}
    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=types))


def merge_and_encode(raw: Path, _folder: Path) -> Made:
    """The pipeline up to the encoded table, in memory: the work of the polars and duckdb peers."""
    tracks = read_track_features(raw_folder.find_track_features(raw))
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
        log, summaries[path] = load_session_log(path, among=paths, today=today)
        yield f"{raw_folder.shard_name(path)}.parquet", merge.merge(log, tracks, shard=str(path))
    combine(summaries)  # refuses a session that lies in two files


def in_memory(raw: Path, _folder: Path) -> Made:
    """Raw CSVs to the compact bundle of every split, with every check of the stages, nothing written."""
    bundles, rows = bundled(raw)
    return Made(bundles, rows, sessions=sum(split.sessions for split in bundles.values()))


def gathered(raw: Path, _folder: Path) -> Made:
    """The same, and then the float32 inputs of all sessions at once, as the notebook has them at its end."""
    bundles, rows = bundled(raw)
    return Made(wide(bundles), rows, sessions=sum(split.sessions for split in bundles.values()))


def bundled(raw: Path) -> tuple[dict[str, Bundle], int]:
    """A bundle per split, in memory; and how many log rows there are."""
    tracks = read_track_features(raw_folder.find_track_features(raw))
    shards = list(encoded_shards(raw, tracks))
    scaler = scale.fit_scaler(feature_range(encoded, sessions) for _, encoded, sessions in shards)
    matrix = scale_tracks(tracks, scaler)
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
    bundles = {split: Bundle(matrix, [part[split] for part in parts]) for split in schema.SPLITS}
    return bundles, sum(encoded.num_rows for _, encoded, _ in shards)


def wide(bundles: Mapping[str, Bundle]) -> dict[str, dict[str, np.ndarray]]:
    """Per split every published array, whole."""
    names = (*schema.BRANCH_SHAPES, schema.LABEL, schema.SESSION_ID)
    return {split: {name: np.asarray(of[name]) for name in names} for split, of in bundles.items()}


@dataclass(frozen=True)
class Apart(DataLayout):
    """A data directory whose raw files lie elsewhere."""

    delivered: Path = Path()

    @property
    def raw(self) -> Path:
        """Folder that holds ``training_set/`` and ``track_features/``."""
        return self.delivered


def persisted(
    raw: Path, folder: Path, *, engine: EngineKind = "in_process", workers: int | None = None
) -> Made:
    """The functions that the assets call, from the merged table to the bundles, without Dagster.

    Every table and bundle is written, hashed and published with its manifest, and read
    again by the next stage. The clock starts when the workers of the engine have started and imported.
    """
    layout = Apart(folder, delivered=raw)
    with open_engine(EngineSettings(kind=engine, workers=workers)) as opened:

        def apply(function: Callable[[T], R], shards: Sequence[T], /) -> Iterator[R]:
            return opened.map(function, shards, label="persisted")

        if engine != "in_process":
            list(apply(start_worker, range(opened.workers)))
        started = time.perf_counter()
        bundles = publish_all(layout, apply)
        seconds = time.perf_counter() - started
    stages_of_tables = (layout.merged, layout.encoded, layout.scaled)
    tables = sum(read_manifest(stage, made_by="table").bytes for stage in stages_of_tables)
    rows = read_manifest(layout.scaled, made_by="scaled_table").rows
    return Made(None, rows, bundles.rows, tables, bundles.manifest.bytes, seconds)


def publish_all(layout: DataLayout, apply: Apply = in_turn) -> Staging:
    """All stages from raw CSVs to bundles; gives the last one's."""
    stages.merged_table(layout, apply=apply)
    stages.encoded_table(layout, apply=apply)
    stages.scaled_table(layout, apply=apply)
    return stages.tensor_bundles(layout, apply=apply)


def start_worker(number: int) -> int:
    """A worker's task before the clock starts; unpickling it imports the libraries of the stages."""
    time.sleep(_START_SECONDS)
    return number
