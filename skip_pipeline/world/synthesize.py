"""Draw a world block by block and write it as a raw data set.

Memory holds the catalogue and, for each thread, a block and the oracle of one shard (or run of small shards),
whatever the number of shards.
"""

import os
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from skip_pipeline.raw.folder import synthetic_files
from skip_pipeline.raw.log_pairs import INPUT, LOG_INPUT, LOG_TRUTH, PREHISTORY, TRUTH, cut
from skip_pipeline.raw.output_folder import (
    RawSet,
    append_rows,
    commit,
    csv_stream,
    part_of,
    publication,
    record_part,
)
from skip_pipeline.raw.own_listening import ListedFile
from skip_pipeline.schema import ORACLE, SESSION_LOG
from skip_pipeline.settings import (
    ORACLE_FILE,
    SYNTHETIC_MARKER,
    TEST_SET,
    TRACK_FEATURES,
    TRAINING_SET,
    TRUTH_FOLDER,
)
from skip_pipeline.world import constants
from skip_pipeline.world.drift import Drift
from skip_pipeline.world.extent import MINI_LOG, Extent, Shard
from skip_pipeline.world.laws import registry
from skip_pipeline.world.randomness import other_seed
from skip_pipeline.world.world import World

_SYNTHETIC: Final = RawSet(SYNTHETIC_MARKER, "synthetic data", "it may be real data", synthetic_files)

_NOTE = (
    "The files listed here are synthetic: drawn by a random number generator that imitates published "
    "statistics of the Spotify sequential skip prediction data. No real listener is in them, and no figure "
    "measured on them is a measurement of the real data."
)

_NOTE_OF_LAW = (
    "The files listed here are synthetic: drawn by a random number generator, for tests. Their listeners "
    "behave by the law {law}: {text}. Reactions imitate no statistics of the Spotify sequential skip "
    "prediction data. No real listener is in them, and no figure measured on them is a measurement of real "
    "data."
)


@dataclass(frozen=True)
class SynthesisSummary:
    """What was written, and the seconds that it took."""

    paths: tuple[Path, ...]  # logs, track features, oracle, marker
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
    test_sessions: int = 0,
    law: str = registry.DEFAULT,
    threads: int | None = None,
) -> SynthesisSummary:
    """Write a synthetic data set in the layout and spelling of the public archives.

    ``out`` receives ``training_set/log_mini.csv`` (or the shards), ``track_features/tf_mini.csv``,
    ``oracle.parquet`` and ``SYNTHETIC.json``. The same arguments give the same bytes, and the number of
    shards changes no row. An earlier synthetic set is replaced as a whole or not at all.

    Args:
        out: folder of the raw data; made if missing.
        sessions: listening sessions of 10 to 20 tracks, at least 1.
        tracks: tracks in the catalogue, at least 1.
        seed: non-negative; another seed gives another world.
        days: on which sessions end, at least 1; the sessions of a day are together.
        shards: log files in all, named as in the public archives; None for the mini set's one file, or one
            file a day.
        compressed: gzip the CSVs.
        drifts: changes and the days on which they begin.
        test_sessions: additional sessions of other listeners on the day after, without drift and without the
            outcomes of their second half, in the format of the public archive's ``test_set``. These outcomes
            are in the folder ``truth``.
        law: of the listeners' behaviour, a name in ``laws.registry.LAWS``.
        threads: number of drawing threads, at least 1; None for one per processor, up to ``MOST_THREADS``.
            It changes no byte.

    Raises:
        RefusedError: an argument is out of range, ``out`` cannot be written, or it holds files that are not
            of an earlier synthetic set.
    """
    started = time.perf_counter()
    world = World(Extent(sessions, days, shards), tracks, seed, tuple(drifts), law=law)
    files = world.extent.cut()
    suffix = ".gz" if compressed else ""
    part_of_set = "mini" if files[0].name == MINI_LOG else "000000000000"
    track_file = f"{TRACK_FEATURES}/tf_{part_of_set}.csv{suffix}"
    description = {
        "days": days,
        "drifts": [str(drift) for drift in drifts],
        "generator_version": 3,  # increased whenever the same arguments give other bytes
        "note": _NOTE,
        "seed": seed,
        "sessions": sessions,
        "tracks": tracks,
    }
    if law != registry.DEFAULT:
        description |= {"law": law, "note": _NOTE_OF_LAW.format(law=law, text=registry.LAWS[law])}
    folders = [TRAINING_SET, TRACK_FEATURES]
    if test_sessions:
        test_extent = Extent(test_sessions, first_day=days)
        unheard = World(test_extent, tracks, other_seed(seed), catalogue_of=seed, law=law)
        description["test_sessions"] = test_sessions
        folders += [TEST_SET, TRUTH_FOLDER]
    with publication(_SYNTHETIC, out, folders):
        features = world.catalogue.table
        with csv_stream(part_of(out, track_file), features.column_names) as stream:
            append_rows(stream, features)
        records: dict[str, ListedFile] = {}
        with closing(_write_logs(world, out, suffix, files, threads, records)) as oracles:
            _write_oracle(part_of(out, ORACLE_FILE), oracles)
        names = [track_file, ORACLE_FILE]
        if test_sessions:
            names = [*_write_test_set(unheard, out, suffix), *names]
        records |= {name: record_part(out, name) for name in names}
        paths = commit(_SYNTHETIC, out, records, description)
    seconds = round(time.perf_counter() - started, 3)
    return SynthesisSummary(tuple(paths), world.rows, sessions, tracks, seconds)


