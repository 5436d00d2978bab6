"""The wide form of the inputs, and the search for what no model may see."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline import schema
from skip_pipeline.bundles import leak
from skip_pipeline.bundles.leak import find_leaks, wide_form
from skip_pipeline.bundles.second_half import hide
from skip_pipeline_tests.builders import TRAIN, changed, scaled_table, session
from skip_pipeline_tests.stages.shard_builders import WIDE, Shard, same, shard

INPUTS = (*schema.BRANCH_SHAPES, "circumstances")
LABEL_IN_LOG = schema.SESSION_LOG_BRANCH.index("not_skipped")


def rows_of(scaled, code, columns):
    """One session's rows as float32 (length, columns)."""
    chosen = scaled["session_id"].to_numpy() == code
    return np.column_stack([scaled[name].to_numpy()[chosen] for name in columns]).astype(np.float32)


# --- Arrangement, on three sessions of 10, 13 and 20 tracks ---------------------------------------------


@pytest.fixture(scope="module")
def three():
    """Sessions whose tempo says position / 20 and whose label is 1 on positions divisible by 3."""
    scaled, sessions, _ = shard([10, 13, 20])
    positions = scaled["session_position"].to_numpy()
    tempo, label = scaled.column_names.index("tempo"), scaled.column_names.index("not_skipped")
    scaled = scaled.set_column(
        tempo, schema.SCALED.field("tempo"), pa.array((positions / 20).astype(np.float32))
    )
    scaled = scaled.set_column(
        label, schema.SCALED.field("not_skipped"), pa.array((positions % 3 == 0).astype(np.int8))
    )
    return wide_form(scaled, sessions)["train"]


LENGTHS = pytest.mark.parametrize(("row", "length"), [(0, 10), (1, 13), (2, 20)])


def test_arrays_have_the_shapes_of_the_schema_and_are_float32(three):
    assert {name: three[name].shape for name in INPUTS} == {
        "session_log": (3, 19, 35),
        "previous_tracks": (3, 19, 31),
        "skip_sequence": (3, 19, 1),
        "last_track": (3, 31),
        "circumstances": (3, 5),
    }
    assert {three[name].dtype for name in (*INPUTS, "not_skipped", "last_flags")} == {np.dtype("float32")}
    assert three["not_skipped"].shape == three["session_id"].shape == (3,)
    assert three["last_flags"].shape == (3, 3)


@LENGTHS
def test_the_skip_of_a_step_is_the_label_of_that_track_and_9_before_the_first(three, row, length):
    expected = [9] * (20 - length) + [int(position % 3 == 0) for position in range(1, length)]
    assert three["skip_sequence"][row, :, 0].tolist() == expected
    assert three["session_log"][row, 20 - length :, LABEL_IN_LOG].tolist() == expected[20 - length :]


@LENGTHS
def test_steps_before_the_first_track_are_zero_in_every_column(three, row, length):
    assert not three["session_log"][row, : 20 - length].any()
    assert not three["previous_tracks"][row, : 20 - length].any()


def test_the_last_flags_are_the_skip_flags_of_the_predicted_position():
    flags = {name: [False] * 9 + [name != "skip_1"] for name in ("skip_1", "skip_2", "skip_3")}
    scaled, sessions = scaled_table(session(TRAIN, 10, **flags))
    assert wide_form(scaled, sessions)["train"]["last_flags"].tolist() == [[0, 1, 1]]


def test_circumstances_are_hour_and_premium_of_the_first_position():
    hours, premium = [6, *range(7, 16)], [True] + [False] * 9
    scaled, sessions = scaled_table(session(TRAIN, 10, hour_of_day=hours, premium=premium))
    found = wide_form(scaled, sessions)["train"]["circumstances"]
    assert found[0] == pytest.approx([1, 0, 0, -1, 0.5], abs=1e-6)  # 6 o'clock is a quarter of the day


def test_sessions_keep_their_ids_and_their_order(three):
    assert three["session_id"].tolist() == ["a", "b", "c"]


