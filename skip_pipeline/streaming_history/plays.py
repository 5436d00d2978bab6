"""Columns of a history as read from its files (``RECORDS``), and of the plays of music kept (``PLAYS``)."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.diagnosis import rows_text

PLAYS: Final = pa.schema(
    [
        ("person", pa.int16()),  # 1, 2, … in the order of the arguments
        ("start", pa.int64()),  # milliseconds since the epoch, UTC: the end less what was heard
        ("heard", pa.int64()),  # milliseconds
        ("track", pa.string()),  # the 22 characters of the URI; null for a local or removed track
        ("track_name", pa.string()),  # null where the export does not say
        ("artist", pa.string()),
        ("album", pa.string()),
        ("reason_start", pa.string()),  # as in the export
        ("reason_end", pa.string()),
        ("shuffle", pa.bool_()),
    ]
)
"""One row per play of music, in order of person and start."""


class Kind(IntEnum):
    """What was played, by the URIs and titles of a record."""

    MUSIC = 0
    PODCAST = 1
    AUDIOBOOK = 2


RECORDS: Final = pa.schema(
    [
        ("end", pa.int64()),  # milliseconds since the epoch, UTC; null where the file says null
        ("heard", pa.int64()),  # milliseconds; likewise
        ("kind", pa.int8()),  # Kind
        ("item", pa.string()),  # id of a track, or URI of an episode or audiobook; null where there is none
        *(
            PLAYS.field(name)
            for name in ("track_name", "artist", "album", "reason_start", "reason_end", "shuffle")
        ),
    ]
)
"""One row per record of a file, in the file's order."""

FIRST_END: Final = 1_136_073_600_000  # 2006, when Spotify was founded; a clock that was wrong says 1970

# 24 days, longer than any play: an end less a length stays within int64.
LONGEST_PLAY: Final = 2**31 - 1

_TRACK: Final = r"^(?:spotify:track:)?(?P<id>[0-9A-Za-z]{22})$"  # people's tables have the bare id, too
_EPISODE: Final = "spotify:episode:"
_LOCAL: Final = "spotify:local:"  # a file of the listener: no track of the catalogue
_REASON: Final = r"^[\w .:-]{0,40}$"  # a level of a column of the raw log, and never free text


def records(place: str, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Records of a file (``RECORDS``) from its columns by their names in the export.

    Args:
        place: the file, as messages name it.
        columns: ``ts`` and ``ms_played`` int64 milliseconds, ``shuffle`` bool, ``spotify_track_uri`` and the
            reasons strings; and, where the file has them, names and URIs of episodes and audiobooks, strings.
            Any value may be null.

    Raises:
        BadInputError: a track URI that is none, or a reason that is not one word. Names rows and column.
    """

    def text(name: str) -> pa.Array:
        column = columns.get(name)
        return pa.nulls(len(columns["ts"]), pa.string()) if column is None else _none_if_empty(column)

    track, other = _ids(place, text("spotify_track_uri"))
    episode = pc.coalesce(text("spotify_episode_uri"), other, text("episode_name"))
    audiobook = pc.coalesce(text("audiobook_uri"), text("audiobook_title"))
    is_kind = pc.make_struct(*(item.is_valid() for item in (track, episode, audiobook)))
    kind = pc.case_when(is_kind, *map(int, (Kind.MUSIC, Kind.PODCAST, Kind.AUDIOBOOK, Kind.MUSIC)))
    return pa.Table.from_arrays(
        [
            columns["ts"],
            columns["ms_played"],
            kind.cast(pa.int8()),
            pc.coalesce(track, episode, audiobook),
            *(text(f"master_metadata_{name}_name") for name in ("track", "album_artist", "album_album")),
            *(_reason(place, name, columns[name]) for name in ("reason_start", "reason_end")),
            columns["shuffle"],
        ],
        schema=RECORDS,
    )


def not_times(text: pa.Array, zone: str | None) -> np.ndarray:
    """Whether a text is no time in ISO 8601, with the offset of a zone or without, bool (rows,).

    >>> not_times(pa.array(["2023-01-31T18:05:59Z", "soon"]), "UTC").tolist()
    [False, True]
    """
    kind = pa.timestamp("ms", zone)

    def is_time(value: pa.StringScalar) -> bool:
        try:
            value.cast(kind)
        except pa.ArrowInvalid:
            return False
        return True

    return np.array([not is_time(value) for value in text], bool)


def _none_if_empty(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), None, text)


def _ids(place: str, uris: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Ids of tracks, and URIs of episodes that stand in the column of tracks; null where there is none."""
    coded = uris.dictionary_encode()
    values = coded.dictionary.cast(pa.string())
    ids = pc.struct_field(pc.extract_regex(values, _TRACK), "id")
    episodes = pc.if_else(pc.starts_with(values, _EPISODE), values, None)
    known = pc.or_(pc.or_(ids.is_valid(), episodes.is_valid()), pc.starts_with(values, _LOCAL))
    wrong = pc.fill_null(pc.invert(known).take(coded.indices), False)
    if pc.any(wrong).as_py():
        raise BadInputError(
            f"{place}: spotify_track_uri is no track in {rows_text(np.flatnonzero(wrong), uris)}; expected "
            "spotify:track: and 22 letters and digits, or null. Download the export again, or remove "
            "those rows"
        )
    return ids.take(coded.indices), episodes.take(coded.indices)


def _reason(place: str, name: str, reasons: pa.Array) -> pa.Array:
    coded = reasons.dictionary_encode()
    fits = pc.match_substring_regex(coded.dictionary.cast(pa.string()), _REASON)
    wrong = pc.fill_null(pc.invert(fits).take(coded.indices), False)
    if pc.any(wrong).as_py():
        raise BadInputError(
            f"{place}: {name} is no reason in {rows_text(np.flatnonzero(wrong), reasons)}; expected a word "
            "like trackdone or fwdbtn. Download the export again, or remove those rows"
        )
    return reasons
