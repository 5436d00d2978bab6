import math

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.baselines.features import feature_names, handmade_features, training_examples
from skip_pipeline.networks import listening
from skip_pipeline.networks.listening import Listening
from skip_pipeline.networks.tastes import DIRECTIONS, Tastes
from skip_pipeline_tests.networks.literal_sessions import Bundle, bundle, listeners_with_a_taste
from skip_pipeline_tests.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return Tastes.fit(listeners_with_a_taste(300)[0])


def columns(branches: Bundle, tastes: Tastes) -> dict[str, np.ndarray]:
    rows = handmade_features(branches, tastes)
    return dict(zip(feature_names(tastes), rows.T, strict=True))


def features(branches: Bundle, tastes: Tastes) -> dict[str, float]:
    return {name: float(values[0]) for name, values in columns(branches, tastes).items()}


def test_outcomes_come_one_by_one_latest_first(tastes: Tastes) -> None:
    known = features(bundle(["ppppp1u3pp"]), tastes)

    assert [known[f"played_{lag}_ago"] for lag in range(1, 6)] == [1, 0, 0, 0, 1]
    assert [known[f"depth_{lag}_ago"] for lag in range(1, 6)] == [4, 2, 3, 0, 4]
    assert known["skip_3_2_ago"] == 1
    assert known["skip_3_1_ago"] == known["unflagged_2_ago"] == 0


def test_habits_are_shares_of_the_tracks_before(tastes: Tastes) -> None:
    known = features(bundle(["11ppp1ppp1"]), tastes)  # nine tracks, then the predicted one

    assert known["share_played"] == pytest.approx(6 / 9)
    assert known["share_skip_1"] == pytest.approx(3 / 9)
    assert known["mean_depth"] == pytest.approx(24 / 9)
    assert known["share_played_of_5"] == pytest.approx(4 / 5)
    assert known["share_played_of_3"] == 1
    assert known["share_changed"] == pytest.approx(3 / 9)
    weights = 0.5 ** np.arange(1, 10)
    assert known["share_played_fading_0.5"] == pytest.approx(
        weights[[0, 1, 2, 4, 5, 6]].sum() / weights.sum()
    )


@pytest.mark.parametrize(
    ("session", "run"), [("11ppp1pppp", 3), ("pppppppp1p", -1), ("1" * 20, -19), ("p" * 10, 9)]
)
def test_a_run_counts_equal_outcomes_and_is_negative_for_skips(
    tastes: Tastes, session: str, run: int
) -> None:
    assert features(bundle([session]), tastes)["run"] == run


@pytest.mark.parametrize(("length", "leaves"), [(10, 1), (19, 1), (20, 0)])
def test_a_session_that_was_cut_does_not_end_with_its_listener_leaving(
    tastes: Tastes, length: int, leaves: int
) -> None:
    known = features(bundle(["p" * length]), tastes)

    assert known["position"] == known["session_length"] == length
    assert (known["is_last"], known["listener_leaves"]) == (1, leaves)


def test_other_log_columns_show_the_track_before_and_the_session(tastes: Tastes) -> None:
    log = {
        "hist_user_behavior_n_seekfwd": [[0, 0, 0, 0, 0, 0, 0, 0, 3]],
        "context_type_radio": [[0, 0, 0, 1, 1, 1, 1, 1, 1]],
        "hist_user_behavior_reason_end_fwdbtn": [[1, 0, 0, 0, 0, 0, 0, 0, 0]],
    }
    known = features(bundle(["p" * 10], log=log), tastes)

    assert known["hist_user_behavior_n_seekfwd_1_ago"] == pytest.approx(math.log(4))
    assert known["hist_user_behavior_n_seekfwd_mean"] == pytest.approx(math.log(4) / 9)
    assert known["context_type_radio_1_ago"] == 1
    assert known["context_type_radio_mean"] == pytest.approx(6 / 9)
    assert known["hist_user_behavior_reason_end_fwdbtn_1_ago"] == 0


def test_a_track_heard_earlier_brings_what_became_of_it(tastes: Tastes) -> None:
    numbers = [[0.1, 0.2, 0.3, 0.3, 0.3, 0.6, 0.7, 0.8, 0.9, 0.3]]
    known = features(bundle(["pp1ppppppp"], tracks={schema.LOG_TRACK_ID: numbers}), tastes)

    assert known["heard_before"] == 3
    assert known["played_before"] == pytest.approx(1 / 3)  # played twice, skipped once


def test_padding_is_no_track_numbered_nought(tastes: Tastes) -> None:
    numbers = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.0]]

    assert features(bundle(["p" * 10], tracks={schema.LOG_TRACK_ID: numbers}), tastes)["heard_before"] == 0


def test_the_last_track_shows_its_own_features(tastes: Tastes) -> None:
    energy = [[0.1] * 9 + [0.7]]

    assert features(bundle(["p" * 10], tracks={"energy": energy}), tastes)["energy"] == pytest.approx(0.7)


def test_what_stands_in_padding_changes_nothing(tastes: Tastes) -> None:
    clean, dirty = bundle(["1p3pup2pp1"]), bundle(["1p3pup2pp1"])
    dirty["session_log"][:, :10] = 3.0
    dirty["previous_tracks"][:, :10] = 0.3

    assert np.array_equal(handmade_features(clean, tastes), handmade_features(dirty, tastes))


def test_no_feature_knows_the_predicted_outcome(tastes: Tastes) -> None:
    played, skipped = bundle(["1p3pup2ppp"]), bundle(["1p3pup2pp1"])
    del skipped[schema.LABEL]

    assert np.array_equal(handmade_features(played, tastes), handmade_features(skipped, tastes))


