"""From the records of all exports to plays of music: each once, whole, in order of person and start."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline.streaming_history.plays import FIRST_END, PLAYS, Kind

NO_END: Final = "without a time (ts is null)"
NO_LENGTH: Final = "without a length (ms_played is null)"
BEFORE_SPOTIFY: Final = "dated before 2006"
DUPLICATES: Final = "exact duplicates"
NOT_MUSIC: Final = {Kind.PODCAST: "podcasts", Kind.AUDIOBOOK: "audiobooks"}
NO_SHUFFLE: Final = "that do not say whether shuffle was on (null)"
JOINED: Final = "parts of split plays, joined to the rest"


def clean(records: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Plays of music (``plays.PLAYS``), and the number of the other records by reason.

    The result does not depend on the order of the records. Records of the same person, end, item, length and
    reasons are one play. Records of one person, end and track with different lengths are parts of one play,
    unless the longest says that it reached the end of its track: heard is their sum, the start is told by the
    longest part, the end by the shortest.

    Args:
        records: ``plays.RECORDS`` and ``person``, int16.
    """
    left_out: dict[str, int] = {}

    def keep(which: pa.Array | np.ndarray, reason: str) -> None:
        nonlocal records
        kept = records.filter(pa.array(which) if isinstance(which, np.ndarray) else which)
        if len(kept) < len(records):
            left_out[reason] = len(records) - len(kept)
        records = kept

    keep(pc.is_valid(records["end"]), NO_END)
    keep(pc.is_valid(records["heard"]), NO_LENGTH)
    keep(pc.greater_equal(records["end"], FIRST_END), BEFORE_SPOTIFY)
    records = records.take(_order(records))
    keep(_changes(records, ("person", "end", "item", "heard", "reason_start", "reason_end")), DUPLICATES)
    for kind, reason in NOT_MUSIC.items():
        keep(pc.not_equal(records["kind"], kind), reason)
    keep(pc.is_valid(records["shuffle"]), NO_SHUFFLE)
    plays = _joined(records)
    if len(plays) < len(records):
        left_out[JOINED] = len(records) - len(plays)
    # The sort is stable: plays that start together stay in the order of their ends, then of ``_order``.
    plays = plays.take(np.lexsort([plays["start"].to_numpy(), plays["person"].to_numpy()]))
    return plays.combine_chunks(), left_out


def _order(records: pa.Table) -> np.ndarray:
    """One order of the records, whatever order they come in: parts of a play together, the longest first."""
    text = ("item", "reason_start", "reason_end", "track_name", "artist", "album")
    ranks = {name: _ranks(records[name]) for name in text}
    numbers = {name: records[name].to_numpy() for name in ("person", "end", "heard")}
    shuffle = pc.fill_null(records["shuffle"].cast(pa.int8()), 2).to_numpy()
    order: np.ndarray = np.lexsort(
        [
            *(ranks[name] for name in ("album", "artist", "track_name")),
            shuffle,
            ranks["reason_end"],
            ranks["reason_start"],
            -numbers["heard"],
            ranks["item"],
            numbers["end"],
            numbers["person"],
        ]
    )
    return order


def _ranks(text: pa.ChunkedArray) -> np.ndarray:
    """Rank of each value among the distinct ones, nulls last, int32 (rows,)."""
    coded = text.combine_chunks().dictionary_encode()
    ranks = np.empty(len(coded.dictionary) + 1, np.int32)
    ranks[pc.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(coded.dictionary))
    ranks[-1] = len(coded.dictionary)
    by_row: np.ndarray = ranks[pc.fill_null(coded.indices, len(coded.dictionary)).to_numpy()]
    return by_row


def _changes(records: pa.Table, names: Iterable[str]) -> np.ndarray:
    """Whether a row differs from the row before in one of the columns, bool (rows,); nulls are equal."""
    changes = np.zeros(len(records), bool)
    changes[:1] = True
    for name in names:
        column = records[name].combine_chunks()
        values = column.to_numpy() if pa.types.is_integer(column.type) else _ranks(records[name])
        changes[1:] |= values[1:] != values[:-1]
    return changes


def _joined(records: pa.Table) -> pa.Table:
    """Plays, with the parts of each split one joined; records are in the order of ``_order``."""
    heard = records["heard"].to_numpy()
    alone = pc.is_null(records["item"]).to_numpy()  # two local tracks may end together
    first = np.flatnonzero(_changes(records, ("person", "end", "item")) | alone)
    sizes = np.diff(first, append=len(records))
    last = first + sizes - 1
    # Of one real listener's finished plays that share end and track with a shorter one (8,732 sittings), 87%
    # have the usual length of the track alone: the shorter one is no part of them.
    finished = pc.equal(records["reason_end"], "trackdone").fill_null(False).to_numpy()
    split = (heard[first] > heard[last]) & ~finished[first]
    first = np.flatnonzero(~np.repeat(split, sizes) | np.isin(np.arange(len(records)), first))
    last = np.append(first[1:], len(records))[: len(first)] - 1
    whole = records.take(first)
    total = np.add.reduceat(heard, first) if len(first) else heard
    columns = {name: whole[name] for name in PLAYS.names if name in whole.column_names} | {
        "start": pc.subtract(whole["end"], pa.array(total)),
        "heard": pa.array(total),
        "track": whole["item"],
        "reason_end": records["reason_end"].take(last),
    }
    return pa.table([columns[name] for name in PLAYS.names], schema=PLAYS)
