"""Shards as small records: equal to the wide form bit for bit, and refused where they could not be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline import schema
from skip_pipeline.bundles import Bundle, open_bundle
from skip_pipeline.bundles.leak import wide_form
from skip_pipeline.bundles.records import level_codes, row_record, session_record, track_type
from skip_pipeline.errors import ContractError
from skip_pipeline.stages.bundle import bundle_shard, class_balance, session_lengths
from skip_pipeline.stages.encode import feature_range
from skip_pipeline.stages.scale import fit_scaler
from skip_pipeline.stages.track_matrix import scale_tracks
from skip_pipeline_tests.builders import (
    TEST,
    TRAIN,
    VALIDATION,
    assert_says,
    changed,
    encoded_table,
    refusal,
    replace_column,
    session,
    track,
    track_table,
)
from skip_pipeline_tests.builders import TRACKS as FEATURES
from skip_pipeline_tests.stages.shard_builders import TRACKS, WIDE, joined, same, shard, write

EVERY_LENGTH = list(range(10, 21))


# --- Bit for bit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", schema.SPLITS)
def test_what_is_opened_is_the_wide_form(tmp_path, split):
    made = shard(EVERY_LENGTH, [schema.SPLITS[i % 4] for i in range(11)])
    write(tmp_path, log=made)
    assert same(open_bundle(tmp_path, split), made.wide()[split])


@given(
    lengths=st.lists(st.integers(10, 20), min_size=1, max_size=6),
    splits=st.lists(st.sampled_from(schema.SPLITS), min_size=6, max_size=6),
    most_seeks=st.sampled_from([0, 255, 256, 65_535, 65_536, 2**31 - 1]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_any_shard_gives_its_wide_form(lengths, splits, most_seeks, seed):
    made = shard(lengths, splits[: len(lengths)], seed=seed, most_seeks=most_seeks)
    wide = made.wide()
    assert all(same(made.bundle(split), wide[split]) for split in schema.SPLITS)


@pytest.mark.parametrize(
    ("most", "size"), [(255, 1), (256, 2), (65_535, 2), (65_536, 4), (16_777_217, 4), (2**31 - 1, 4)]
)
def test_seeks_are_kept_in_the_smallest_type_that_holds_them(most, size):
    made = shard([10])
    made = made._replace(scaled=changed(made.scaled, "hist_user_behavior_n_seekback", 4, most))
    part = made.parts()["train"]
    assert part.rows.dtype["hist_user_behavior_n_seekfwd"].itemsize == size
    assert part.rows["hist_user_behavior_n_seekback"][4] == most
    assert same(made.bundle(), made.wide()["train"])


def test_the_level_of_a_row_is_its_code_and_the_one_after_the_last_if_it_is_unknown():
    made = shard([10])
    for name in schema.indicators("context_type"):
        made = made._replace(
            scaled=replace_column(made.scaled, name, [int(name.endswith("radio"))] + [0] * 9)
        )
    assert level_codes(made.parts()["train"].rows, "context_type").tolist() == [4] + [6] * 8
    assert same(made.bundle(), made.wide()["train"])


def test_shards_follow_one_another_whatever_their_seeks(tmp_path):
    few = shard([10, 20, 13], ["test", "train", "train"], seed=1)
    many = shard([12, 15], ["train", "validation"], seed=2, most_seeks=100_000)
    write(tmp_path, b=many, a=few)
    assert same(open_bundle(tmp_path, "train"), joined(few.wide()["train"], many.wide()["train"]))


def test_a_split_without_sessions_has_the_right_shapes(tmp_path):
    made = shard([10, 11])
    write(tmp_path, log=made)
    assert same(open_bundle(tmp_path, "validation"), made.wide()["validation"])
    assert open_bundle(tmp_path, "validation").sessions == 0


def test_a_shard_without_sessions_of_a_split_among_others(tmp_path):
    a, b, c = shard([10], ["train"]), shard([11], ["test"]), shard([12], ["train"], seed=3)
    write(tmp_path, a=a, b=b, c=c)
    assert same(open_bundle(tmp_path, "train"), joined(*(m.wide()["train"] for m in (a, b, c))))


def test_long_and_non_ascii_ids_are_kept(tmp_path):
    ids = ["s0" + "ü" * 70, "音楽", "c"]
    write(tmp_path, log=shard([10, 11, 12], ids=ids), next=shard([10], ids=["d"]))
    assert open_bundle(tmp_path, "train").session_id.tolist() == [*ids, "d"]


# --- On disk --------------------------------------------------------------------------------------------


def test_of_the_predicted_position_only_the_track_and_its_outcome_are_kept():
    scaled, _, track_rows = made = shard([10, 13])
    unseen = set(schema.SCALED.names) - set(schema.TRACK_BRANCH)
    address = {"session_id", "session_position", "session_length"}
    for name in unseen - address - set(schema.OUTCOME_FLAGS):
        scaled = changed(scaled, name, 22, 0)
    scaled = changed(scaled, "hour_of_day", 22, 7)
    first, second = made.parts()["train"], made._replace(scaled=scaled).parts()["train"]
    assert first.rows.tobytes() == second.rows.tobytes()
    assert first.sessions.tobytes() == second.sessions.tobytes()
    assert len(first.rows) == 9 + 12
    assert first.sessions["last_track"].tolist() == track_rows[[9, 22]].tolist()


def test_a_log_row_takes_8_bytes_and_a_session_5_beside_its_id():
    records = row_record(track_type(50_704), "u1"), session_record(track_type(50_704))
    assert [record.itemsize for record in records] == [8, 5]


def test_the_same_shards_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        write(tmp_path / folder, log=shard([10, 11, 12, 13], list(schema.SPLITS)), more=shard([13]))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 8
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_a_shard_comes_and_goes_without_touching_the_others(tmp_path):
    first, second = shard([10, 11]), shard([12], seed=1)
    write(tmp_path / "both", a=first, b=second)
    write(tmp_path / "one", b=second)
    for name in ("sessions", "rows", "session_id"):
        both, one = (tmp_path / folder / "b" / f"{name}.npy" for folder in ("both", "one"))
        assert both.read_bytes() == one.read_bytes()


# --- Refusals -------------------------------------------------------------------------------------------

FLAWS = {
    "a gap": ("session_position", 3, 7, "positions 1 to the session's length"),
    "a length that is not that of the session": ("session_length", 12, 20, "positions 1 to the session's"),
    "a session of another code": ("session_id", 12, 0, "one session after another"),
    "a flag of 2": ("skip_2", 4, 2, "log: skip_2 is 2 in row 4, expected 0 or 1"),
    "a flag below 0": ("context_switch", 4, -1, "context_switch is -1 in row 4"),
    "an indicator of 3": ("context_type_radio", 4, 3, "context_type_radio is 3 in row 4"),
    "a negative count": ("hist_user_behavior_n_seekfwd", 5, -2, "n_seekfwd is -2 in row 5, expected counts"),
    "a feature of no track": (
        "tempo",
        6,
        0.5,
        "tempo is not that of the row's track in 1 of 23 rows, first [6]",
    ),
    "a mode of no track": ("mode_major", 6, 1, "mode_major is not that of the row's track"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_table_that_records_cannot_hold_is_refused(flaw):
    column, row, value, words = FLAWS[flaw]
    made = shard([10, 13])
    made = made._replace(scaled=changed(made.scaled, column, row, value))
    assert_says(refusal(ContractError, made.parts), words, "aterialize", "scaled_table again")


def test_a_row_of_two_levels_is_refused():
    made = shard([10])
    for name in schema.indicators("hist_user_behavior_reason_end")[:2]:
        made = made._replace(scaled=changed(made.scaled, name, 7, 1))
    message = refusal(ContractError, made.parts)
    assert_says(message, "row 7 has", "levels of hist_user_behavior_reason_end", "at most one", "again")


def test_a_session_of_more_tracks_than_there_are_steps_is_refused():
    assert_says(refusal(ContractError, shard([10, 21]).parts), "10 to 20", "materialize scaled_table again")


@pytest.mark.parametrize("number", [-1, 40])
def test_a_track_that_the_matrix_does_not_have_is_refused(number):
    made = shard([10])
    track_rows = made.track_rows.copy()
    track_rows[2] = number
    message = refusal(ContractError, made._replace(track_rows=track_rows).parts)
    assert_says(
        message, "log: ", "out of 40", "Materialize merged_table, encoded_table and scaled_table again"
    )


def test_tracks_of_another_shard_are_refused():
    made, other = shard([10]), shard([11])
    assert_says(
        refusal(ContractError, made._replace(track_rows=other.track_rows).parts), "10 rows play 11 tracks"
    )


def test_a_zero_of_another_sign_is_not_the_same():
    tracks = TRACKS.copy()
    tracks[:, 3] = 0.0
    made = shard([10])
    scaled = replace_column(made.scaled, schema.TRACK_BRANCH[3], np.full(10, -0.0, np.float32))
    message = refusal(
        ContractError,
        lambda: bundle_shard("log", scaled, made.sessions, track_rows=made.track_rows, tracks=tracks),
    )
    assert_says(message, f"{schema.TRACK_BRANCH[3]} is not that of the row's track in 10 of 10 rows")


# --- Tracks ---------------------------------------------------------------------------------------------


@pytest.fixture
def real():
    """Encoded rows of three sessions, a track of a strange mode among them, and the scaler."""
    encoded, sessions = encoded_table(session(TRAIN), session(VALIDATION, 20), session(TEST, 13))
    return encoded, sessions, fit_scaler([feature_range(encoded, sessions)])


def test_the_matrix_has_the_scaled_features_of_each_track_bit_for_bit(real):
    encoded, sessions, scaler = real
    tracks = scale_tracks(track_table(), scaler)
    scaled, clipped = scaler.apply(encoded)
    assert tracks.dtype == np.float32
    assert tracks.shape == (20, 31)
    assert clipped > 0  # tracks 11 to 20 are heard outside training only
    parts = bundle_shard("log", scaled, sessions, track_rows=encoded["track_id_clean"], tracks=tracks)
    for split in schema.SPLITS:
        assert same(Bundle(tracks, [parts[split]]), wide_form(scaled, sessions)[split], WIDE)


def test_a_track_of_an_unknown_mode_has_neither_indicator(real):
    *_, scaler = real
    tracks = scale_tracks(track_table(*FEATURES[:-1], track("t_20", mode="dorian")), scaler)
    assert tracks[-2:, -2:].tolist() == [[1, 0], [0, 0]]


# --- What charts show -----------------------------------------------------------------------------------


def test_the_class_balance_counts_skipped_and_played_last_tracks(tmp_path):
    made = shard([10] * 6, ["train", "train", "train", "validation", "test", "gate"])
    played = np.tile([1] * 9 + [0], 6)
    played[[9, 39]] = 1
    write(tmp_path, log=made._replace(scaled=replace_column(made.scaled, "not_skipped", played)))
    assert class_balance(tmp_path) == {
        "train": (2, 1),
        "validation": (0, 1),
        "gate": (1, 0),
        "test": (1, 0),
    }


def test_session_lengths_are_those_of_the_log(tmp_path):
    write(tmp_path, a=shard([10, 20, 20], ["train", "train", "test"]), b=shard([13], ["validation"]))
    assert session_lengths(tmp_path) == {10: 1, 13: 1, 20: 2}
