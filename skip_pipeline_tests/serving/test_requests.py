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
from skip_pipeline.serving.requests import USED, sessions_of_frame, sessions_of_records
from skip_pipeline_tests.builders import TRACKS, assert_says, refusal, session
from skip_pipeline_tests.serving.small_models import request


def asked(**changes: Any) -> dict[str, Any]:
    """A good request of ten earlier tracks, changed."""
    return request(session("s7", 11)) | changes


def row_changed(position: int, **changes: Any) -> dict[str, Any]:
    """A good request with other values in one row of its history; ``...`` takes a column away."""
    record = asked()
    row = record["history"][position]
    for name, value in changes.items():
        if value is ...:
            del row[name]
        else:
            row[name] = value
    return record


FEATURES = {name: value for name, value in TRACKS[0].items() if name != "track_id"}


def features(**changes: Any) -> dict[str, Any]:
    """A good request that gives the next track's features in place of its id."""
    record = asked(next_track=FEATURES | changes)
    del record["next_track_id"]
    return record


BAD = {
    "empty history": (asked(history=[]), "history is a list of 0", "1 to 19 earlier tracks"),
    "20 earlier tracks": (asked(history=session(length=20)), "history is a list of 20", "1 to 19"),
    "50 wrong rows": (asked(history=[1] * 50), "history is a list of 50"),
    "history is text": (asked(history="played"), "history is 'played'"),
    "history is missing": (asked(history=None), "history is missing"),
    "length already reached": (
        row_changed(0, session_length=10),
        "history[0].session_length is 10",
        "11 to 20",
    ),
    "longer than any": (row_changed(0, session_length=21), "session_length is 21", "from 11 to 20"),
    "length is text": (row_changed(3, session_length="12"), "history[3].session_length is '12'"),
    "lengths differ": (row_changed(3, session_length=12), "history[3].session_length is 12", "expected 11"),
    "a length is missing": (row_changed(3, session_length=...), "history[3].session_length is missing"),
    "row is no object": (asked(history=[7]), "history[0] is 7"),
    "order": (asked(history=[*reversed(session("s7", 3))]), "history[0].session_position is 3", "expected 1"),
    "repeated position": (
        row_changed(4, session_position=4),
        "history[4].session_position is 4",
        "expected 5",
    ),
    "position from 0": (row_changed(0, session_position=0), "history[0].session_position is 0"),
    "position is true": (row_changed(0, session_position=True), "session_position is True"),
    "text for a flag": (row_changed(2, skip_1="yes"), "history[2].skip_1 is 'yes'", "true or false"),
    "1.0 for a flag": (row_changed(2, skip_1=1.0), "history[2].skip_1 is 1.0", "true or false"),
    "flag of 2": (row_changed(1, context_switch=2), "history[1].context_switch is 2"),
    "NaN": (row_changed(9, context_switch=math.nan), "history[9].context_switch is nan"),
    "text for a number": (row_changed(2, **{SEEKS[0]: "3"}), f"history[2].{SEEKS[0]} is '3'", "whole number"),
    "true for a number": (row_changed(2, **{SEEKS[0]: True}), f"history[2].{SEEKS[0]} is True"),
    "negative seeks": (row_changed(0, **{SEEKS[1]: -1}), f"history[0].{SEEKS[1]} is -1"),
    "too many seeks": (row_changed(0, **{SEEKS[1]: 2**70}), f"{SEEKS[1]} is 11805916207"),
    "fraction": (row_changed(0, **{SEEKS[1]: 0.5}), f"{SEEKS[1]} is 0.5"),
    "null": (row_changed(3, not_skipped=None), "history[3].not_skipped is missing"),
    "missing column": (row_changed(5, not_skipped=...), "history[5].not_skipped is missing", "true or false"),
    "level is a number": (row_changed(5, context_type=3), "history[5].context_type is 3", "a text"),
    "level is missing": (row_changed(5, context_type=...), "history[5].context_type is missing"),
    "track is empty": (row_changed(5, track_id_clean=""), "history[5].track_id_clean is ''"),
    "another session's row": (
        row_changed(6, session_id="s8"),
        "history[6].session_id is 's8'",
        "expected 's7'",
    ),
    "a row of no session": (row_changed(6, session_id=None), "history[6].session_id is missing"),
    "no next track": (asked(next_track_id=None), "next_track_id is missing", "or the track's features"),
    "NaN for the next track": (asked(next_track_id=math.nan), "next_track_id is nan"),
    "next track is a number": (asked(next_track_id=5), "next_track_id is 5"),
    "next track is empty": (asked(next_track_id=""), "next_track_id is ''"),
    "id and features": (
        asked(next_track=FEATURES),
        "next_track_id is 't_11' beside next_track",
        "either the id",
    ),
    "empty session id": (asked(session_id=""), "session_id is ''", "not empty"),
    "session id is a number": (asked(session_id=5), "session_id is 5"),
    "features are text": (asked(next_track="loud"), "next_track is 'loud'"),
    "features are empty": (asked(next_track_id=None, next_track={}), "next_track.duration is missing"),
    "feature is missing": (features(tempo=None), "next_track.tempo is missing", "a finite number"),
    "feature is NaN": (features(tempo=math.nan), "next_track.tempo is nan"),
    "feature is infinite": (features(tempo=math.inf), "next_track.tempo is inf"),
    "feature is text": (features(tempo="fast"), "next_track.tempo is 'fast'"),
    "feature is true": (features(tempo=True), "next_track.tempo is True"),
    "feature beyond float32": (features(tempo=1e39), "next_track.tempo is 1e+39"),
    "feature beyond any float": (features(tempo=10**400), "next_track.tempo is 1000", "a finite number"),
    "key beyond its type": (features(key=128), "next_track.key is 128", "a whole number"),
    "mode is a number": (features(mode=1), "next_track.mode is 1"),
    "surrogate as a session": (asked(session_id="\ud800"), "session_id is '\\ud800'", "lone surrogates"),
    "surrogate as a track": (asked(next_track_id="\udfff"), "next_track_id is '\\udfff'", "surrogates"),
    "surrogate as a level": (row_changed(3, context_type="\ud800"), "context_type is '\\ud800'", "surrog"),
    "surrogate in a name": (asked(**{"\ud800": 1}), "has '\\ud800', expected session_id, history and"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_session_is_refused_by_field_and_reason(case: str) -> None:
    record, *parts = BAD[case]
    message = refusal(BadInputError, lambda: sessions_of_records([request(session("good", 11)), record]))
    assert_says(message, "session 1 of the request", *parts, "Correct the request")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    *((name,) for name in ("session_id", "history", "next_track_id", "next_track")),
    *(("history", 3, name) for name in USED),
    ("history", 3),
    *(("next_track", name) for name in FEATURES),
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(place=st.sampled_from(PLACES), value=ANYTHING)
def test_whatever_a_field_holds_is_scored_or_refused(model: ServedModel, place: tuple, value: object) -> None:
    record = features() if place[0] == "next_track" else asked()
    target: Any = record
    for step in place[:-1]:
        target = target[step]
    if isinstance(target, dict):
        target[place[-1]] = value
    try:
        scored, message = model.score_records([record]).p_skip.tolist(), ""
    except BadInputError as refused:
        scored, message = [], str(refused)
    assert place[0] in message if message else 0 <= scored[0] <= 1


@pytest.mark.parametrize(
    ("records", "part"),
    [
        ([], "holds []"),
        ({}, "holds {}"),
        (None, "holds None"),
        ([7], "session 0 of the request is 7"),
        ([{}], "session 0 of the request lacks session_id, history, next_track_id or next_track"),
        (
            [{"session_id": "s", "history": []}],
            "session 0 of the request lacks next_track_id or next_track, expected session_id, history and",
        ),
        ([asked(next_trak={})], "session 0 of the request has 'next_trak'"),
    ],
)
def test_a_request_that_is_not_a_list_of_sessions_is_refused(records: object, part: str) -> None:
    assert_says(refusal(BadInputError, lambda: sessions_of_records(records)), part, "Correct the request")


def test_a_frame_without_rows_is_refused() -> None:
    nothing: dict[str, list] = {"session_id": [], "history": [], "next_track_id": []}
    assert_says(refusal(BadInputError, lambda: sessions_of_frame(nothing)), "holds []", "list of sessions")


def test_the_session_and_row_at_fault_are_named_among_many() -> None:
    records = [request(session(f"s{i}", 12)) for i in range(5)]
    records[3]["history"][10]["skip_2"] = 5
    message = refusal(BadInputError, lambda: sessions_of_records(records))
    assert_says(message, "session 3 of the request (session_id 's3')", "history[10].skip_2 is 5")


def test_unknown_levels_are_all_zeros_and_counted(model: ServedModel) -> None:
    record = row_changed(2, context_type="unheard_of", hist_user_behavior_reason_end="popup")
    sessions = sessions_of_records([record])
    assert level_codes(sessions.rows, "context_type")[2] == len(schema.LEVELS["context_type"])
    log = model.inputs(sessions)["session_log"][0, schema.STEPS - 10 + 2]
    levels = [i for i, c in enumerate(schema.SESSION_LOG_BRANCH) if c.startswith("context_type_")]
    assert log[levels].tolist() == [0] * 6
    assert model.score(sessions).unknown_levels == 2


def test_flags_may_be_numbers_and_a_frame_may_hold_numpy_values() -> None:
    plain = sessions_of_records([asked()])
    other = asked()
    for row in other["history"]:
        for name in ("skip_1", "skip_2", "skip_3", "not_skipped"):
            row[name] = np.bool_(row[name])
        row["context_switch"] = bool(row["context_switch"])
        row["hist_user_behavior_is_shuffle"] = int(row["hist_user_behavior_is_shuffle"])
        row["hist_user_behavior_n_seekfwd"] = np.int64(row["hist_user_behavior_n_seekfwd"])
        row["session_position"] = np.int8(row["session_position"])
    other["history"] = np.array(other["history"])
    frame = {name: [value] for name, value in other.items()}
    np.testing.assert_array_equal(sessions_of_frame(frame).rows, plain.rows)


def test_columns_that_the_network_does_not_use_are_ignored() -> None:
    record = asked()
    for row in record["history"]:
        row |= {"hour_of_day": "noon", "date": None, "premium": 7, "mood": "good"}
    np.testing.assert_array_equal(sessions_of_records([record]).rows, sessions_of_records([asked()]).rows)


def test_a_session_may_be_scored_with_several_next_tracks(model: ServedModel) -> None:
    records = [asked(next_track_id=f"t_{i:02}") for i in (1, 9, 17)]
    scores = model.score_records(records)
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
    assert sessions.next_track_ids == ["t_01", None]
    table = prediction_table(sessions, model.score(sessions), "1")
    assert table["track_id"].to_pylist() == ["t_01", None]


def test_rows_need_not_name_their_session() -> None:
    record = asked()
    for row in record["history"]:
        del row["session_id"]
    np.testing.assert_array_equal(sessions_of_records([record]).rows, sessions_of_records([asked()]).rows)


def test_given_features_matter(model: ServedModel) -> None:
    loud, soft = (model.score_records([features(energy=e)]).p_skip[0] for e in (0.5, 15.0))
    assert loud != soft
