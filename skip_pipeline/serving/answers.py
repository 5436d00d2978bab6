"""Requests and answers as MLflow's JSON.

{"dataframe_records": [{"session_id": …, "history": […], "next_track_id": …}, …]}
{"dataframe_split": {"columns": ["session_id", …], "data": [[…], …]}}
{"inputs": [{"session_id": …, "history": […], "next_track_id": …}, …]}, or the object of one session alone

{"predictions": [{"session_id": …, "p_skip": …, "known_track": …, "model_version": …}, …],
"data_source": …, "unknown_levels": …}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.diagnosis import shown_value
from skip_pipeline.serving.follow import Served
from skip_pipeline.serving.requests import sessions_of_columns, sessions_of_records
from skip_pipeline.serving.sessions import Sessions

RECORDS: Final = "dataframe_records"
SPLIT: Final = "dataframe_split"
INPUTS: Final = "inputs"
FORMS: Final = (RECORDS, SPLIT, INPUTS)
_ONE_FORM: Final = "an object with one of " + ", ".join(FORMS)


def answer(served: Served, body: bytes) -> str:
    """Judge and score a request.

    Raises:
        BadInputError: see ``sessions_of_json``.
    """
    sessions = sessions_of_json(body)
    scores = served.model.score(sessions)
    rows = zip(sessions.session_id, scores.p_skip.tolist(), scores.known_track.tolist(), strict=True)
    return json.dumps(
        {
            "predictions": [
                {schema.SESSION_ID: name, "p_skip": p, "known_track": known, "model_version": served.version}
                for name, p, known in rows
            ],
            "data_source": served.model.data_source,
            "unknown_levels": scores.unknown_levels,
        },
        allow_nan=False,  # no JSON reader has to take it
    )


def sessions_of_json(body: bytes) -> Sessions:
    """Read a request.

    Raises:
        BadInputError: it is not JSON of one of these forms, or a session in it is not as it must be.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as refusal:  # no UTF-8, no JSON, an endless number, or too deep
        raise BadInputError(
            f"the request is not JSON ({refusal}), expected {_ONE_FORM}. Send that"
        ) from refusal
    forms = [name for name in FORMS if isinstance(content, Mapping) and name in content]
    if len(forms) != 1:
        raise BadInputError(f"the request is {shown_value(content)}, expected {_ONE_FORM}. Send that")
    given = content[forms[0]]
    if forms[0] == SPLIT:
        return sessions_of_columns(_columns(given))
    return sessions_of_records([given] if forms[0] == INPUTS and isinstance(given, Mapping) else given)


def _columns(split: object) -> dict[str, list[Any]]:
    """Columns of a ``dataframe_split``."""
    given = split if isinstance(split, Mapping) else {}
    names, rows = given.get("columns"), given.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInputError(f"{SPLIT} lacks columns, expected a list of names. Correct the request")
    if len(set(names)) != len(names):
        raise BadInputError(f"{SPLIT} names a column twice, expected each once. Correct the request")
    width = len(names)
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != width for row in rows):
        raise BadInputError(
            f"{SPLIT} has data that is not a list of rows of {width} values each, one for every column. "
            "Correct the request"
        )
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
