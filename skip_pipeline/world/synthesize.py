"""The way into the world: arguments in, a raw data set out.

How the parts of a world behave is in the other modules; here they are drawn block by block and written file
by file, so that memory does not grow with the number of sessions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skip_pipeline.schema import ORACLE, SESSION_LOG
from skip_pipeline.settings import ORACLE_FILE, TRACK_FEATURES
from skip_pipeline.world import figures
from skip_pipeline.world.drift import Drift
from skip_pipeline.world.extent import MINI_LOG, Extent, Shard
from skip_pipeline.world.publishing import Publication, append_rows, csv_stream, part_of, prepare_folders
from skip_pipeline.world.world import World

GENERATOR_VERSION = 2
"""Goes up whenever the same arguments give other bytes, so that a set can be told from its successors."""

MINI_TRACKS = f"{TRACK_FEATURES}/tf_mini.csv"
FULL_TRACKS = f"{TRACK_FEATURES}/tf_000000000000.csv"

_NOTE = (
    "The files listed here are synthetic: drawn by a random number generator that imitates published "
    "statistics of the Spotify sequential skip prediction data. No real listener is in them, and no figure "
    "measured on them is a measurement of the real data."
)


@dataclass(frozen=True)
class SynthesisSummary:
    """What was written: paths (logs, track features, oracle, marker), sizes, and the seconds it took."""

    paths: tuple[Path, ...]
    rows: int
    sessions: int
    tracks: int
    seconds: float


def synthesize(
    out: Path,
    *,
    sessions: int,
    tracks: int,
    seed: int,
    days: int = 1,
    shards: int | None = None,
    compressed: bool = False,
    drifts: Sequence[Drift] = (),
    threads: int | None = None,
) -> SynthesisSummary:
    """Write a synthetic data set in the layout and spelling of the public archives.

    ``out`` receives ``training_set/log_mini.csv`` (or the shards), ``track_features/tf_mini.csv``,
    ``oracle.parquet`` and ``SYNTHETIC.json``. The same arguments give the same bytes, and the number of
    shards changes no row. An earlier synthetic set there is replaced, as a whole or not at all.

    Args:
        out: folder of the raw data; made if missing.
        sessions: listening sessions of 10 to 20 tracks, at least 1.
        tracks: tracks in the catalogue, at least 1.
        seed: non-negative; another seed gives another world.
        days: on which sessions end, at least 1; each day's sessions lie together.
        shards: log files in all, named as in the public archives; None for the mini set's one file, or one
            file a day.
        compressed: gzip the CSVs.
        drifts: changes and the days on which they begin.
        threads: that draw at once; None for as many as there are processors, where that saves time.

    Raises:
        RefusedError: the arguments make no sense, ``out`` cannot be written, or it holds files that are not
            of an earlier synthetic set.
    """
    started = time.perf_counter()
    world = World(Extent(sessions, days, shards), tracks, seed, tuple(drifts))
    cut = world.extent.cut()
    prepare_folders(out)
    suffix = ".gz" if compressed else ""
    track_file = (MINI_TRACKS if cut[0].name == MINI_LOG else FULL_TRACKS) + suffix
    names = [*(shard.name + suffix for shard in cut), track_file, ORACLE_FILE]
    description = {
        "days": days,
        "drifts": [str(drift) for drift in drifts],
        "generator_version": GENERATOR_VERSION,
        "note": _NOTE,
        "seed": seed,
        "sessions": sessions,
        "tracks": tracks,
    }
    with Publication(out) as publication:
        features = world.catalogue.table
        with csv_stream(part_of(out, track_file), features.column_names, compressed=compressed) as stream:
            append_rows(stream, features)
        write = partial(_write_shards, world, out, suffix)
        _write_oracle(part_of(out, ORACLE_FILE), _each(write, _runs(cut), threads))
        paths = publication.commit(names, description)
    return SynthesisSummary(
        tuple(paths), world.rows, sessions, tracks, round(time.perf_counter() - started, 3)
    )


def _runs(shards: list[Shard]) -> list[list[Shard]]:
    """Neighbouring shards together, so that few blocks are drawn twice: each run spans some blocks."""
    runs: list[list[Shard]] = []
    for shard in shards:
        if not runs or shard.first - runs[-1][0].first >= figures.BLOCKS_IN_RUN * figures.BLOCK_SESSIONS:
            runs.append([])
        runs[-1].append(shard)
    return runs


def _each(
    write: Callable[[list[Shard]], pa.Table], runs: list[list[Shard]], threads: int | None
) -> Iterator[pa.Table]:
    """Write all runs, several at once; the oracle of each in the order of the sessions."""
    workers = min(threads or os.cpu_count() or 1, len(runs))
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(write, runs)


def _write_shards(world: World, out: Path, suffix: str, shards: list[Shard]) -> pa.Table:
    """Write neighbouring shards as parts, block by block; return the oracle of their sessions."""
    draw = lru_cache(maxsize=1)(world.block)  # the last block of a shard is often the first of the next
    oracles = []
    for shard in shards:
        path = part_of(out, shard.name + suffix)
        with csv_stream(path, SESSION_LOG.names, compressed=bool(suffix)) as stream:
            for block in world.extent.blocks_of(shard):
                log, oracle = draw(block).cut(shard.first, shard.last)
                append_rows(stream, log)
                oracles.append(oracle)
    return pa.concat_tables(oracles)


def _write_oracle(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables as one, in row groups that do not depend on how the sessions came in pieces."""
    kept = ORACLE.empty_table()
    with pq.ParquetWriter(path, ORACLE) as writer:
        for table in tables:
            kept = pa.concat_tables([kept, table])
            while len(kept) > figures.ORACLE_ROW_GROUP:
                writer.write_table(kept.slice(0, figures.ORACLE_ROW_GROUP).combine_chunks())
                kept = kept.slice(figures.ORACLE_ROW_GROUP)
        writer.write_table(kept.combine_chunks())
