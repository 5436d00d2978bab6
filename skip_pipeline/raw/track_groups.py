"""Numbers of the artist and the album of each track, which own listening knows beside the log's columns."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import Ranges, rows_text, shown_value
from skip_pipeline.raw.own_listening import own_listening
from skip_pipeline.settings import TRACK_GROUPS_FILE

GROUPS: Final = tuple(schema.TRACK_GROUPS.names[1:])
_RANGES: Final[Ranges] = dict.fromkeys(GROUPS, (0, 2**31 - 1))


def track_groups_file(raw: Path) -> Path | None:
    """The file of groups; None where the raw folder is not own listening, or has no groups.

    Raises:
        BadInputError: the marker of own listening is damaged.
        MissingInputError: the marker lists the file, and the file is not there.
    """
    own, path = own_listening(raw), raw / TRACK_GROUPS_FILE
    if own is None:
        return None
    if path.is_file():
        return path
    if TRACK_GROUPS_FILE in own.files:
        raise MissingInputError(
            f"{path} does not exist, and the marker beside it lists it; put the file back, or import the "
            "export again"
        )
    return None


def read_track_groups(path: Path, track_ids: pa.Array) -> np.ndarray:
    """Artist and album of each of some tracks, int32 (tracks, 2), in their order.

    Raises:
        BadInputError: the file breaks the contract (see ``read_csv``), lists a track twice, or lacks one.
    """
    groups = read_csv(path, schema.TRACK_GROUPS, _RANGES, ids=(schema.TRACK_ID,))
    listed = groups[schema.TRACK_ID].combine_chunks()
    first = pc.index_in(listed, value_set=listed.unique()).to_numpy()
    repeated = np.flatnonzero(np.bincount(first)[first] > 1)
    if len(repeated):
        raise BadInputError(
            f"{path}: column {schema.TRACK_ID} lists a track more than once ({rows_text(repeated, listed)}); "
            "expected each track once. Import the export again"
        )
    rows = pc.index_in(track_ids, value_set=listed)
    if rows.null_count:
        missing = track_ids.filter(rows.is_null())
        raise BadInputError(
            f"{path} lacks {len(missing)} of {len(track_ids)} tracks of the track features, first "
            f"{shown_value(missing[0].as_py())}; expected a row for each. Import the export again"
        )
    order = rows.to_numpy()
    return np.column_stack([groups[name].to_numpy()[order] for name in GROUPS])
