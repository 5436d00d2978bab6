"""The model's inputs, written small: one part per shard, and one matrix of scaled tracks for all of them.

``bundles.parts`` says what the files hold, ``bundles.gather`` how float32 inputs come from them. Sequences
are padded in front, so that step t is the same track in every branch and the last step is always the track
before the predicted one. Of the predicted position only its track and the label get in.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.bundles.parts import PART_FILES, TRACKS, Part, PartRecord, open_tracks
from skip_pipeline.bundles.records import (
    CATEGORIES,
    FLAGS,
    SEEK_TYPES,
    SEEKS,
    SESSION,
    SHUFFLE,
    TRACK_TYPES,
    UNKNOWN,
    circumstances_of,
    flags_of,
    row_type,
    smallest,
)
from skip_pipeline.bundles.tracks import RowScaler, track_matrix, write_tracks
from skip_pipeline.errors import ContractError
from skip_pipeline.locations import make_folder, version_of
from skip_pipeline.settings import EXAMPLES_SHOWN, SESSIONS_FOLDER
from skip_pipeline.storage import Made, read_table, write_array

_ROWS_AT_ONCE: Final = 8_192  # compared with the track matrix in 1 MB, which a core's own cache holds


# --- Parts ----------------------------------------------------------------------------------------------


def bundle_shard(
    name: str,
    scaled: pa.Table,
    sessions: pa.Table,
    *,
    track_rows: pa.ChunkedArray | np.ndarray,
    tracks: np.ndarray,
) -> Part:
    """Arrange one shard as a part of a bundle.

    Args:
        name: of the part.
        scaled: 69 columns (``schema.SCALED``), rows ordered by session code and position.
        sessions: the shard's ``schema.SESSIONS``, one row per session code.
        track_rows: int32 (rows,), row of the track matrix for each row of ``scaled``: the encoded table's
            ``track_id_clean``.
        tracks: float32 (tracks, 31), ``track_matrix``.

    Raises:
        ContractError: positions do not run from 1 to the length, a flag or indicator is neither 0 nor 1, a
            count is negative, or a row's scaled features are not those of its track.
    """
    track_of = np.asarray(track_rows).astype(np.int64)
    starts, lengths = _sessions_of(name, scaled, sessions.num_rows)
    _check_tracks(name, scaled, track_of, tracks)
    last = starts + lengths - 1
    earlier = np.ones(scaled.num_rows, bool)
    earlier[last] = False
    split = pc.index_in(sessions["split"].cast(pa.string()), pa.array(schema.SPLITS)).to_numpy()
    order = np.argsort(split, kind="stable")

    records = np.zeros(len(order), SESSION)
    records["first_row"] = (starts - np.arange(len(starts)))[order]
    records["length"] = lengths[order]
    records["last_track"] = track_of[last][order]
    records["split"] = split[order]
    records[schema.LABEL] = _flag(name, scaled, schema.LABEL)[last][order]
    ids = sessions[schema.SESSION_ID].cast(pa.binary()).to_numpy()[order].astype("S")
    return Part(name, records, ids, _rows(name, scaled, track_of, len(tracks))[earlier], len(tracks))


def write_part(bundles_dir: Path, part: Part) -> PartRecord:
    """Write a part's three files. It is in the bundle once ``write_parts`` has been given its record."""
    folder = bundles_dir / part.name
    make_folder(folder)
    for file, array in zip(PART_FILES, (part.sessions, part.rows, part.ids), strict=True):
        write_array(folder / file, array)
    return part.record


def make_part(shard: str, *, encoded: Path, scaled: Path, matrix: Path, out: Path) -> Made:
    """Make the part of one scaled shard.

    Args:
        shard: its name.
        encoded: folder of the encoded table, which holds each row's track.
        scaled: folder of the scaled table.
        matrix: the track matrix.
        out: folder that gets the part, whose record (``parts.record_from_json``) is the summary.

    Raises:
        ContractError, MissingInputError: see ``bundle_shard`` and ``storage.read_table``.
    """
    codes = read_table(encoded / shard, schema.ENCODED, columns=[schema.LOG_TRACK_ID])
    part = bundle_shard(
        Path(shard).stem,
        read_table(scaled / shard, schema.SCALED),
        read_table(scaled / SESSIONS_FOLDER / shard, schema.SESSIONS),
        track_rows=codes[schema.LOG_TRACK_ID],
        tracks=_matrix(matrix, version_of(matrix)),
    )
    record = write_part(out, part)
    return Made(tuple(f"{part.name}/{name}" for name in PART_FILES), asdict(record))


def make_matrix(*, tracks: Path, scaler: RowScaler, out: Path) -> Made:
    """Scale every track once.

    Args:
        tracks: the track table, sorted by id.
        scaler: the one that has scaled the table.
        out: folder that gets the matrix.
    """
    matrix = track_matrix(read_table(tracks, schema.TRACK_FEATURES), scaler)
    write_tracks(out, matrix)
    return Made((TRACKS,), {"tracks": len(matrix)})


@lru_cache(maxsize=1)
def _matrix(path: Path, _version: str) -> np.ndarray:
    """The track matrix, opened once for all shards that a process works on."""
    return open_tracks(path)


