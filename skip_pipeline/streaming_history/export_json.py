"""Reading one JSON file of an Extended streaming history.

Only the fields of ``_Record`` are decoded: user name, addresses, country and device are never made values.
"""

import codecs
import json
import re
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.diagnosis import rows_text, shown_value
from skip_pipeline.streaming_history.plays import LONGEST_PLAY, not_times, records

ASK_FOR: Final = (
    'Ask for the "Extended streaming history" on Spotify\'s Privacy page (Account > Privacy), '
    "which comes within 30 days"
)
DOWNLOAD_AGAIN: Final = "Download the export again"

_SHORT_KEYS: Final = ("endTime", "msPlayed")  # of the Account data, which knows no reasons
_PLACE: Final = re.compile(r"(?P<fault>.*?)(?: - at `\$\[(?P<row>\d+)\](?:\.(?P<field>\w+))?.*`)?", re.DOTALL)


class _Record(msgspec.Struct, gc=False):
    """The fields that are read; those without a default stand in the files of every year."""

    ts: str | None
    # A whole number, which pandas writes as 200000.0 in a column where another value is missing.
    ms_played: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_PLAY, multiple_of=1)] | None
    spotify_track_uri: str | None
    master_metadata_track_name: str | None
    master_metadata_album_artist_name: str | None
    master_metadata_album_album_name: str | None
    reason_start: str | None
    reason_end: str | None
    shuffle: bool | None
    episode_name: str | None = None
    spotify_episode_uri: str | None = None
    audiobook_title: str | None = None
    audiobook_uri: str | None = None


class _Any(msgspec.Struct, gc=False):
    """A record of which no field is read."""


_RECORDS: Final = msgspec.json.Decoder(list[_Record])
_COUNTED: Final = msgspec.json.Decoder(list[_Any])
_TYPES: Final = {"ms_played": pa.int64(), "shuffle": pa.bool_()}


def read_records(place: str, content: bytes) -> pa.Table:
    """Records of one file, ``plays.RECORDS``.

    Args:
        place: the file, as messages name it.

    Raises:
        BadInputError: not JSON, cut off, not a list of records, a field that is missing, of another type or
            out of range, a time that is none, half a surrogate pair, or the short Account data. Names row and
            field.
    """
    rows = _decoded(_RECORDS, place, content)
    columns = {
        name: pa.array(list(map(attrgetter(name), rows)), _TYPES.get(name, pa.string()))
        for name in _Record.__struct_fields__
    }
    return records(place, columns | {"ts": _ends(place, columns["ts"])})


def count_records(place: str, content: bytes) -> int:
    """Number of records of one file, of which none is read.

    Raises:
        BadInputError: not JSON, cut off, or not a list of records.
    """
    return len(_decoded(_COUNTED, place, content))


def _ends(place: str, times: pa.Array) -> pa.Array:
    try:
        return times.cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    except pa.ArrowInvalid as refusal:
        wrong = np.flatnonzero(not_times(times, "UTC"))
        raise BadInputError(
            f"{place}: ts is no time in {rows_text(wrong, times)}; expected one like 2023-01-31T18:05:59Z. "
            f"{DOWNLOAD_AGAIN}, or remove those rows"
        ) from refusal


def _decoded(decoder: msgspec.json.Decoder[list[Any]], place: str, content: bytes) -> list[Any]:
    text = content.removeprefix(codecs.BOM_UTF8)
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError) as refusal:
        raise _diagnose(place, text, refusal) from refusal


def _diagnose(place: str, text: bytes, refusal: Exception) -> BadInputError:
    """Find the row and field behind a refused file, which is read once more for that."""
    if not text.strip():
        return BadInputError(f"{place} is empty; expected a list of plays. {DOWNLOAD_AGAIN}")
    try:
        rows = json.loads(text.decode(), parse_constant=_no_json)
    except UnicodeDecodeError as failure:
        return BadInputError(
            f"{place} is not UTF-8 text at byte {failure.start + 1:,}; expected JSON as Spotify sends it. "
            f"{DOWNLOAD_AGAIN}"
        )
    except json.JSONDecodeError as failure:
        at = len(failure.doc[: failure.pos].encode())
        cut = not text[at:].strip() or failure.msg.startswith("Unterminated string")
        fact = (
            f"is cut off at byte {len(text):,}" if cut else f"is not JSON at byte {at + 1:,} ({failure.msg})"
        )
        return BadInputError(f"{place} {fact}; expected a whole list of plays. {DOWNLOAD_AGAIN}")
    except (ValueError, RecursionError) as failure:  # NaN, a number too long, or nested too deeply
        return BadInputError(f"{place} is not JSON ({failure}); expected a list of plays. {DOWNLOAD_AGAIN}")
    if not isinstance(rows, list):
        return BadInputError(
            f"{place} is no list of plays but {shown_value(type(rows).__name__)}; expected a file like "
            f"Streaming_History_Audio_2023_1.json. {DOWNLOAD_AGAIN}, or leave the file out"
        )
    return BadInputError(f"{place}: {_wrong_row(rows, refusal)}")


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _wrong_row(rows: list[Any], refusal: Exception) -> str:
    if isinstance(rows[0], dict) and {*_SHORT_KEYS} <= rows[0].keys():
        return (
            f"plays of the short Account data, without reasons and outcomes; they cannot be used. {ASK_FOR}"
        )
    for number, row in enumerate(rows, start=1):
        for field, value in row.items() if isinstance(row, dict) else ():
            if not _is_text(value):
                return (
                    f"field {field} in row {number} holds half a surrogate pair, which is no character; "
                    f"expected text. {DOWNLOAD_AGAIN}, or correct that row"
                )
    found = _PLACE.fullmatch(str(refusal))
    assert found  # noqa: S101 -- the pattern fits any text
    row = "" if found["row"] is None else f" in row {int(found['row']) + 1}"
    field = f"field {found['field']}" if found["field"] else "the record"
    return (
        f"{field}{row} is refused: {found['fault']}; expected the fields of an Extended streaming history. "
        f"{DOWNLOAD_AGAIN}, or correct that row"
    )


def _is_text(value: object) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
