import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import OneHotEncoder

from skip_pipeline import schema
from skip_pipeline.stages.encode import encode, sessions, split_of
from skip_pipeline_tests.builders import (
    GATE,
    TEST,
    TRAIN,
    VALIDATION,
    encoded_table,
    merged_table,
    replace_column,
    session,
)

TRACK_IDS = pa.chunked_array([[f"t_{i:02}" for i in range(1, 21)]])


def text_ids(*ids):
    return np.array(ids, dtype=object)


def splits(*ids):
    return [schema.SPLITS[i] for i in split_of(text_ids(*ids))]


# --- Table ----------------------------------------------------------------------------------------------


def test_a_row_becomes_numbers():
    rows = session("s1", 10, track_id_clean="t_03", skip_3=True, not_skipped=False, premium=False)
    encoded = encode(merged_table(rows).slice(0, 1), TRACK_IDS)
    row = dict.fromkeys(schema.ENCODED.names, 0) | dict.fromkeys(schema.NUMERIC_TRACK_FEATURES, 3.25)
    row |= {
        "session_position": 1,
        "session_length": 10,
        "track_id_clean": 2,
        "skip_3": 1,
        "no_pause_before_play": 1,
        "hist_user_behavior_is_shuffle": 1,
        "hour_of_day": 16,
        "release_year": 1953,
        "key": 3,
        "time_signature": 4,
        "context_type_radio": 1,
        "hist_user_behavior_reason_start_trackdone": 1,
        "hist_user_behavior_reason_end_fwdbtn": 1,
        "mode_major": 1,
    }
    assert encoded.to_pylist() == [row]
    assert encoded.schema.equals(schema.ENCODED)


@pytest.mark.parametrize("column", list(schema.LEVELS))
def test_indicators_are_those_of_scikit_learns_one_hot_encoder(column):
    levels = [schema.LEVELS[column][i % len(schema.LEVELS[column])] for i in range(20)]
    merged = replace_column(merged_table(session("s1", 20)), column, levels[::-1])
    reference = OneHotEncoder(sparse_output=False)
    values = reference.fit_transform(np.array(merged[column].to_pylist(), dtype=object)[:, None])

    encoded = encode(merged, TRACK_IDS)

    names = [name for name in encoded.column_names if name.startswith(f"{column}_")]
    assert names == reference.get_feature_names_out([column]).tolist()
    assert np.array_equal(np.column_stack([encoded[name].to_numpy() for name in names]), values)


@pytest.mark.parametrize("level", ["popup", "Radio", "", "radio "])
def test_an_unknown_level_is_zero_in_all_indicators_and_adds_no_column(level):
    encoded = encode(merged_table(session(context_type=["radio"] * 9 + [level])), TRACK_IDS)
    assert encoded.column_names == schema.ENCODED.names
    indicators = np.column_stack([encoded[name].to_numpy() for name in schema.indicators("context_type")])
    assert indicators.sum(axis=1).tolist() == [1] * 9 + [0]


def test_rows_keep_number_and_order():
    merged = merged_table(session("s2", 12), session("s1", 10))
    encoded = encode(merged, TRACK_IDS)
    assert encoded["session_position"].to_pylist() == [*range(1, 13), *range(1, 11)]
    assert encoded["duration"].equals(merged["duration"])


def test_a_tracks_code_is_its_place_among_all_tracks():
    played = ["t_20", "t_01", "t_07", "t_20", "t_02", "t_02", "t_02", "t_02", "t_02", "t_02"]
    encoded = encode(merged_table(session(track_id_clean=played)), TRACK_IDS)
    assert encoded["track_id_clean"].to_pylist()[:5] == [19, 0, 6, 19, 1]


def test_codes_do_not_depend_on_how_a_table_is_cut_into_chunks():
    merged = merged_table(session("s1"), session("s2"), session("s3"))
    chunked = pa.concat_tables([merged.slice(0, 13), merged.slice(13, 4), merged.slice(17)])
    assert encode(chunked, TRACK_IDS).equals(encode(merged, TRACK_IDS))
    assert sessions(chunked).equals(sessions(merged))


# --- Sessions and splits --------------------------------------------------------------------------------


def test_sessions_are_coded_in_order_of_first_appearance():
    encoded, own = encoded_table(session("zebra"), session("ape", 11), session("mole"))
    assert own.schema.equals(schema.SESSIONS)
    assert own.select(["session_id", "code"]).to_pylist() == [
        {"session_id": "zebra", "code": 0},
        {"session_id": "ape", "code": 1},
        {"session_id": "mole", "code": 2},
    ]
    assert encoded["session_id"].to_pylist() == [0] * 10 + [1] * 11 + [2] * 10


def test_a_session_of_the_table_is_in_the_split_of_its_id():
    _, own = encoded_table(session(TEST), session(TRAIN), session(VALIDATION), session(GATE))
    assert own["split"].to_pylist() == ["test", "train", "validation", "gate"]


@pytest.mark.parametrize(
    ("session_id", "split"),
    [
        ("0_00006f66-33e5-4de7-a324-2d18e439fc1e", "train"),
        ("0_0000a72b-09ac-412f-b452-9b9e79bded8f", "train"),
        ("0_00010fc5-b79e-4cdf-bc4c-f140d0f99a3a", "train"),
        ("s0", "train"),
        ("s1", "train"),
        ("s2", "validation"),
        ("s3", "validation"),
        ("s10", "validation"),
        ("s11", "test"),
        ("s12", "test"),
        ("s16", "test"),
        ("s17", "gate"),
        ("s37", "gate"),
        ("ü", "validation"),
    ],
)
def test_the_split_of_an_id_never_changes(session_id, split):
    assert splits(session_id) == [split]


def test_shares_are_close_to_70_10_10_10():
    counts = np.bincount(split_of(text_ids(*(f"0_{i:08x}" for i in range(20_000)))), minlength=4)
    # Three standard deviations of the largest share in a fair draw.
    assert counts / 20_000 == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.01)


def test_a_split_does_not_depend_on_other_sessions_nor_on_order():
    ids = [f"s{i}" for i in range(50)]
    together = dict(zip(ids, splits(*ids), strict=True))
    assert {name: splits(name)[0] for name in ids} == together
    assert dict(zip(ids[::-1], splits(*ids[::-1]), strict=True)) == together


def test_a_split_does_not_depend_on_what_the_session_holds():
    _, plain = encoded_table(session(TEST), session(TRAIN))
    _, other = encoded_table(
        session(TRAIN, 20, not_skipped=False, hour_of_day=3), session(TEST, 13, skip_1=True)
    )
    assert plain["split"].to_pylist() == other["split"].to_pylist()[::-1]


def test_text_as_strings_is_encoded_the_same():
    merged = merged_table(session("s2", 12, context_type="car"), session("s1", hour_of_day=3))
    plain = merged.cast(schema.MERGED)
    assert encode(plain, TRACK_IDS).equals(encode(merged, TRACK_IDS))
    assert sessions(plain).equals(sessions(merged))


def test_values_that_belong_to_no_row_change_nothing():
    merged = merged_table(session("s2"), session("s1", context_type="car"), session("s3"))
    own = merged.slice(10, 20)
    assert encode(own, TRACK_IDS).equals(encode(own.cast(schema.MERGED), TRACK_IDS))
    assert sessions(own)["session_id"].to_pylist() == ["s1", "s3"]


def test_the_date_is_not_needed():
    merged = merged_table(session("s1"))
    assert encode(merged.drop_columns("date"), TRACK_IDS).equals(encode(merged, TRACK_IDS))
