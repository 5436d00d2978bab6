import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline import schema
from skip_pipeline.bundles.records import SEEKS, level_codes
from skip_pipeline.errors import BadInputError
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.batch import prediction_table
from skip_pipeline.serving.request_fields import USED
from skip_pipeline.serving.requests import sessions_of_frame, sessions_of_json, sessions_of_records
from skip_pipeline_tests.builders import TRACKS, assert_says, refusal, session
from skip_pipeline_tests.serving.small_models import request


def asked(**changes: Any) -> dict[str, Any]:
    """A good request of ten earlier tracks, changed."""
    return request(session("s7", 11)) | changes


def changed(position: int, **changes: Any) -> dict[str, Any]:
    """A good request with other values in one row of its history; ``...`` takes a column away."""
    record = asked()
    row = record["history"][position] | changes
    record["history"][position] = {name: value for name, value in row.items() if value is not ...}
    return record


FEATURES = {name: value for name, value in TRACKS[0].items() if name != "track_id"}


def features(**changes: Any) -> dict[str, Any]:
    """A good request that gives the next track's features in place of its id."""
    record = asked(next_track=FEATURES | changes)
    del record["next_track_id"]
    return record


def candidates(*tracks: object) -> dict[str, Any]:
    """A good request that asks for these tracks."""
    record = asked(candidates=list(tracks))
    del record["next_track_id"]
    return record