def _sessions_of(name: str, scaled: pa.Table, n: int) -> tuple[np.ndarray, np.ndarray]:
    """First row and length of each session, int64 (n,)."""
    codes = scaled[schema.SESSION_ID].to_numpy()
    counts = np.bincount(codes, minlength=n)
    starts = np.cumsum(counts) - counts
    positions, lengths = (scaled[c].to_numpy().astype(np.int64) for c in (schema.POSITION, schema.LENGTH))
    wrong = len(counts) != n or not (
        np.array_equal(codes, np.repeat(np.arange(n), counts))
        and np.array_equal(positions, np.arange(len(codes)) - np.repeat(starts, counts) + 1)
        and np.array_equal(lengths, np.repeat(counts, counts))
        and np.all((counts >= schema.MIN_SESSION_LENGTH) & (counts <= schema.MAX_SESSION_LENGTH))
    )
    if wrong:
        raise ContractError(
            f"{name}: the rows of its {n} sessions do not lie one session after another, positions 1 to the "
            f"session's length, {schema.MIN_SESSION_LENGTH} to {schema.MAX_SESSION_LENGTH}; "
            "materialize scaled_table again"
        )
    return starts, counts


def _check_tracks(name: str, scaled: pa.Table, track_of: np.ndarray, tracks: np.ndarray) -> None:
    """Refuse rows whose features are not bit for bit those of their track, which a bundle keeps instead."""
    if len(track_of) != scaled.num_rows or np.any((track_of < 0) | (track_of >= len(tracks))):
        raise ContractError(
            f"{name}: {scaled.num_rows} rows play {len(track_of)} tracks, numbers up to "
            f"{track_of.max(initial=-1)}, expected one each out of {len(tracks)}; {_TABLES_AGAIN}"
        )
    features = [scaled[c].to_numpy().astype(np.float32, copy=False) for c in schema.TRACK_BRANCH]
    for start in range(0, scaled.num_rows, _ROWS_AT_ONCE):
        own = slice(start, start + _ROWS_AT_ONCE)
        expected = tracks.take(track_of[own], axis=0).view(np.uint32)
        for i, column in enumerate(schema.TRACK_BRANCH):
            wrong = features[i][own].view(np.uint32) != expected[:, i]
            if wrong.any():
                differs = np.flatnonzero(wrong)
                shown = (differs[:EXAMPLES_SHOWN] + start).tolist()
                raise ContractError(
                    f"{name}: {column} is not that of the row's track in {len(differs)} of "
                    f"{len(wrong)} rows, first {shown}; expected equal values bit for bit. {_TABLES_AGAIN}"
                )


_TABLES_AGAIN: Final = "Materialize merged_table, encoded_table and scaled_table again"


def _rows(name: str, scaled: pa.Table, track_of: np.ndarray, tracks: int) -> np.ndarray:
    """A record per row, in the smallest type that holds all tracks and seeks."""
    seeks = {column: scaled[column].to_numpy() for column in SEEKS}
    for column, values in seeks.items():
        if values.min(initial=0) < 0:
            raise ContractError(
                f"{name}: {column} is {values.min()} in row {values.argmin()}, expected counts from 0; "
                "materialize scaled_table again"
            )
    most = max(int(values.max(initial=0)) for values in seeks.values())
    rows = np.zeros(
        scaled.num_rows, row_type(smallest(SEEK_TYPES, most), smallest(TRACK_TYPES, max(0, tracks - 1)))
    )
    rows["track"] = track_of
    rows["flags"] = flags_of({column: _flag(name, scaled, column) for column in FLAGS})
    rows["circumstances"] = circumstances_of(
        _flag(name, scaled, SHUFFLE), {column: _level_codes(name, scaled, column) for column in CATEGORIES}
    )
    for column, values in seeks.items():
        rows[column] = values
    return rows


def _flag(name: str, scaled: pa.Table, column: str) -> np.ndarray:
    """A column of zeros and ones as uint8."""
    values = scaled[column].to_numpy()
    flags = np.asarray(values.view(np.uint8))  # a negative number becomes a large one
    if flags.max(initial=0) > 1:
        row = int(np.flatnonzero(flags > 1)[0])
        raise ContractError(
            f"{name}: {column} is {values[row]} in row {row}, expected 0 or 1; materialize scaled_table again"
        )
    return flags


def _level_codes(name: str, scaled: pa.Table, category: str) -> np.ndarray:
    """Index of each row's level in the vocabulary, ``UNKNOWN`` where no indicator is 1: uint8 (rows,)."""
    codes = np.zeros(scaled.num_rows, np.uint8)
    levels = np.zeros(scaled.num_rows, np.uint8)
    for code, column in enumerate(schema.indicators(category)):
        values = _flag(name, scaled, column)
        codes += values * np.uint8(code)
        levels += values
    codes[levels == 0] = UNKNOWN[category]
    if levels.max(initial=0) > 1:
        row = int(levels.argmax())
        raise ContractError(
            f"{name}: row {row} has {levels[row]} levels of {category}, expected at most one; "
            "materialize scaled_table again"
        )
    return codes


# --- Figures for charts ---------------------------------------------------------------------------------


def class_balance(bundles_dir: Path) -> dict[str, tuple[int, int]]:
    """Per split, how many last tracks were skipped and how many were not."""
    balance = {}
    for split, bundle in open_bundles(bundles_dir).items():
        not_skipped = sum(int(np.count_nonzero(part.sessions[schema.LABEL])) for part in bundle.parts)
        balance[split] = (bundle.sessions - not_skipped, not_skipped)
    return balance


def session_lengths(bundles_dir: Path) -> dict[int, int]:
    """Sessions of all splits by length."""
    counts = np.zeros(schema.MAX_SESSION_LENGTH + 1, np.int64)
    for bundle in open_bundles(bundles_dir).values():
        for part in bundle.parts:
            counts += np.bincount(part.sessions["length"], minlength=len(counts))
    return {int(length): int(counts[length]) for length in np.flatnonzero(counts)}
