import pytest

from skip_pipeline import schema

BRANCHES = (*schema.SESSION_LOG_BRANCH, *schema.TRACK_BRANCH)


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        (schema.SESSION_LOG, 21),
        (schema.TRACK_FEATURES, 30),
        (schema.MERGED, 50),
        (schema.ENCODED, 69),
        (schema.SCALED, 69),
    ],
)
def test_every_table_has_as_many_columns_as_published_and_none_twice(columns, count):
    assert len(columns) == len(set(columns.names)) == count


def test_the_raw_columns_stand_in_the_order_of_the_published_header():
    header = (
        "session_id,session_position,session_length,track_id_clean,skip_1,skip_2,skip_3,not_skipped,"
        "context_switch,no_pause_before_play,short_pause_before_play,long_pause_before_play,"
        "hist_user_behavior_n_seekfwd,hist_user_behavior_n_seekback,hist_user_behavior_is_shuffle,"
        "hour_of_day,date,premium,context_type,hist_user_behavior_reason_start,hist_user_behavior_reason_end"
    )
    assert ",".join(schema.SESSION_LOG.names) == header


def test_branches_are_as_wide_as_published():
    assert len(schema.SESSION_LOG_BRANCH) == 35
    assert len(schema.TRACK_BRANCH) == 31


def test_no_column_stands_twice_in_the_branches():
    assert len(set(BRANCHES)) == len(BRANCHES)


def test_branches_and_three_more_columns_make_up_the_encoded_table():
    assert {*BRANCHES, "session_id", "hour_of_day", "premium"} == set(schema.ENCODED.names)


def test_the_label_enters_the_networks_as_history_only():
    history = [name for name, shape in schema.BRANCH_SHAPES.items() if shape[0] == schema.STEPS]
    assert history == ["session_log", "previous_tracks", "skip_sequence"]
    assert "not_skipped" in schema.SESSION_LOG_BRANCH
    assert "not_skipped" not in schema.TRACK_BRANCH  # all that `last_track` holds


def test_nothing_but_its_track_can_describe_the_predicted_position():
    assert set(schema.TRACK_BRANCH).isdisjoint(set(schema.SESSION_LOG.names) - {"track_id_clean"})


def test_branch_shapes_are_the_published_ones():
    assert schema.BRANCH_SHAPES == {
        "session_log": (19, 35),
        "previous_tracks": (19, 31),
        "skip_sequence": (19, 1),
        "last_track": (31,),
    }


def test_inputs_are_the_branches_and_what_lies_beside_them():
    beside = {name: shape for name, shape in schema.INPUT_SHAPES.items() if name not in schema.BRANCH_SHAPES}
    assert list(schema.INPUT_SHAPES)[:4] == list(schema.BRANCH_SHAPES)
    assert beside == {
        "circumstances": (5,),
        "track_numbers": (20,),
        "track_memory": (20, 98),
        "visible_steps": (1,),
        "tracks_between": (1,),
    }


def test_outcome_flags_are_columns_of_the_log_from_the_earliest_skip_to_the_end():
    assert schema.OUTCOME_FLAGS == ("skip_1", "skip_2", "skip_3", "not_skipped")
    assert set(schema.OUTCOME_FLAGS) <= set(schema.SESSION_LOG_BRANCH)


@pytest.mark.parametrize(
    ("column", "count"),
    [
        ("context_type", 6),
        ("hist_user_behavior_reason_start", 9),
        ("hist_user_behavior_reason_end", 7),
        ("mode", 2),
    ],
)
def test_levels_are_as_many_as_published_in_sorted_order(column, count):
    levels = schema.LEVELS[column]
    assert len(levels) == count
    assert list(levels) == sorted(set(levels))


def test_encoding_leaves_no_text_and_no_boolean():
    assert {str(field.type) for field in schema.ENCODED} == {"int8", "int16", "int32", "float"}


def test_scaling_changes_the_dtype_of_scaled_features_only():
    retyped = {new.name for new, old in zip(schema.SCALED, schema.ENCODED, strict=True) if new != old}
    assert retyped <= set(schema.SCALED_FEATURES)
    assert {str(schema.SCALED.field(name).type) for name in schema.SCALED_FEATURES} == {"float"}


def test_neither_session_nor_position_is_scaled():
    assert {"session_id", "session_position", "session_length"}.isdisjoint(schema.SCALED_FEATURES)