BAD: list[tuple[Any, ...]] = [
    (asked(history=[]), "history is a list of 0", "1 to 19 earlier tracks"),
    (asked(history=session(length=20)), "history is a list of 20", "1 to 19"),
    (asked(history=[1] * 50), "history is a list of 50"),
    (asked(history="played"), "history is 'played'"),
    (asked(history=None), "history is missing"),
    (asked(history=[7]), "history[0] is 7", "an object with the log's columns"),
    (changed(0, session_length=10), "history[0].session_length is 10", "11 to 20"),
    (changed(0, session_length=21), "session_length is 21", "from 11 to 20"),
    (changed(3, session_length="12"), "history[3].session_length is '12'"),
    (changed(3, session_length=12), "history[3].session_length is 12", "expected 11"),
    (changed(3, session_length=...), "history[3].session_length is missing"),
    (asked(history=[*reversed(session("s7", 3))]), "history[0].session_position is 3", "expected 1"),
    (changed(4, session_position=4), "history[4].session_position is 4", "expected 5"),
    (changed(0, session_position=0), "history[0].session_position is 0"),
    (changed(0, session_position=True), "session_position is True"),
    (changed(2, skip_1="yes"), "history[2].skip_1 is 'yes'", "true or false"),
    (changed(2, skip_1=0.5), "history[2].skip_1 is 0.5", "true or false"),
    (changed(2, skip_1=2.0), "history[2].skip_1 is 2.0", "true or false"),
    (changed(2, session_position=3.5), "history[2].session_position is 3.5", "from 1 to 19"),
    (changed(2, session_length=11.5), "history[2].session_length is 11.5", "a whole number from 11 to 20"),
    (changed(0, hour_of_day=7.5), "history[0].hour_of_day is 7.5", "from 0 to 23"),
    (features(release_year=1962.5), "next_track.release_year is 1962.5", "a whole number"),
    (candidates(FEATURES | {"key": 0.1}), "candidates[0].key is 0.1", "a whole number"),
    (changed(1, context_switch=2), "history[1].context_switch is 2"),
    (changed(9, context_switch=math.nan), "history[9].context_switch is nan"),
    (changed(2, **{SEEKS[0]: "3"}), f"history[2].{SEEKS[0]} is '3'", "whole number"),
    (changed(2, **{SEEKS[0]: True}), f"history[2].{SEEKS[0]} is True"),
    (changed(0, **{SEEKS[1]: -1}), f"history[0].{SEEKS[1]} is -1"),
    (changed(0, **{SEEKS[1]: 2**70}), f"{SEEKS[1]} is 11805916207"),
    (changed(0, **{SEEKS[1]: 0.5}), f"{SEEKS[1]} is 0.5"),
    (changed(3, not_skipped=None), "history[3].not_skipped is missing"),
    (changed(5, not_skipped=...), "history[5].not_skipped is missing", "true or false"),
    (changed(5, context_type=3), "history[5].context_type is 3", "a text"),
    (changed(5, context_type=...), "history[5].context_type is missing"),
    (changed(5, track_id_clean=""), "history[5].track_id_clean is ''"),
    (changed(6, session_id="s8"), "history[6].session_id is 's8'", "expected 's7'"),
    (changed(6, session_id=None), "history[6].session_id is missing"),
    (asked(next_track_id=None), "next_track_id is missing", "or the track's features"),
    (asked(next_track_id=math.nan), "next_track_id is nan"),
    (asked(next_track_id=5), "next_track_id is 5"),
    (asked(next_track_id=""), "next_track_id is ''"),
    (asked(next_track=FEATURES), "next_track_id is 't_11' beside next_track", "either the id"),
    (candidates(), "candidates is a list of 0", "a list of 1 to 1,000 tracks"),
    (candidates(*map(str, range(1_001))), "candidates is a list of 1,001", "1 to 1,000 tracks"),
    (candidates(*range(2_000_000)), "candidates is a list of 2,000,000", "1 to 1,000 tracks"),
    (candidates("t_01", "t_02", "t_01"), "candidates[2] is 't_01', as candidates[0] is", "each track once"),
    (candidates("t_01", FEATURES, dict(reversed(FEATURES.items()))), "candidates[2] is {", "candidates[1]"),
    (candidates("t_01", ""), "candidates[1] is ''", "the id of a track, or an object with its features"),
    (candidates(None), "candidates[0] is missing", "the id of a track"),
    (candidates("t_01", 7), "candidates[1] is 7", "the id of a track"),
    (candidates("t_01", FEATURES | {"tempo": "fast"}), "candidates[1].tempo is 'fast'", "a finite number"),
    (candidates({}), "candidates[0].duration is missing"),
    (asked(next_track_id=None, candidates="t_01"), "candidates is 't_01'", "a list of 1 to 1,000"),
    (asked(candidates=["t_01", "t_02"]), "next_track_id is 't_11' beside candidates", "either the id"),
    (
        asked(next_track_id=None, next_track=FEATURES, candidates=["t_01"]),
        "next_track is {",
        "beside candidates",
    ),
    (asked(next_track_id=None, candidates=None), "next_track_id is missing", "several tracks as candidates"),
    (changed(0, hour_of_day=24), "history[0].hour_of_day is 24", "a whole number from 0 to 23"),
    (changed(3, hour_of_day="noon"), "history[3].hour_of_day is 'noon'", "a whole number from 0 to 23"),
    (changed(0, premium=7), "history[0].premium is 7", "true or false"),
    (asked(session_id=""), "session_id is ''", "not empty"),
    (asked(session_id=5), "session_id is 5"),
    (asked(next_track="loud"), "next_track is 'loud'"),
    (asked(next_track_id=None, next_track={}), "next_track.duration is missing"),
    (features(tempo=None), "next_track.tempo is missing", "a finite number"),
    (features(tempo=math.nan), "next_track.tempo is nan"),
    (features(tempo=math.inf), "next_track.tempo is inf"),
    (features(tempo="fast"), "next_track.tempo is 'fast'"),
    (features(tempo=True), "next_track.tempo is True"),
    (features(tempo=1e39), "next_track.tempo is 1e+39"),
    (features(tempo=10**400), "next_track.tempo is 1000", "a finite number"),
    (features(key=128), "next_track.key is 128", "a whole number"),
    (features(mode=1), "next_track.mode is 1"),
    (asked(session_id="\ud800"), "session_id is '\\ud800'", "lone surrogates"),
    (asked(next_track_id="\udfff"), "next_track_id is '\\udfff'", "surrogates"),
    (changed(3, context_type="\ud800"), "context_type is '\\ud800'", "surrogates"),
    (asked(**{"\ud800": 1}), "has '\\ud800', expected session_id, history and"),
    (asked(next_trak={}), "has 'next_trak'"),
    (7, "is 7, expected an object"),
    ({}, "lacks session_id, history, next_track_id, next_track or candidates"),
    (
        {"session_id": "s", "history": []},
        "lacks next_track_id, next_track or candidates, expected session_id, history and",
    ),
]


