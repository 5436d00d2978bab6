"""Attributes of judged sessions that are no inputs of the network: for slices, and to describe a session.

The premium flag and the hour are in no bundle. They are read from the merged table, from the row before the
predicted one: what the log holds at the predicted position is not known when the prediction is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.parts import Part, plays
from skip_pipeline.bundles.records import SESSION
from skip_pipeline.errors import ContractError
from skip_pipeline.raw.diagnosis import listed
from skip_pipeline.storage import read_table

_READ: Final = ("hour_of_day", "premium", "context_type")
_EMPTY: Final = pa.schema([schema.MERGED.field(name) for name in _READ]).empty_table()
POPULARITY: Final = schema.TRACK_BRANCH.index("us_popularity_estimate")
_AT_ONCE: Final = 65_536  # sessions whose inputs are gathered together, 8 MB


@dataclass(frozen=True)
class SessionAttributes:
    """Attributes of n sessions, in the bundle's order."""

    length: np.ndarray  # int (n,), tracks of the session, the predicted one included
    hour: np.ndarray  # int (n,), 0 to 23; like the next two, of the row before the predicted one
    premium: np.ndarray  # int8 (n,), 1 or 0; -1 where it is not known
    context_type: np.ndarray  # str (n,), empty where it is not known
    popularity: np.ndarray  # float32 (n,), of the predicted track, scaled as in the bundle
    known_track: np.ndarray  # bool (n,), whether a training session plays the predicted track anywhere

    def of_tracks(
        self, session_of: np.ndarray, popularity: np.ndarray, known_track: np.ndarray
    ) -> SessionAttributes:
        """Attributes of t tracks: those of their sessions, but popularity and known track are their own.

        Args:
            session_of: int (t,), number of each track's session.
            popularity: float32 (t,).
            known_track: bool (t,).
        """
        of_session = {
            name: getattr(self, name)[session_of] for name in ("length", "hour", "premium", "context_type")
        }
        return SessionAttributes(**of_session, popularity=popularity, known_track=known_track)


def read_session_attributes(find: Callable[[str], Path], train: Bundle, judged: Bundle) -> SessionAttributes:
    """Read the attributes of the judged sessions, shard by shard and only the columns needed.

    Args:
        find: gives the path of a shard of the merged table (``Manifest.path``).
    """
    rows = pa.concat_tables(
        [_EMPTY, *(_rows_before_last(find, part) for part in judged.parts if len(part.ids))]
    )
    starts = range(0, judged.sessions, _AT_ONCE)
    popularity = [judged.last_track[at : at + _AT_ONCE, POPULARITY] for at in starts]
    records = np.concatenate([np.empty(0, SESSION), *(part.sessions for part in judged.parts)])
    tracks = max((part.tracks for part in (*train.parts, *judged.parts)), default=0)
    return SessionAttributes(
        length=records["length"],
        hour=rows["hour_of_day"].to_numpy(),
        premium=rows["premium"].cast(pa.int8()).fill_null(-1).to_numpy(),
        context_type=rows["context_type"].to_numpy().astype(str),
        popularity=np.concatenate([np.empty(0, np.float32), *popularity]),
        known_track=(plays(train.parts, tracks) > 0)[records["last_track"]],
    )


def _rows_before_last(find: Callable[[str], Path], part: Part) -> pa.Table:
    """The row before the predicted one of each of a part's sessions, in their order."""
    path = find(f"{part.name}.parquet")
    key = [schema.SESSION_ID, schema.POSITION, schema.LENGTH]
    table = read_table(path, schema.MERGED, columns=[*key, *_READ])
    before_last = pc.subtract(table[schema.LENGTH], pa.scalar(1, pa.int8()))
    table = table.filter(pc.equal(table[schema.POSITION], before_last))
    ids = pa.array(np.strings.decode(part.ids, "utf-8"), pa.string())
    place = pc.index_in(ids, table[schema.SESSION_ID].combine_chunks())
    if place.null_count:
        missing = ids.filter(place.is_null()).to_pylist()
        raise ContractError(
            f"{path} lacks {len(missing)} of its {len(ids)} judged sessions, {listed(missing)}; expected the "
            "table that the bundles were made from. Materialize encoded_table and all after it again"
        )
    return table.select(list(_READ)).take(place)
