"""From the paths of one or several people's exports to one table of plays."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.raw.diagnosis import listed
from skip_pipeline.streaming_history.cleaning import clean
from skip_pipeline.streaming_history.export_json import ASK_FOR, count_records, read_records
from skip_pipeline.streaming_history.people import people
from skip_pipeline.streaming_history.plays import PLAYS, RECORDS
from skip_pipeline.streaming_history.sources import Export, Part, find_exports
from skip_pipeline.streaming_history.tables import read_table

VIDEOS: Final = "videos"

# Files in work at a time: one is unzipped, without Python's lock, while another is decoded.
_AT_ONCE: Final = 2


@dataclass(frozen=True)
class Imported:
    """Plays of all people, and what was left out."""

    plays: pa.Table  # plays.PLAYS, in order of person and start
    left_out: dict[str, int]  # records by reason; each record of the files is a play or counted here
    people: int


def read_exports(paths: Sequence[Path]) -> Imported:
    """Read exports of the Extended streaming history, and tables made of them.

    Args:
        paths: zips as downloaded, folders at any depth above their files, single files, tables.

    Raises:
        MissingInputError: a path leads nowhere.
        BadInputError: what a path leads to cannot be read, is not an Extended streaming history, or holds no
            play of music. Names file, row and field.
        RefusedError: no path is given.
    """
    if not paths:
        raise RefusedError("no export is given; expected at least one. Give the path of my_spotify_data.zip")
    with ExitStack() as open_zips, ThreadPoolExecutor(_AT_ONCE) as pool:
        exports = find_exports(paths, open_zips)
        audio = pool.map(_records, (part for export in exports for part in export.audio))
        read = [_of_export(export, [next(audio) for _ in export.audio]) for export in exports]
        videos = sum(pool.map(_count, (part for export in exports for part in export.video)))
    records = pa.concat_tables(
        table.add_column(0, "person", [pa.array(np.full(len(table), person, np.int16))])
        for table, person in zip(read, people(read), strict=True)
    )
    plays, left_out = clean(records)
    if len(plays) == 0:
        raise BadInputError(
            f"no play of music is in {listed(paths)}; expected an Extended streaming history. {ASK_FOR}"
        )
    persons = plays["person"].combine_chunks().dictionary_encode()  # numbered anew: some may have no play
    numbered = plays.set_column(0, PLAYS.field("person"), pc.add(persons.indices, 1).cast(pa.int16()))
    counts = {VIDEOS: videos} | left_out if videos else left_out
    return Imported(numbered, counts, len(persons.dictionary))


def _records(part: Part) -> pa.Table:
    return read_records(part.place, part.read())


def _count(part: Part) -> int:
    return count_records(part.place, part.read())


def _of_export(export: Export, audio: list[pa.Table]) -> pa.Table:
    if export.table:
        return read_table(export.table)
    return pa.concat_tables(audio) if audio else RECORDS.empty_table()
