"""Fields of a request's session: the types that validate them, and descriptions of what is expected."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Discriminator, Field, Tag
from typing_extensions import NotRequired, TypedDict  # noqa: UP035 - pydantic takes typing's from Python 3.12 on

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE

USED: Final = (schema.POSITION, schema.LOG_TRACK_ID, *FLAGS, SHUFFLE, *SEEKS, *CATEGORIES)
"""Columns of a log row that reach the network."""

MAX_CANDIDATES: Final = 1_000
"""Tracks that one session may ask for. So many take 3 ms of a core, 2 to 3 times as long as one, so that no
request delays others much."""

_TEXT: Final = "a text that is not empty"
NEXT_TRACK_ID: Final = f"{_TEXT}, or the track's features as next_track, or several tracks as candidates"
CANDIDATE: Final = "the id of a track, or an object with its features"
CANDIDATES: Final = f"a list of 1 to {MAX_CANDIDATES:,} tracks, each {CANDIDATE}"
Text = Annotated[str, Field(strict=True, min_length=1, description=_TEXT)]


def none_for_nan(value: Any) -> Any:
    """None for the NaN that pandas puts where a row has no value."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _int_for_float(value: Any) -> Any:
    """A whole number for the float that pandas makes of it in a column in which another value is missing."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The last of these types is tried only on what the others refuse, so most values need no call of Python.
_IN_ORDER: Final = Field(union_mode="left_to_right")
_NotKnown = Annotated[None, BeforeValidator(none_for_nan)]


def _whole_number(low: int, high: int, expected: str) -> Any:
    number = Annotated[int, Field(strict=True, ge=low, le=high)]
    return Annotated[
        number | Annotated[number, BeforeValidator(_int_for_float)], _IN_ORDER, Field(description=expected)
    ]


_Flag: Any = Annotated[
    Annotated[bool, Field(strict=True)] | _whole_number(0, 1, "1 or 0"),
    _IN_ORDER,
    Field(description="true or false (1 or 0)"),
]


def _feature_type(dtype: pa.DataType) -> Any:
    """Type of a track feature, by its type in the track table."""
    if pa.types.is_string(dtype):
        return Text
    if pa.types.is_integer(dtype):
        limits = np.iinfo(dtype.to_pandas_dtype())
        return _whole_number(int(limits.min), int(limits.max), "a whole number of its column's type")
    largest = float(np.finfo(dtype.to_pandas_dtype()).max)
    number = Field(strict=True, allow_inf_nan=False, ge=-largest, le=largest, description="a finite number")
    return Annotated[float, number]


COLUMNS: Final[dict[str, Any]] = {name: _Flag if name in (*FLAGS, SHUFFLE) else Text for name in USED} | {
    name: _whole_number(low, high, f"a whole number from {low} to {high}")
    for name, (low, high) in {
        schema.POSITION: (1, schema.STEPS),
        **{name: schema.RAW_RANGES[name] for name in SEEKS},
    }.items()
}
FEATURES: Final = {
    name: _feature_type(schema.TRACK_FEATURES.field(name).type) for name in schema.TRACK_ATTRIBUTES
}
_HOUR: Final = "a whole number from 0 to 23"
CIRCUMSTANCES: Final = {  # of the first row, which the others repeat; a network does without
    "hour_of_day": _whole_number(0, 23, _HOUR),
    "premium": _Flag,
}
_OPTIONAL: Final = {  # `_history_fault` compares these with the whole session
    schema.SESSION_ID: Annotated[Any, Field(description="the session's own session_id, if it is there")],
    schema.LENGTH: Annotated[
        Annotated[int, Field(strict=True)] | _NotKnown | Annotated[Any, BeforeValidator(_int_for_float)],
        _IN_ORDER,
        Field(
            description="tracks of the whole session, the same in every row; null or left out if not known"
        ),
    ],
}

if TYPE_CHECKING:
    Play = dict[str, Any]
    TrackFeatures = dict[str, Any]
else:
    # Dictionaries and not models: validation is twice as fast, and the next step makes columns of them.
    Play = TypedDict(
        "Play",
        COLUMNS
        | {name: NotRequired[Annotated[kind | _NotKnown, _IN_ORDER]] for name, kind in CIRCUMSTANCES.items()}
        | {name: NotRequired[kind] for name, kind in _OPTIONAL.items()},
    )
    TrackFeatures = TypedDict("TrackFeatures", FEATURES)

# Without tags, a refusal would be of the id where features were given.
ID_TAG, OBJECT_TAG = Tag("id"), Tag("features")
Candidate = Annotated[
    Annotated[Text, ID_TAG] | Annotated[TrackFeatures, OBJECT_TAG],
    Discriminator(lambda given: OBJECT_TAG.tag if isinstance(given, Mapping) else ID_TAG.tag),
]
