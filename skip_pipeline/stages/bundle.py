"""From one shard's scaled table to its share of the bundles: records of sessions and of earlier tracks.

``bundles.parts`` describes the files. Of the predicted position only its track and its outcome are taken.
Hour and premium are those of the first position.
"""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.bundles.parts import PART_FILES, Part, open_tracks, write_part
from skip_pipeline.bundles.records import (
    BINARY,
    CATEGORIES,
    SEEKS,
    outcome_byte,
    pack,
    row_record,
    session_record,
    track_type,
)
from skip_pipeline.errors import ContractError
from skip_pipeline.settings import EXAMPLES_SHOWN, SESSIONS_FOLDER
from skip_pipeline.storage import Made, Manifest, read_table

_ROWS_AT_ONCE: Final = 8_192  # compared with the track matrix in 1 MB, which a core's own cache holds

_SCALED_AGAIN: Final = "materialize scaled_table again"
_TABLES_AGAIN: Final = "Materialize merged_table, encoded_table and scaled_table again"


def bundle_shard(
    name: str,
    scaled: pa.Table,
    sessions: pa.Table,
    *,
    track_rows: pa.ChunkedArray | np.ndarray,
    tracks: np.ndarray,
) -> dict[str, Part]:
    """Arrange one shard as a part of each split.

    Args:
        name: of the shard.
        scaled: ``schema.SCALED``, rows ordered by session code and position.
        sessions: the shard's ``schema.SESSIONS``, one row per session code.
        track_rows: int (rows,), the encoded table's ``track_id_clean``: each row's row of the track matrix.
        tracks: float32 (tracks, 31), the track matrix.

    Raises:
        ContractError: positions do not run from 1 to the length, a flag or indicator is neither 0 nor 1, a
            row has two levels of a category, a count is negative, or a row's scaled features are not those
            of its track.
    """
    track_of = np.asarray(track_rows)
    lengths = _lengths(name, scaled, sessions.num_rows)
    _check_tracks(name, scaled, track_of, tracks)
    rows = _rows(name, scaled, track_of, track_type(len(tracks)))
    last = np.cumsum(lengths) - 1
    records = np.empty(len(lengths), session_record(track_type(len(tracks))))
    records["last_track"] = track_of[last]
    records["length"] = lengths
    first = last - lengths + 1
    outcomes = [scaled[flag].to_numpy()[last] for flag in schema.OUTCOME_FLAGS]
    records["outcome"] = outcome_byte(outcomes, scaled["premium"].fill_null(-1).to_numpy()[first])
    records["hour"] = scaled["hour_of_day"].to_numpy()[first]
    ids = sessions[schema.SESSION_ID].cast(pa.binary()).to_numpy().astype("S")
    splits = sessions["split"].to_numpy()
    parts = {}
    for split in schema.SPLITS:
        own = splits == split
        earlier = np.repeat(own, lengths)
        earlier[last] = False
        parts[split] = Part(name, records[own], rows[earlier], ids[own], len(tracks))
    return parts


def make_part(shard: str, scaled: Manifest, encoded: Manifest, *, matrix: Path, out: Path) -> Made:
    """Make the part of one scaled shard below ``out``; its ``PartRecord`` is the summary."""
    codes = read_table(encoded.path(shard), schema.ENCODED, columns=[schema.LOG_TRACK_ID])
    parts = bundle_shard(
        Path(shard).stem,
        read_table(scaled.path(shard), schema.SCALED),
        read_table(scaled.path(f"{SESSIONS_FOLDER}/{shard}"), schema.SESSIONS),
        track_rows=codes[schema.LOG_TRACK_ID],
        tracks=_open_once(matrix),
    )
    record = write_part(out, parts)
    return Made(tuple(f"{record.name}/{name}" for name in PART_FILES), asdict(record))


_open_once: Final = lru_cache(maxsize=1)(open_tracks)


