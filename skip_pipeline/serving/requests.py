"""Requests as pydantic models: validation, the OpenAPI schema, and the arrays that a model scores.

The HTTP server, ``skip-pipeline predict`` and MLflow's pyfunc validate with the same models. A refusal names
the session, the row of its history, the column, the value, and what was expected: the field's description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 on

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.diagnosis import shown_value
from skip_pipeline.serving.request_fields import (
    CANDIDATE,
    CANDIDATES,
    CIRCUMSTANCES,
    COLUMNS,
    FEATURES,
    ID_TAG,
    MAX_CANDIDATES,
    NEXT_TRACK_ID,
    OBJECT_TAG,
    Candidate,
    Play,
    Text,
    TrackFeatures,
    none_for_nan,
)
from skip_pipeline.serving.sessions import Sessions, row_records

_UNKNOWN: Final = -1
_FIELDS: Final = "session_id, history and one of next_track_id, next_track and candidates"
_NEXT: Final = ("next_track_id", "next_track", "candidates")
_FORMS: Final = ("dataframe_records", "dataframe_split", "inputs")
_ONE_FORM: Final = f"an object with one of {', '.join(_FORMS)}"
_REMEDY: Final = "Correct the request"
_LEVEL_CODES: Final = {
    name: {level: code for code, level in enumerate(schema.LEVELS[name])} for name in CATEGORIES
}

# --- Sessions -----------------------------------------------------------------------------------------------


class Session(BaseModel):
    """The tracks that a listener has played so far, and the track that would come next, or candidates for it.

    The answer repeats ``session_id``, which need not be unique. ``history`` holds log rows in order; other
    columns are ignored. A track is given by its id, or by its raw features.
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    session_id: Text
    history: Annotated[
        list[Play],
        FailFast(),
        Field(
            min_length=1, max_length=schema.STEPS, description=f"a list of 1 to {schema.STEPS} earlier tracks"
        ),
    ]
    next_track_id: Annotated[Text | None, BeforeValidator(none_for_nan), Field(description=NEXT_TRACK_ID)] = (
        None
    )
    next_track: Annotated[
        TrackFeatures | None,
        BeforeValidator(none_for_nan),
        Field(description="an object with the features' columns"),
    ] = None
    candidates: Annotated[
        Annotated[list[Candidate], Field(min_length=1, max_length=MAX_CANDIDATES)] | None,
        BeforeValidator(none_for_nan),
        Field(description=CANDIDATES),
    ] = None

    @property
    def nexts(self) -> list[str | TrackFeatures]:
        """The next track, or the candidates for it."""
        return self.candidates or [of for of in (self.next_track_id, self.next_track) if of is not None]

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_session(cls, record: Any, validate: ModelWrapValidatorHandler[Session]) -> Session:
        """Validate; raise the first fault as one message that names the session."""
        if not isinstance(record, Mapping):
            raise _refusal(f" is {_shown(record)}, expected an object with {_FIELDS}")
        missing = [name for name in ("session_id", "history") if name not in record]
        if not any(name in record for name in _NEXT):
            missing.append("next_track_id, next_track or candidates")
        if missing:
            raise _refusal(f" lacks {', '.join(missing)}, expected {_FIELDS}")
        for name in record:
            if name not in cls.model_fields:
                raise _refusal(f" has {_shown(name)}, expected {_FIELDS}")
        try:
            session = validate(record)
        except ValidationError as refused:
            fault: str | None = _fault_of_value(refused.errors(include_url=False)[0], record)
        else:
            fault = _next_track_fault(session, record) or _repetition(session) or _history_fault(session)
        if fault is not None:
            raise _refusal(f" ({schema.SESSION_ID} {_shown(record[schema.SESSION_ID])}): {fault}")
        return session


_EXPECTED: Final[dict[int | str, Any]] = {
    **{
        name: kind.__metadata__[-1].description for name, kind in (COLUMNS | CIRCUMSTANCES | FEATURES).items()
    },
    **{name: field.description for name, field in Session.model_fields.items()},
}


_ITEMS: Final = {"history": "an object with the log's columns", "candidates": CANDIDATE}
_MOST: Final = {"history": schema.STEPS, "candidates": MAX_CANDIDATES}


