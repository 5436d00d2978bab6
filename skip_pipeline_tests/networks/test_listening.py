import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.networks import listening
from skip_pipeline.networks.listening import Listening, before, in_parts
from skip_pipeline_tests.networks.literal_sessions import bundle


def test_nested_flags_say_how_far_a_track_was_heard() -> None:
    past = Listening.of(bundle(["123upp"]))

    assert past.depth[0, -5:].tolist() == [0, 1, 2, 3, 4]
    assert past.played[0, -5:].tolist() == [0, 0, 0, 0, 1]
    assert past.real[0].tolist() == [0] * 14 + [1] * 5
    assert past.depth[0, :14].tolist() == past.played[0, :14].tolist() == [0] * 14


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
    parts = list(in_parts(branches))

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