@pytest.mark.parametrize(("record", "parts"), [(record, parts) for record, *parts in BAD])
def test_a_bad_session_is_refused_by_field_and_reason(record: object, parts: list[str]) -> None:
    message = refusal(BadInputError, lambda: sessions_of_records([request(session("good", 11)), record]))
    assert_says(message, "session 1 of the request", *parts, "Correct the request")


BODIES = [
    (b"", "not JSON (it is empty)"),
    (b"{", "not JSON"),
    (b'{"dataframe_records": "\xff"}', "not JSON"),
    (b"[" * 90_000, "not JSON"),
    (b"[" * 940 + b"]" * 940, "expected an object with one of"),
    (b'{"dataframe_records": ' + b"9" * 5_000 + b"}", "not JSON"),
    (b"[]", "one of dataframe_records, dataframe_split, inputs"),
    (b'{"instances": []}', "one of dataframe_records, dataframe_split, inputs"),
    (b'{"dataframe_records": [], "dataframe_split": {}}', "expected an object with one of"),
    (b'{"dataframe_records": []}', "expected a list of sessions"),
    (b'{"dataframe_records": null}', "expected a list of sessions"),
    (b'{"inputs": []}', "expected a list of sessions"),
    (b'{"inputs": {}}', "session 0 of the request lacks session_id"),
    (b'{"inputs": {"session_id": ["s"], "history": [[]]}}', "lacks next_track_id, next_track or"),
    (b'{"dataframe_split": []}', "dataframe_split lacks columns"),
    (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "twice"),
    (b'{"dataframe_split": {"columns": ["a"], "data": [[]]}}', "rows of 1 values"),
    (b'{"dataframe_split": {"columns": ["a"], "data": []}}', "expected a list of sessions"),
    (b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', "lacks session_id"),
    (b'{"dataframe_records": [' + b"1," * 40_000 + b"1]}", "session 0 of the request is 1"),
    (json.dumps({"inputs": asked(next_track_id="\ud800")}).encode(), r"next_track_id is '\ud800'"),
]


@pytest.mark.parametrize(("body", "part"), BODIES, ids=range(len(BODIES)))
def test_a_bad_body_is_refused_with_its_reason(body: bytes, part: str) -> None:
    assert_says(refusal(BadInputError, lambda: sessions_of_json(body)), part)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    *((name,) for name in ("session_id", "history", "next_track_id", "next_track", "candidates")),
    ("candidates", 1),
    ("candidates", 2, "tempo"),
    *(("history", 3, name) for name in ("hour_of_day", "premium")),
    *(("history", 3, name) for name in USED),
    ("history", 3),
    *(("next_track", name) for name in FEATURES),
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(place=st.sampled_from(PLACES), value=ANYTHING)
def test_whatever_a_field_holds_is_scored_or_refused(
    model: ServedModel, place: tuple[Any, ...], value: object
) -> None:
    record = candidates("t_01", "t_new", dict(FEATURES)) if place[0] == "candidates" else asked()
    record = features() if place[0] == "next_track" else record
    target: Any = record
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    try:
        scored, message = model.score_records([record]).p_skip.tolist(), ""
    except BadInputError as refused:
        scored, message = [], str(refused)
    assert place[0] in message if message else all(0 <= p_skip <= 1 for p_skip in scored)


@pytest.mark.parametrize("records", [[], {}, None])
def test_a_request_that_is_not_a_list_of_sessions_is_refused(records: object) -> None:
    message = refusal(BadInputError, lambda: sessions_of_records(records))
    assert_says(message, f"holds {records}", "a list of sessions", "Correct the request")


def test_a_record_that_is_nested_too_deeply_is_refused() -> None:
    record: list[Any] = []
    for _ in range(100_000):
        record = [record]
    message = refusal(BadInputError, lambda: sessions_of_records([record]))
    assert_says(message, "session 0 of the request is a value nested too deeply to show, expected an object")


def test_a_frame_without_rows_is_refused() -> None:
    nothing: dict[str, list[Any]] = {"session_id": [], "history": [], "next_track_id": []}
    assert_says(refusal(BadInputError, lambda: sessions_of_frame(nothing)), "holds []", "list of sessions")


def test_the_session_and_row_at_fault_are_named_among_many() -> None:
    records = [request(session(f"s{i}", 12)) for i in range(5)]
    records[3]["history"][10]["skip_2"] = 5
    message = refusal(BadInputError, lambda: sessions_of_records(records))
    assert_says(message, "session 3 of the request (session_id 's3')", "history[10].skip_2 is 5")


def test_unknown_levels_are_all_zeros_and_counted(model: ServedModel) -> None:
    sessions = sessions_of_records(
        [changed(2, context_type="unheard_of", hist_user_behavior_reason_end="popup")]
    )
    assert level_codes(sessions.rows, "context_type")[2] == len(schema.LEVELS["context_type"])
    log = model.inputs(sessions)["session_log"][0, schema.STEPS - 10 + 2]
    levels = [i for i, c in enumerate(schema.SESSION_LOG_BRANCH) if c.startswith("context_type_")]
    assert log[levels].tolist() == [0] * 6
    assert model.score(sessions).unknown_levels == 2


def test_flags_may_be_numbers_and_a_frame_may_hold_numpy_values() -> None:
    other = asked()
    for row in other["history"]:
        row |= {name: np.bool_(row[name]) for name in ("skip_1", "skip_2", "skip_3", "not_skipped")}
        row["context_switch"] = bool(row["context_switch"])
        row["hist_user_behavior_is_shuffle"] = int(row["hist_user_behavior_is_shuffle"])
        row["hist_user_behavior_n_seekfwd"] = np.int64(row["hist_user_behavior_n_seekfwd"])
        row["session_position"] = np.int8(row["session_position"])
    other["history"] = np.array(other["history"])
    frame = {name: [value] for name, value in other.items()}
    np.testing.assert_array_equal(sessions_of_frame(frame).rows, sessions_of_records([asked()]).rows)


def test_columns_that_the_network_does_not_use_are_ignored_and_rows_need_not_name_their_session() -> None:
    record = asked()
    for row in record["history"]:
        del row["session_id"]
        row |= {"date": None, "mood": "good"}
    np.testing.assert_array_equal(sessions_of_records([record]).rows, sessions_of_records([asked()]).rows)


def test_a_session_may_be_scored_with_several_next_tracks(model: ServedModel) -> None:
    scores = model.score_records([asked(next_track_id=f"t_{i:02}") for i in (1, 9, 17)])
    assert len(set(scores.p_skip.tolist())) == 3
    assert scores.known_track.all()


def test_known_track_is_true_for_tracks_in_the_table_and_for_given_features(model: ServedModel) -> None:
    records = [
        asked(next_track_id="t_01"),
        asked(next_track_id="t_new"),
        asked(next_track_id=None, next_track=FEATURES),
        features() | {"next_track_id": math.nan},
        asked(next_track_id="t_new", next_track=math.nan),
    ]
    assert model.score_records(records).known_track.tolist() == [True, False, True, True, False]


def test_given_features_equal_those_of_the_table_except_for_the_code(model: ServedModel) -> None:
    known, given = (
        model.inputs(sessions_of_records([r]))["last_track"]
        for r in (asked(next_track_id="t_01"), features())
    )
    np.testing.assert_array_equal(known[:, 1:], given[:, 1:])
    assert given[0, 0] == model.tracks.neutral[0]


def test_a_prediction_has_the_next_tracks_id_or_none(model: ServedModel) -> None:
    sessions = sessions_of_records([asked(next_track_id="t_01"), features()])
    table = prediction_table(sessions, model.score(sessions), "1")
    assert table["track_id"].to_pylist() == ["t_01", None]


def test_given_features_matter(model: ServedModel) -> None:
    loud, soft = (model.score_records([features(energy=e)]).p_skip[0] for e in (0.5, 15.0))
    assert loud != soft