def _fault_of_value(error: ErrorDetails, record: Mapping[str, Any]) -> str:
    """A fault from pydantic's error about one value."""
    place = tuple(step for step in error["loc"] if step not in (ID_TAG.tag, OBJECT_TAG.tag))
    place = place[: 2 if place[0] == "next_track" else 3]  # without the kinds of number that were tried
    value = None if error["type"] == "missing" else error["input"]
    whole = record[str(place[0])] if place[0] in _ITEMS else None
    if isinstance(whole, list) and len(whole) > _MOST[str(place[0])]:
        place, value = place[:1], whole  # rather than the first wrong item of too many
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)[1:]
    expected = _EXPECTED.get(place[-1]) or _ITEMS[str(place[0])]
    if error["type"] == "string_unicode":
        expected += ", without lone surrogates"
    return f"{field} is {_found(value, listed=len(place) == 1)}, expected {expected}"


def _next_track_fault(session: Session, record: Mapping[str, Any]) -> str | None:
    given = [name for name in _NEXT if getattr(session, name) is not None]
    if len(given) == 1:
        return None
    if not given:
        return f"next_track_id is {_found(record.get('next_track_id'))}, expected {NEXT_TRACK_ID}"
    return (
        f"{given[0]} is {_found(record[given[0]], listed=True)} beside {given[1]}, expected either the id of "
        "a track, or its features as next_track, or several tracks as candidates"
    )


def _repetition(session: Session) -> str | None:
    """The first candidate that was there before."""
    seen: dict[object, int] = {}
    for i, track in enumerate(session.candidates or ()):
        key = track if isinstance(track, str) else tuple(track.values())
        if (first := seen.setdefault(key, i)) != i:
            return f"candidates[{i}] is {_shown(track)}, as candidates[{first}] is, expected each track once"
    return None


def _history_fault(session: Session) -> str | None:
    """The first row that contradicts its place, the session or the other rows."""
    n, own = len(session.history), session.session_id
    lengths = [row.get(schema.LENGTH) for row in session.history]
    known = any(length is not None for length in lengths)
    for i, (row, length) in enumerate(zip(session.history, lengths, strict=True)):
        place = f"history[{i}]"
        if (found := row.get(schema.SESSION_ID, own)) != own:
            what = f"{_found(found)}, expected {_shown(own)}: a history is one session's"
            return f"{place}.{schema.SESSION_ID} is {what}"
        if (position := row[schema.POSITION]) != i + 1:
            what = f"{position}, expected {i + 1}: positions count from 1, in order and without gaps"
            return f"{place}.{schema.POSITION} is {what}"
        if known and (type(length) is not int or not n < length <= schema.MAX_SESSION_LENGTH):
            return (
                f"{place}.{schema.LENGTH} is {_found(length)}, expected a whole number from {n + 1} to "
                f"{schema.MAX_SESSION_LENGTH}, the tracks of the whole session, in every row, or in none "
                "where that is not known"
            )
        if length != lengths[0]:
            return f"{place}.{schema.LENGTH} is {length}, expected {lengths[0]} as in its first row"
    return None


def _shown(value: object) -> str:
    try:
        return shown_value(value)
    except RecursionError:
        return "a value nested too deeply to show"


def _found(value: object, *, listed: bool = False) -> str:
    """A value in words; of a list, its length where that is at fault."""
    if listed and isinstance(value, list):
        return f"a list of {len(value):,}"
    return "missing" if value is None else _shown(value)


def _refusal(text: str) -> PydanticCustomError:
    return PydanticCustomError("refusal", "{text}", {"text": text})


# --- Forms of a request, as MLflow's scoring server takes them ----------------------------------------------

_SessionList = Annotated[list[Session], FailFast(), Field(min_length=1)]
_SESSIONS: Final[TypeAdapter[list[Session]]] = TypeAdapter(_SessionList)


class Frame(TypedDict):
    """Sessions as a data frame: names of the fields, and a list of values for each session."""

    columns: list[str]
    data: list[list[Any]]


