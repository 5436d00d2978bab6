import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.networks import listening
from skip_pipeline.networks.listening import PLAYED, Listening, all_played, before, in_parts, outcome_depths
from skip_pipeline_tests.networks.literal_sessions import bundle


def test_nested_flags_say_how_far_a_track_was_heard() -> None:
    past = Listening.of(bundle(["123upp"]))

    assert past.depth[0, -5:].tolist() == [0, 1, 2, 3, 4]
    assert past.played[0, -5:].tolist() == [0, 0, 0, 0, 1]
    assert past.real[0].tolist() == [0] * 14 + [1] * 5
    assert past.depth[0, :14].tolist() == past.played[0, :14].tolist() == [0] * 14


def test_depths_are_those_of_every_track_the_predicted_one_included() -> None:
    sessions = ["123upp", "pu", "p3", "12", "11"]
    arrays = bundle(sessions)
    expected = [[-1] * (20 - len(session)) + ["123up".index(of) for of in session] for session in sessions]

    assert outcome_depths(arrays).tolist() == expected
    del arrays["last_flags"]
    assert outcome_depths(arrays)[:, -1].tolist() == [4, 3, 3, 3, 3]  # not played, and nothing else is known


def test_the_label_decides_what_was_played_where_flags_contradict_it() -> None:
    arrays = bundle(["p1", "1p"])
    for flag in ("skip_1", "skip_2", "skip_3"):
        column = schema.SESSION_LOG_BRANCH.index(flag)
        arrays["session_log"][:, -1, column] = 1 - arrays["session_log"][:, -1, column]
    arrays["last_flags"] = 1 - arrays["last_flags"]

    assert outcome_depths(arrays)[:, -2:].tolist() == [[4, 3], [3, 4]]


def test_outcomes_of_a_split_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 2)
    arrays = bundle(["pp", "p1", "u2", "1p", "11"])

    depths = outcome_depths(arrays)
    expected = np.where(depths < 0, np.nan, depths == PLAYED)
    assert np.array_equal(all_played(arrays), expected, equal_nan=True)


def test_the_predicted_track_is_the_last_target() -> None:
    past = Listening.of(bundle(["ppp"], tracks={"energy": [[0.25, 0.5, 0.75]]}))

    assert past.tracks.shape == (1, 20, 31)
    assert past.tracks[0, -3:, schema.TRACK_BRANCH.index("energy")].tolist() == [0.25, 0.5, 0.75]


def test_what_stands_in_padding_is_not_read() -> None:
    clean, dirty = bundle(["pp"]), bundle(["pp"])
    dirty["session_log"][:, :18] = 7.0
    one, other = Listening.of(clean), Listening.of(dirty)

    assert np.array_equal(one.log, other.log)
    assert np.array_equal(one.depth, other.depth)


def test_a_sum_is_of_the_steps_before_each_target_alone() -> None:
    steps = np.zeros((1, 19))
    steps[0, -4:] = (1.0, 2.0, 4.0, 8.0)

    assert before(steps).tolist() == [[0] * 16 + [1, 3, 7, 15]]


def test_parts_follow_one_another_and_hold_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 2)
    branches = bundle(["pp", "p1", "pp", "1p", "11"])
    parts = list(in_parts(branches, tuple(branches)))

    assert [len(part["last_track"]) for part in parts] == [2, 2, 1]
    for name, array in branches.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), array)


def test_arrays_can_be_named_and_may_be_missing() -> None:
    branches = bundle(["pp"])
    del branches[schema.LABEL]

    assert set(next(in_parts(branches))) == set(schema.BRANCH_SHAPES)
    assert set(next(in_parts(branches, ("skip_sequence",)))) == {"skip_sequence"}


def test_no_session_is_one_part_without_any() -> None:
    nobody = {name: array[:0] for name, array in bundle(["pp"]).items()}

    assert [len(part["last_track"]) for part in in_parts(nobody)] == [0]


def test_parts_are_taken_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        taken = 0

        def __len__(self) -> int:
            return 6

        def __getitem__(self, chosen: slice) -> np.ndarray:
            self.taken += 1
            return np.zeros(6)[chosen]

    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 2)
    array = Counted()
    next(in_parts({"last_track": array}))  # type: ignore[dict-item]

    assert array.taken == 1
