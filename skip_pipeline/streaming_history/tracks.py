"""Tracks of the sessions: their numbers, their artists and albums as groups, and their names.

Everything is numbered in the order of the first play in a session, so that later plays add numbers at the end
and change none.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema


@dataclass(frozen=True)
class Tracks:
    """The tracks of all sessions, in the order of their first play.

    Attributes:
        of_row: index of each log row's track.
        ids: as in the log, ``t_`` and seven digits.
        spotify: id of each track in the export, 22 characters.
        groups: of ``schema.TRACK_GROUPS``.
        names: of ``schema.NAMES``; the empty text where a name is not known.
    """

    of_row: np.ndarray
    ids: pa.Array
    spotify: pa.Array
    groups: pa.Table
    names: pa.Table


def tracks_of(plays: pa.Table, rows: np.ndarray) -> Tracks:
    """Number the tracks of the plays ``rows`` of a table of the schema ``plays.PLAYS``.

    A track's artist and album are those of its first play in a session. An album is named together with its
    artist, because albums of different artists share titles. A track whose artist or album is not known is a
    group of its own.
    """
    order = np.argsort(plays["start"].to_numpy()[rows], kind="stable")
    encoded = plays["track"].combine_chunks().take(pa.array(rows[order])).dictionary_encode()
    codes = encoded.indices.to_numpy()
    # Codes are numbered by first appearance, so each new maximum is a track's first play.
    is_first = np.diff(np.maximum.accumulate(codes), prepend=-1) > 0
    of_row = np.empty(len(rows), np.int32)
    of_row[order] = codes

    spotify = encoded.dictionary
    ids = _track_ids(len(spotify))
    names = (
        plays.select(["track_name", "artist", "album"]).take(pa.array(rows[order][is_first])).combine_chunks()
    )
    track_name, artist, album = (
        column.chunk(0) if column.num_chunks else pa.array([], pa.string()) for column in names.columns
    )
    alone = pc.binary_join_element_wise("", spotify, "\0")  # no name has a zero byte
    of_artist = pc.coalesce(artist, alone)
    of_album = pc.coalesce(pc.binary_join_element_wise(of_artist, album, "\0"), alone)
    uris = pc.binary_join_element_wise("spotify:track", spotify, ":")
    return Tracks(
        of_row=of_row,
        ids=ids,
        spotify=spotify,
        groups=pa.table([ids, _numbered(of_artist), _numbered(of_album)], schema=schema.TRACK_GROUPS),
        names=pa.table(
            [ids, uris, *(pc.fill_null(column, "") for column in (track_name, artist, album))],
            schema=schema.NAMES,
        ),
    )


def _track_ids(count: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise("t", digits, "_")


def _numbered(values: pa.Array) -> pa.Array:
    """Number of each value in the order of first appearance."""
    return values.dictionary_encode().indices.cast(pa.int32())