def test_an_example_knows_nothing_of_its_outcome_and_of_what_comes_after(tastes: Tastes) -> None:
    branches, _ = listeners_with_a_taste(2, seed=5)
    changed, _ = listeners_with_a_taste(2, seed=5)
    step = 14
    changed["skip_sequence"][:, step] = 1 - changed["skip_sequence"][:, step]
    changed["session_log"][:, step:, 2:] = (
        1.0  # flags and all that was logged of that track and the later ones
    )
    changed["previous_tracks"][:, step + 1 :] += 0.25
    changed["last_track"] += 0.25

    before, after = (training_examples(b, tastes).features.reshape(2, 11, -1) for b in (branches, changed))
    same = (before == after).all(axis=(0, 2))
    assert same.tolist() == [True] * 6 + [False] * 5  # targets 9 to 14, and 15 to 19


def test_examples_are_the_tracks_with_nine_before_them(tastes: Tastes) -> None:
    branches = bundle(["ppppppppp1", "1111111111p1p"])
    examples = training_examples(branches, tastes)

    assert examples.not_skipped.tolist() == [0, 0, 1, 0, 1]
    names = feature_names(tastes)
    assert np.array_equal(examples.features[[0, 4]], handmade_features(branches, tastes))
    assert examples.features[:, names.index("position")].tolist() == [10, 10, 11, 12, 13]
    assert examples.features[:, names.index("is_last")].tolist() == [1, 0, 0, 0, 1]


def test_an_example_is_what_a_session_cut_there_would_be(tastes: Tastes) -> None:
    whole = training_examples(bundle(["1p3pup2ppp1p"]), tastes).features[0]
    cut = features(bundle(["1p3pup2ppp"]), tastes)
    differing = {name for (name, a), b in zip(cut.items(), whole, strict=True) if a != b}

    assert differing == {"session_length", "is_last", "listener_leaves"}


def test_features_are_finite_whatever_the_sessions(tastes: Tastes) -> None:
    rows, names = handmade_features(tiny_bundle(50), tastes), feature_names(tastes)

    assert rows.shape == (50, len(set(names))) == (50, len(names))
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


def test_sessions_made_in_several_parts_are_the_same(tastes: Tastes, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = tiny_bundle(7)
    once, examples = handmade_features(sessions, tastes), training_examples(sessions, tastes)
    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 3)

    assert np.array_equal(handmade_features(sessions, tastes), once)
    again = training_examples(sessions, tastes)
    assert np.array_equal(again.features, examples.features)
    assert np.array_equal(again.not_skipped, examples.not_skipped)


def test_no_sessions_have_no_features(tastes: Tastes) -> None:
    rows = handmade_features({name: a[:0] for name, a in bundle(["pp"]).items()}, tastes)

    assert rows.shape == (0, len(feature_names(tastes)))


# --- The listener's patience and taste ----------------------------------------------------------------


def test_a_taste_shows_in_who_likes_the_next_track(tastes: Tastes) -> None:
    branches, likes = listeners_with_a_taste(100, seed=1)
    energy = branches["last_track"][:, schema.TRACK_BRANCH.index("energy")]

    assert np.corrcoef(columns(branches, tastes)["taste"], likes * (energy - 0.5))[0, 1] > 0.9


def test_an_estimate_grows_firmer_track_by_track(tastes: Tastes) -> None:
    lengths = (2, 4, 10, 20)  # as many tracks of the one kind as of the other, the predicted one included
    by_turns = bundle(
        ["1p" * (n // 2) for n in lengths], tracks={"energy": [[0.0, 1.0] * (n // 2) for n in lengths]}
    )
    spread = columns(by_turns, tastes)["taste_spread"]

    assert spread[0] > spread[1] > spread[2] > spread[3] > 0


def test_an_estimate_is_the_ridge_regression_of_the_tracks_before(tastes: Tastes) -> None:
    branches, _ = listeners_with_a_taste(3, seed=3)
    past, known = Listening.of(branches), columns(branches, tastes)
    session = 1
    place = tastes.standardised(past.tracks[session])
    contrast = (place - place.mean(axis=0)) @ tastes.directions
    design = np.column_stack([np.ones(19), contrast[:-1]])
    penalty = tastes.noise * np.diag([1 / tastes.patience] + [1.0] * DIRECTIONS)
    gram = design.T @ design + penalty
    weights = np.linalg.solve(gram, design.T @ tastes.residual(past)[session])
    variance = tastes.noise * np.linalg.inv(gram)[1:, 1:]

    assert known["patience"][session] == pytest.approx(weights[0])
    assert known["taste"][session] == pytest.approx(weights[1:] @ contrast[-1])
    assert known["taste_spread"][session] == pytest.approx((contrast[-1] @ variance @ contrast[-1]) ** 0.5)


def test_patience_tells_who_plays_on_from_who_skips() -> None:
    tastes = Tastes.fit(bundle(["p" * 20, "1" * 20, "pppppppp1p", "11111111p1"] * 5))
    patience = columns(bundle(["p" * 12, "1" * 12]), tastes)["patience"]

    assert patience[0] > 0 > patience[1]


def test_before_the_first_track_patience_and_taste_are_0(tastes: Tastes) -> None:
    known = features(bundle(["p"]), tastes)

    assert (known["patience"], known["taste"]) == (0, 0)


def test_sessions_that_never_differ_have_no_taste() -> None:
    same = bundle(["p" * 12] * 4)

    assert not columns(same, Tastes.fit(same))["taste"].any()