def _lengths(name: str, scaled: pa.Table, n: int) -> np.ndarray:
    """Rows of each session, int64 (n,)."""
    codes = scaled[schema.SESSION_ID].to_numpy()
    counts = np.bincount(codes, minlength=n)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    positions, lengths = (scaled[c].to_numpy().astype(np.int64) for c in (schema.POSITION, schema.LENGTH))
    in_order = len(counts) == n and (
        np.array_equal(codes, np.repeat(np.arange(n), counts))
        and np.array_equal(positions, np.arange(len(codes)) - first + 1)
        and np.array_equal(lengths, np.repeat(counts, counts))
        and np.all((counts >= schema.MIN_SESSION_LENGTH) & (counts <= schema.MAX_SESSION_LENGTH))
    )
    if not in_order:
        raise ContractError(
            f"{name}: the rows of its {n} sessions do not lie one session after another, positions 1 to the "
            f"session's length, {schema.MIN_SESSION_LENGTH} to {schema.MAX_SESSION_LENGTH}; {_SCALED_AGAIN}"
        )
    return counts


def _check_tracks(name: str, scaled: pa.Table, track_of: np.ndarray, tracks: np.ndarray) -> None:
    """Refuse rows whose features are not bit for bit those of their track, which the bundle keeps instead."""
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
            wrong = np.flatnonzero(features[i][own].view(np.uint32) != expected[:, i])
            if len(wrong):
                raise ContractError(
                    f"{name}: {column} is not that of the row's track in {len(wrong)} of {len(expected)} "
                    f"rows, first {(wrong[:EXAMPLES_SHOWN] + start).tolist()}; expected equal values bit for "
                    f"bit. {_TABLES_AGAIN}"
                )


def _rows(name: str, scaled: pa.Table, track_of: np.ndarray, track: np.dtype) -> np.ndarray:
    """A record per row, with the smallest type that holds the counts of seeks."""
    seeks = {column: scaled[column].to_numpy() for column in SEEKS}
    binary = {column: scaled[column].to_numpy() for column in BINARY}
    for column, values in (seeks | binary).items():
        # Read as unsigned, a negative number is a large one.
        wrong = values < 0 if column in SEEKS else values.view(np.uint8) > 1
        if wrong.any():
            row = int(wrong.argmax())
            expected = f"expected {'counts from 0' if column in SEEKS else '0 or 1'}; {_SCALED_AGAIN}"
            raise ContractError(f"{name}: {column} is {values[row]} in row {row}, {expected}")
    for category in CATEGORIES:
        levels = np.sum([binary[column] for column in schema.indicators(category)], axis=0)
        if levels.max(initial=0) > 1:
            row = int(levels.argmax())
            fact = f"{name}: row {row} has {levels[row]} levels of {category}, expected at most one"
            raise ContractError(f"{fact}; {_SCALED_AGAIN}")
    most = max(int(values.max(initial=0)) for values in seeks.values())
    rows = np.empty(scaled.num_rows, row_record(track, np.min_scalar_type(most)))
    rows["track"] = track_of
    rows["binary"] = pack(binary)
    for column, values in seeks.items():
        rows[column] = values
    return rows


def class_balance(bundles: Path | Manifest) -> dict[str, tuple[int, int]]:
    """Per split, how many last tracks were skipped and how many were not."""
    labels = {split: bundle.not_skipped for split, bundle in open_bundles(bundles, schema.SPLITS).items()}
    return {split: (int(np.sum(of == 0)), int(np.sum(of == 1))) for split, of in labels.items()}


def session_lengths(bundles: Path | Manifest) -> dict[int, int]:
    """Sessions of all splits by length."""
    parts = [part for bundle in open_bundles(bundles, schema.SPLITS).values() for part in bundle.parts]
    lengths, counts = np.unique_counts(np.concatenate([part.sessions["length"] for part in parts]))
    return dict(zip(lengths.tolist(), counts.tolist(), strict=True))
