"""What is known of each test session beside its inputs: for slices, and to show a session to a person.

The premium flag and the hour are in no bundle. They are read from the merged table, from the row before the
predicted one: what the log says at the predicted position is not known when the question is put.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.parts import Part, plays
from skip_pipeline.errors import ContractError
from skip_pipeline.raw.diagnosis import listed
from skip_pipeline.storage import read_table

POPULARITY: Final = "us_popularity_estimate"

_READ: Final = ("hour_of_day", "premium", "context_type")
_ADDRESS: Final = (schema.SESSION_ID, schema.POSITION, schema.LENGTH)


@dataclass(frozen=True)
class Circumstances:
    """Of n test sessions, in the bundle's order.

    Attributes:
        length: int (n,), tracks of the session, the predicted one included.
        hour: int (n,), 0 to 23, of the row before the predicted one, as are the next two.
        premium: bool (n,).
        context_type: str (n,).
        popularity: float32 (n,), of the predicted track, in the units of the bundle.
        known_track: bool (n,), whether the predicted track is played in a training session, at any position.
    """

    length: np.ndarray
    hour: np.ndarray
    premium: np.ndarray
    context_type: np.ndarray
    popularity: np.ndarray
    known_track: np.ndarray


def read_circumstances(find: Callable[[str], Path], train: Bundle, test: Bundle) -> Circumstances:
    """Read what the bundles do not hold, shard by shard and the needed columns alone.

    Args:
        find: where each shard of the merged table is that the bundles were made from (``Manifest.path``).
        train: the training sessions, of which the tracks are used.
        test: the test sessions.

    Raises:
        MissingInputError: a shard of the merged table is not there.
        ContractError: a shard is not readable, or lacks a test session.
    """
    rows = pa.concat_tables([_NOTHING, *(_last_rows(find, part) for part in test.parts if len(part.ids))])
    popularity = np.concatenate([np.empty(0, np.float32), *_popularities(test)])
    return Circumstances(
        length=np.concatenate([np.empty(0, np.int64), *(part.sessions["length"] for part in test.parts)]),
        hour=rows["hour_of_day"].to_numpy(),
        premium=rows["premium"].to_numpy(),
        context_type=rows["context_type"].to_numpy().astype(str),
        popularity=popularity,
        known_track=_known_tracks(train, test),
    )


_NOTHING: Final = pa.schema([schema.MERGED.field(name) for name in _READ]).empty_table()


def _last_rows(find: Callable[[str], Path], part: Part) -> pa.Table:
    """The row before the predicted one of each of a part's sessions."""
    path = find(f"{part.name}.parquet")
    table = read_table(path, schema.MERGED, columns=[*_ADDRESS, *_READ])
    before_last = pc.equal(table[schema.POSITION], pc.subtract(table[schema.LENGTH], pa.scalar(1, pa.int8())))
    table = table.filter(before_last)
    ids = pa.array(np.strings.decode(part.ids, "utf-8"), pa.string())
    place = pc.index_in(ids, table[schema.SESSION_ID].combine_chunks())
    if place.null_count:
        missing = ids.filter(place.is_null()).to_pylist()
        raise ContractError(
            f"{path} lacks {len(missing)} of its {len(ids)} test sessions, {listed(missing)}; expected the "
            "table that the bundles were made from. Materialize encoded_table and all after it again"
        )
    return table.select(list(_READ)).take(place)


_SESSIONS_AT_ONCE: Final = 65_536


def _popularities(test: Bundle) -> Iterator[np.ndarray]:
    column = schema.TRACK_BRANCH.index(POPULARITY)
    for start in range(0, test.sessions, _SESSIONS_AT_ONCE):
        yield test.last_track[start : start + _SESSIONS_AT_ONCE, column]


def _known_tracks(train: Bundle, test: Bundle) -> np.ndarray:
    """Whether each test session's predicted track is played in training: bool (n,)."""
    tracks = max((part.tracks for part in (*train.parts, *test.parts)), default=0)
    known = plays(train.parts, tracks) > 0
    predicted = [part.sessions["last_track"] for part in test.parts]
    return np.asarray(known[np.concatenate([np.empty(0, np.uint32), *predicted])])