def _runs(shards: list[Shard]) -> list[list[Shard]]:
    """Group neighbouring shards into runs of several blocks, so that few blocks are drawn twice."""
    runs: list[list[Shard]] = []
    for shard in shards:
        if not runs or shard.first - runs[-1][0].first >= constants.BLOCKS_IN_RUN * constants.BLOCK_SESSIONS:
            runs.append([])
        runs[-1].append(shard)
    return runs


def _write_logs(
    world: World,
    out: Path,
    suffix: str,
    shards: list[Shard],
    threads: int | None,
    records: dict[str, ListedFile],
) -> Generator[pa.Table]:
    """Write all shards in threads, note them in ``records``, and give the oracle in the sessions' order."""
    runs = _runs(shards)
    workers = min(threads or min(os.cpu_count() or 1, constants.MOST_THREADS), len(runs))
    with ThreadPoolExecutor(workers) as pool:
        for files, oracle in pool.map(partial(_write_run, world, out, suffix), runs):
            records |= files
            yield oracle


def _write_run(
    world: World, out: Path, suffix: str, shards: list[Shard]
) -> tuple[dict[str, ListedFile], pa.Table]:
    """Write neighbouring shards as parts, block by block: their records by name, and their oracle."""
    draw = lru_cache(maxsize=1)(world.block)  # the last block of a shard is often the first of the next
    files, oracles = {}, []
    for shard in shards:
        name = shard.name + suffix
        with csv_stream(part_of(out, name), SESSION_LOG.names) as stream:
            for block in world.extent.blocks_of(shard):
                log, oracle = draw(block).cut(shard.first, shard.last)
                append_rows(stream, log)
                oracles.append(oracle)
        files[name] = record_part(out, name)
    return files, pa.concat_tables(oracles)


def _write_oracle(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables as one file, with row groups that do not depend on the division into tables."""
    kept = ORACLE.empty_table()
    with pq.ParquetWriter(path, ORACLE) as writer:
        for table in tables:
            kept = pa.concat_tables([kept, table])
            while len(kept) > constants.ORACLE_ROW_GROUP:
                writer.write_table(kept.slice(0, constants.ORACLE_ROW_GROUP).combine_chunks())
                kept = kept.slice(constants.ORACLE_ROW_GROUP)
        writer.write_table(kept.combine_chunks())


def _write_test_set(world: World, out: Path, suffix: str) -> list[str]:
    """Write all sessions of a world as parts: first halves, tracks of the second halves, and the truth."""
    stamp = f"{world.extent.date_of(0):%Y%m%d}_000000000000.csv{suffix}"
    columns = {
        f"{TEST_SET}/{PREHISTORY}{stamp}": SESSION_LOG.names,
        f"{TEST_SET}/{INPUT}{stamp}": LOG_INPUT.names,
        f"{TRUTH_FOLDER}/{TRUTH}{stamp}": LOG_TRUTH.names,
    }
    with ExitStack() as stack:
        streams = [stack.enter_context(csv_stream(part_of(out, name), own)) for name, own in columns.items()]
        for block in range(world.extent.blocks):
            for stream, rows in zip(streams, cut(world.block(block).log), strict=True):
                append_rows(stream, rows)
    return list(columns)