def test_a_session_is_in_the_bundle_of_its_split_only():
    scaled, sessions, _ = shard([10, 11, 12, 13, 14], ["test", "train", "test", "validation", "gate"])
    bundles = wide_form(scaled, sessions)
    assert {split: bundles[split]["session_id"].tolist() for split in schema.SPLITS} == {
        "train": ["b"],
        "validation": ["d"],
        "gate": ["e"],
        "test": ["a", "c"],
    }
    alone = shard([10, 11, 12, 13, 14]).wide()["train"]
    assert same(bundles["test"], {name: alone[name][[0, 2]] for name in WIDE}, WIDE)


@given(lengths=st.lists(st.integers(10, 20), min_size=1, max_size=6), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_every_row_can_be_read_back_from_the_bundle(lengths, seed):
    scaled, sessions, _ = shard(lengths, seed=seed)
    made = wide_form(scaled, sessions)["train"]
    for code, length in enumerate(lengths):
        log = rows_of(scaled, code, schema.SESSION_LOG_BRANCH)
        tracks = rows_of(scaled, code, schema.TRACK_BRANCH)
        label = rows_of(scaled, code, ["not_skipped"])
        assert np.array_equal(made["session_log"][code, 20 - length :], log[:-1])
        assert np.array_equal(made["previous_tracks"][code, 20 - length :], tracks[:-1])
        assert np.array_equal(made["skip_sequence"][code, 20 - length :], label[:-1])
        assert np.array_equal(made["last_track"][code], tracks[-1])
        assert made["not_skipped"][code] == label[-1]


# --- Leak -----------------------------------------------------------------------------------------------

UNSEEN = sorted(set(schema.SCALED.names) - set(schema.TRACK_BRANCH) - {"session_id"})


@given(column=st.sampled_from(UNSEEN), value=st.integers(-128, 127), code=st.integers(0, 2))
@settings(deadline=None)
def test_no_value_at_the_predicted_position_but_its_track_reaches_an_input(column, value, code):
    lengths = [10, 13, 20]
    scaled, sessions, _ = shard(lengths)
    tampered = changed(scaled, column, sum(lengths[: code + 1]) - 1, value)
    before, after = wide_form(scaled, sessions)["train"], wide_form(tampered, sessions)["train"]
    assert same(before, after, INPUTS)
    assert column in schema.OUTCOME_FLAGS or same(before, after, WIDE)


@pytest.mark.parametrize("column", schema.TRACK_BRANCH)
def test_the_predicted_track_reaches_the_last_track_and_nothing_else(column):
    scaled, sessions, _ = shard([10, 13])
    tampered = changed(scaled, column, 22, 3)
    before, after = wide_form(scaled, sessions)["train"], wide_form(tampered, sessions)["train"]
    assert [name for name in WIDE if not np.array_equal(before[name], after[name])] == ["last_track"]


# Not the position, which says where a row stands: changing it alone would leave a gap.
@pytest.mark.parametrize("column", sorted(set(schema.SESSION_LOG_BRANCH) - {"session_position"}))
def test_history_reaches_the_session_log(column):
    scaled, sessions, _ = shard([10, 13])
    tampered = changed(scaled, column, 21, 3)
    before, after = wide_form(scaled, sessions)["train"], wide_form(tampered, sessions)["train"]
    assert not np.array_equal(before["session_log"], after["session_log"])


def test_no_leak_is_found_in_what_is_really_bundled():
    made = shard([10, 13, 20], ["test", "train", "test"])
    published = {split: made.bundle(split) for split in schema.SPLITS}
    assert find_leaks(made.scaled, made.sessions, published) == []


def test_sessions_are_compared_some_at_a_time(monkeypatch):
    monkeypatch.setattr(leak, "_AT_ONCE", 2)
    made = shard([10, 13, 20, 11, 12], ["test", "train", "test", "train", "test"])
    published = {split: made.bundle(split) for split in schema.SPLITS}
    assert find_leaks(made.scaled, made.sessions, published) == []
    other = changed(made.scaled, "skip_1", 54, 1 - made.scaled["skip_1"][54].as_py())
    assert find_leaks(other, made.sessions, published) == ["session_log"]


def test_inputs_that_were_made_from_another_table_are_found():
    scaled, sessions, _ = made = shard([10, 13, 20])
    published = {split: made.bundle(split) for split in schema.SPLITS}
    other = changed(scaled, "skip_1", 3, 1 - scaled["skip_1"][3].as_py())
    assert find_leaks(other, sessions, published) == ["session_log"]


def test_inputs_of_more_sessions_than_there_are_are_found():
    made, more = shard([10, 13]), shard([10, 13, 20])
    published = {split: more.bundle(split) for split in schema.SPLITS}
    assert find_leaks(made.scaled, made.sessions, published) == list(INPUTS)


LEAKS = {
    "session_log": "skip_1",
    "previous_tracks": "hour_of_day",
    "skip_sequence": "not_skipped",
    "last_track": "hist_user_behavior_reason_end_fwdbtn",
    "circumstances": "premium",
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_planted_leak_is_found(name):
    scaled, sessions, _ = made = shard([10, 13, 20])
    published = made.wide()
    steps = published["train"][name].reshape(3, -1, schema.INPUT_SHAPES[name][-1])
    steps[:, -1, 0] = scaled[LEAKS[name]].to_numpy()[[9, 22, 42]]
    assert find_leaks(scaled, sessions, published) == [name]


def test_every_column_that_no_input_may_see_is_tampered_with(monkeypatch):
    seen = []
    arrange = leak.wide_form

    def seeing(scaled, own):
        seen.append(scaled)
        return arrange(scaled, own)

    monkeypatch.setattr(leak, "wide_form", seeing)
    made = shard([10, 13])
    find_leaks(made.scaled, made.sessions, made.wide())
    before = made.scaled
    of_last, of_second_half = {9, 22}, {*range(5, 10), *range(16, 23)}  # of sessions of 10 and 13 tracks
    for after, rows in zip(seen, (of_last, of_second_half), strict=True):
        moved = {name for name in before.column_names if not before[name].equals(after[name])}
        assert moved == set(UNSEEN) - {"session_position", "session_length"}
        changes = [np.flatnonzero(before[name].to_numpy() != after[name].to_numpy()) for name in moved]
        assert {row for change in changes for row in change} == rows


@pytest.mark.parametrize(
    ("name", "column"), [("previous_tracks", "hour_of_day"), ("circumstances", "premium")]
)
def test_a_leak_from_the_middle_of_the_second_half_is_found(name, column):
    scaled, sessions, _ = made = shard([10, 13, 20])
    published = made.wide()
    first_of_second_half, step = [5, 16, 33], [15, 13, 10]
    steps = published["train"][name].reshape(3, -1, schema.INPUT_SHAPES[name][-1])
    place = step if name == "previous_tracks" else [0, 0, 0]
    steps[[0, 1, 2], place, 0] = scaled[column].to_numpy()[first_of_second_half]
    assert find_leaks(scaled, sessions, published) == [name]


@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(10, 20), min_size=1, max_size=4))
@settings(deadline=None)
def test_permuting_all_that_is_logged_after_the_cut_changes_no_input_of_the_first_half(seed, lengths):
    scaled, sessions, rows = shard(lengths, seed=seed)
    position, length = (scaled[name].to_numpy() for name in ("session_position", "session_length"))
    later = np.flatnonzero(position * 2 > length)
    order = np.arange(len(position))
    order[later] = np.random.default_rng(seed).permutation(later)
    logged = set(UNSEEN) - {"session_position", "session_length"}
    permuted = pa.table(
        [
            scaled[name].take(pa.array(order)) if name in logged else scaled[name]
            for name in scaled.column_names
        ],
        schema=scaled.schema,
    )
    before, after = (hide(Shard(table, sessions, rows).wide()["train"]) for table in (scaled, permuted))
    assert same(before, after, [name for name in schema.INPUT_SHAPES if name != "track_memory"])
