"""Columns of a history as read from its files (``RECORDS``), and of the plays of music kept (``PLAYS``)."""

from __future__ import annotations

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
        (
            "end",
            pa.int64(),
        ),  # milliseconds since the epoch, UTC; null where the file has null, as in the next
        ("heard", pa.int64()),
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
    rows = len(columns["ts"])
    nothing = pa.nulls(rows, pa.string())
    track, other = _ids(place, columns["spotify_track_uri"])
    episode = pc.coalesce(
        columns.get("spotify_episode_uri", nothing), other, columns.get("episode_name", nothing)
    )
    audiobook = pc.coalesce(columns.get("audiobook_uri", nothing), columns.get("audiobook_title", nothing))
    kind = np.where(
        track.is_valid(),
        Kind.MUSIC,
        np.where(
            episode.is_valid(), Kind.PODCAST, np.where(audiobook.is_valid(), Kind.AUDIOBOOK, Kind.MUSIC)
        ),
    )
    return pa.Table.from_arrays(
        [
            columns["ts"],
            columns["ms_played"],
            pa.array(kind, pa.int8()),
            pc.coalesce(track, episode, audiobook),
            *(
                _none_if_empty(columns.get(f"master_metadata_{name}_name", nothing))
                for name in ("track", "album_artist", "album_album")
            ),
            *(_reason(place, name, columns[name]) for name in ("reason_start", "reason_end")),
            columns["shuffle"],
        ],
        schema=RECORDS,
    )


def not_times(text: pa.Array, zone: str | None) -> np.ndarray:
    """Whether a text is no time in ISO 8601, with a zone's offset or without one, bool (rows,)."""
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
    coded = _none_if_empty(uris).dictionary_encode()
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
