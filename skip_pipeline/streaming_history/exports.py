"""From the paths of a person's or several people's exports to one table of plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline.streaming_history.export_json import read_records
from skip_pipeline.streaming_history.plays import PLAYS


@dataclass(frozen=True)
class Imported:
    """Plays of all people, and what was left out."""

    plays: pa.Table  # PLAYS, in order of person and start
    left_out: dict[str, int]  # records by reason; each record of the files is a play or counted here
    people: int


def read_exports(paths: Sequence[Path]) -> Imported:
    """Read JSON files of one person's Extended streaming history."""
    read = pa.concat_tables([read_records(str(path), path.read_bytes()) for path in paths])
    starts = pc.subtract(read["end"], read["heard"])
    columns = {
        "person": pa.array(np.ones(len(read), np.int16)),
        "start": starts,
        "track": read["item"],
        **{name: read[name] for name in PLAYS.names if name in read.column_names},
    }
    plays = pa.table([columns[name] for name in PLAYS.names], schema=PLAYS).sort_by("start")
    return Imported(plays, {}, 1)