class Request(TypedDict, total=False):
    """Sessions in one of the forms of MLflow's JSON."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"oneOf": [{"required": [form]} for form in _FORMS]})  # type: ignore[misc]

    dataframe_records: _SessionList
    dataframe_split: Frame
    inputs: list[Session] | Session


def _records_of_frame(frame: object) -> list[dict[str, Any]]:
    content = frame if isinstance(frame, Mapping) else {}
    names, rows = content.get("columns"), content.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        fault = "lacks columns, expected a list of names"
    elif len(set(names)) != len(names):
        fault = "names a column twice, expected each once"
    elif not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == len(names) for r in rows):
        fault = f"has data that is not a list of rows of {len(names)} values each, one for every column"
    else:
        return [dict(zip(names, row, strict=True)) for row in rows]
    raise BadInputError(f"dataframe_split {fault}. {_REMEDY}")


# --- Sessions as arrays -------------------------------------------------------------------------------------


def sessions_of_json(body: bytes) -> Sessions:
    """Sessions of a ``Request`` as JSON.

    Raises:
        BadInputError: it is not JSON, or not a ``Request``; the functions below refuse in the same way.
    """
    try:
        content = json.loads(body, object_pairs_hook=_named_once)
    except (ValueError, RecursionError) as refused:  # not UTF-8, not JSON, a number too long, or too deep
        fact = refused if body else "it is empty"
        raise BadInputError(f"the request is not JSON ({fact}), expected {_ONE_FORM}. Send that") from refused
    forms = content.keys() & set(_FORMS) if isinstance(content, dict) else ()
    if len(forms) != 1:
        raise BadInputError(f"the request is {_shown(content)}, expected {_ONE_FORM}. Send that")
    (form,) = forms
    records = content[form]
    if form == "dataframe_split":
        records = _records_of_frame(records)
    elif form == "inputs" and isinstance(records, dict):
        records = [records]
    return sessions_of_records(records)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that stands twice would have either value, depending on the reader."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    names = [name for name, _ in pairs]
    repeated = next(name for name in names if names.count(name) > 1)
    raise BadInputError(f"the request names {_shown(repeated)} twice in one object, expected once. {_REMEDY}")


def sessions_of_frame(columns: Mapping[str, Sequence[Any]]) -> Sessions:
    """Sessions of a data frame's columns, whose values may be NumPy's; each row is a ``Session``."""
    rows = zip(*(_plain(list(values)) for values in columns.values()), strict=True)
    return sessions_of_records([dict(zip(columns, row, strict=True)) for row in rows])


_PLAIN: Final = frozenset((str, int, float, bool, type(None)))


def _plain(value: Any) -> Any:
    """A value with Python's own numbers and lists in place of NumPy's."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        if _PLAIN.issuperset(map(type, value.values())):
            return value  # most rows; a call for each of their values would take four times as long
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def sessions_of_records(records: object) -> Sessions:
    """Sessions of a list of ``Session`` objects."""
    try:
        requested = _SESSIONS.validate_python(records)
    except ValidationError as refused:
        error = refused.errors(include_url=False)[0]
        expected = f"a list of sessions, each an object with {_FIELDS}"
        fact = f"the request holds {_shown(records)}, expected {expected}"
        if error["loc"]:
            fact = f"session {error['loc'][0]} of the request{error['msg']}"
        raise BadInputError(f"{fact}. {_REMEDY}") from refused
    rows = [row for session in requested for row in session.history]
    asked = [session.nexts for session in requested]
    nexts = [track for of in asked for track in of]
    numbers: dict[str, int] = {}  # of ids; "" stands for tracks without one
    played = [numbers.setdefault(row[schema.LOG_TRACK_ID], len(numbers)) for row in rows]
    next_track = [numbers.setdefault(id_ if isinstance(id_, str) else "", len(numbers)) for id_ in nexts]
    columns = {name: np.array([row[name] for row in rows], np.int64) for name in (*FLAGS, SHUFFLE, *SEEKS)}
    codes = {name: np.array([_LEVEL_CODES[name].get(row[name], -1) for row in rows]) for name in CATEGORIES}
    lengths = [session.history[0].get(schema.LENGTH) or schema.MAX_SESSION_LENGTH for session in requested]
    firsts = [session.history[0] for session in requested]
    hour, premium = (
        np.array([_UNKNOWN if (value := row.get(name)) is None else int(value) for row in firsts], np.int64)
        for name in CIRCUMSTANCES
    )
    return Sessions(
        session_id=[session.session_id for session in requested],
        earlier=np.array([len(session.history) for session in requested], np.int64),
        length=np.array(lengths, np.int64),
        rows=row_records(np.array(played), columns, codes),
        next_track=np.array(next_track),
        track_ids=list(numbers),
        hour=hour,
        premium=premium,
        next_features={i: track for i, track in enumerate(nexts) if isinstance(track, dict)},
        asked=np.array([len(tracks) for tracks in asked]),
    )
