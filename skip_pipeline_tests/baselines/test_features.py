import math

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.baselines.features import (
    FEATURES,
    INPUTS,
    Standard,
    examples_of,
    feature_names,
    features_of,
)
from skip_pipeline.networks import listening
from skip_pipeline_tests.networks.literal_sessions import Bundle, bundle, listeners_with_a_taste, with_memory
from skip_pipeline_tests.tiny_bundle import tiny_bundle

AS_THEY_ARE = Standard(np.zeros(len(FEATURES), np.float32), np.ones(len(FEATURES), np.float32))
NOT_KNOWN = {"track_memory": np.zeros((1, *schema.INPUT_SHAPES["track_memory"]), np.float32)}


def of_targets(arrays: Bundle, standard: Standard = AS_THEY_ARE) -> dict[str, np.ndarray]:
    """Features of every target of the only session, (20,), by name."""
    rows = features_of(NOT_KNOWN | arrays, standard)[0]
    return dict(zip(feature_names(), rows.T, strict=True))


def features(arrays: Bundle, standard: Standard = AS_THEY_ARE) -> dict[str, float]:
    """Features of the last track of the only session, by name."""
    return {name: float(values[-1]) for name, values in of_targets(arrays, standard).items()}


def remembered(arrays: Bundle, appeal: list[float], plays: list[float], company: list[float]) -> Bundle:
    """The session with a memory of each of its tracks, whose company is along one coordinate."""
    memory = np.zeros((1, 20, schema.TRACK_MEMORY), np.float32)
    memory[0, -len(appeal) :, :3] = np.column_stack([appeal, plays, company])
    return arrays | {"track_memory": memory}


# --- The history ----------------------------------------------------------------------------------------


def test_outcomes_come_one_by_one_latest_first() -> None:
    known = features(bundle(["ppppp1u3pp"]))

    assert [known[f"played_{lag}_ago"] for lag in range(1, 6)] == [1, -1, -1, -1, 1]
    assert [known[f"depth_{lag}_ago"] for lag in range(1, 6)] == [4, 2, 3, 0, 4]
    assert known["skip_3_2_ago"] == 1
    assert known["skip_3_1_ago"] == known["unflagged_2_ago"] == 0


def test_an_outcome_of_no_track_is_neither_played_nor_skipped() -> None:
    known = of_targets(bundle(["1p"]))

    assert [known[f"played_{lag}_ago"][-1] for lag in (1, 2)] == [-1, 0]
    assert known["played_1_ago"][-2] == 0


def test_habits_are_counts_and_shares_of_the_tracks_before() -> None:
    known = features(bundle(["11ppp1ppp1"]))  # nine tracks, then the predicted one

    assert (known["times_played"], known["times_skipped"]) == (6, 3)
    assert known["share_played"] == pytest.approx(6 / 9)
    assert known["share_skip_1"] == pytest.approx(3 / 9)
    assert known["balance"] == pytest.approx(3 / 11)
    assert known["mean_depth"] == pytest.approx(24 / 9)
    assert known["balance_of_5"] == pytest.approx(3 / 5)
    assert known["balance_of_3"] == 1
    assert known["mean_depth_of_5"] == pytest.approx(16 / 5)
    assert known["share_changed"] == pytest.approx(3 / 9)
    weights = 0.5 ** np.arange(1, 10)
    signs = [1, 1, 1, -1, 1, 1, 1, -1, -1]
    assert known["balance_fading_0.5"] == pytest.approx(weights @ signs / weights.sum())


@pytest.mark.parametrize(
    ("session", "run"), [("11ppp1pppp", 3), ("pppppppp1p", -1), ("1" * 20, -19), ("p" * 10, 9)]
)
def test_a_run_counts_equal_outcomes_and_is_negative_for_skips(session: str, run: int) -> None:
    assert features(bundle([session]))["run"] == run


@pytest.mark.parametrize(("length", "leaves"), [(10, 1), (19, 1), (20, 0)])
def test_a_session_that_was_cut_does_not_end_with_its_listener_leaving(length: int, leaves: int) -> None:
    known = features(bundle(["p" * length]))

    assert known["position"] == known["session_length"] == length
    assert (known["is_last"], known["listener_leaves"], known["tracks_left"]) == (1, leaves, 0)


def test_every_track_has_its_place() -> None:
    known = of_targets(bundle(["p" * 12]))

    assert known["position"][-12:].tolist() == list(range(1, 13))
    assert known["tracks_left"][-12:].tolist() == list(range(11, -1, -1))
    assert known["session_length"][-12:].tolist() == [12] * 12
    assert known["is_last"][-12:].tolist() == known["listener_leaves"][-12:].tolist() == [0] * 11 + [1]
    assert known["log_position"][-1] == pytest.approx(math.log(12))
    assert known["log_tracks_left"][-12] == pytest.approx(math.log(12))


def test_other_log_columns_show_the_track_before_and_the_session() -> None:
    log = {
        "hist_user_behavior_n_seekfwd": [[0, 0, 0, 0, 0, 0, 0, 0, 3]],
        "context_type_radio": [[0, 0, 0, 1, 1, 1, 1, 1, 1]],
        "hist_user_behavior_reason_end_fwdbtn": [[1, 0, 0, 0, 0, 0, 0, 0, 0]],
    }
    known = features(bundle(["p" * 10], log=log))

    assert known["hist_user_behavior_n_seekfwd_1_ago"] == pytest.approx(math.log(4))
    assert known["hist_user_behavior_n_seekfwd_mean"] == pytest.approx(math.log(4) / 9)
    assert known["context_type_radio_1_ago"] == 1
    assert known["context_type_radio_mean"] == pytest.approx(6 / 9)
    assert known["hist_user_behavior_reason_end_fwdbtn_1_ago"] == 0


def test_the_hour_shows_as_itself_and_as_harmonics() -> None:
    sines, cosines = np.sin([math.pi * 1.5, math.pi * 3]), np.cos([math.pi * 1.5, math.pi * 3])  # 18 o'clock
    circumstances = np.array([[*sines, *cosines, 0.5]], np.float32)
    known = of_targets(bundle(["p" * 10]) | {"circumstances": circumstances})

    assert known["hour"][-10:].tolist() == pytest.approx([18] * 10)
    assert [known[name][-1] for name in ("hour_sine", "half_day_cosine", "premium")] == [-1, -1, 0.5]


# --- The track ------------------------------------------------------------------------------------------


def test_a_track_heard_earlier_brings_what_became_of_it() -> None:
    known = features(bundle(["pp1ppppppp"], numbers=[[1, 2, 3, 3, 3, 6, 7, 8, 9, 3]]))

    assert (known["heard_before"], known["played_before"], known["skipped_before"]) == (3, 2, 1)
    assert known["heard_ago"] == 5


def test_a_track_not_heard_before_was_heard_twenty_ago_and_padding_is_no_track() -> None:
    known = features(bundle(["p" * 10], numbers=[[*range(1, 10), 0]]))

    assert (known["heard_before"], known["heard_ago"]) == (0, 20)


def test_every_track_shows_its_own_features() -> None:
    known = of_targets(bundle(["p" * 10], tracks={"energy": [[0.1] * 8 + [0.4, 0.7]]}))

    assert known["energy"][-3:].tolist() == pytest.approx([0.1, 0.4, 0.7])


def test_the_memory_of_the_track_and_of_those_before_it() -> None:
    known = features(remembered(bundle(["pp1"]), [2.0, -1.0, 0.5], [3.0, 0.0, 1.0], [0, 0, 0]))

    assert (known["appeal"], known["plays"], known["never_played"]) == (0.5, 1, 0)
    assert (known["appeal_1_ago"], known["plays_1_ago"]) == (-1, 0)
    assert (known["appeal_mean"], known["plays_mean"]) == (0.5, 1.5)
    assert features(bundle(["pp1"]))["never_played"] == 1


def test_a_skip_of_an_appealing_track_surprises() -> None:
    skipped = features(remembered(bundle(["11p"]), [4.0, -4.0, 0], [1, 1, 1], [0, 0, 0]))

    first, second = -1 - math.tanh(2), -1 + math.tanh(2)  # far below expectation, and as expected
    assert skipped["surprise"] == pytest.approx((first + second) / 4, abs=1e-6)
    assert skipped["surprise_fading"] == pytest.approx(0.49 * first + 0.7 * second, abs=1e-6)


# --- Likeness -------------------------------------------------------------------------------------------


def test_kernels_weigh_earlier_tracks_by_their_likeness() -> None:
    distance = 0.5 * math.sqrt(len(FEATURES))  # in one of the features: mean squared difference 0.25
    known = features(bundle(["p1p1"], tracks={"tempo": [[0, distance, 100 * distance, 0]]}))

    near = math.exp(-0.25)  # the second track; clipped at 4, the third is a mean square of 16 / 29 away
    far = math.exp(-16 / 29)
    assert known["like_1.0_played"] == pytest.approx(1 + far, abs=1e-6)
    assert known["like_1.0_skipped"] == pytest.approx(near, abs=1e-6)
    assert known["like_1.0_balance"] == pytest.approx((1 + far - near) / (1 + far + near + 0.5), abs=1e-6)
    assert known["like_0.25_skipped"] == pytest.approx(math.exp(-1), abs=1e-6)


def test_kernels_of_the_memory_see_appeal_plays_and_company_apart() -> None:
    arrays = remembered(bundle(["p1p"]), [1.0, 0.0, 1.0], [0.0, 2.0, 2.0], [4.0, 0.0, 4.0])
    known = features(arrays)

    assert known["like_appeal_played"] == pytest.approx(1)
    assert known["like_appeal_skipped"] == pytest.approx(math.exp(-1 / 0.2))
    assert known["like_plays_played"] == pytest.approx(math.exp(-4 / 0.5))
    assert known["like_plays_skipped"] == pytest.approx(1)
    assert known["like_company_played"] == pytest.approx(1)
    assert known["like_company_skipped"] == pytest.approx(math.exp(-1 / 0.5))  # 4² / 16 coordinates
    assert known["company_1"] == 4


def test_company_shows_as_cosines_too() -> None:
    known = features(remembered(bundle(["p1p"]), [0, 0, 0], [0, 0, 0], [4.0, -4.0, 4.0]))

    assert known["cosine_balance"] == pytest.approx(2 / 1.05)  # near the played one, opposite to the other
    assert known["cosine_mean"] == pytest.approx(0, abs=1e-6)
    assert known["cosine_1_ago"] == pytest.approx(-1 / 1.05)
    assert known["agreement_company"] == pytest.approx((2 * 1 + 2 * 1) / 4)  # depths 4 and 0 less their mean


def test_a_feature_agrees_where_tracks_like_this_one_were_heard_for_longer() -> None:
    known = features(bundle(["p1p"], tracks={"energy": [[1.0, 0.0, 1.0]], "tempo": [[1.0, 1.0, 1.0]]}))

    # Depths less their mean are 2 and -2: 2 · 1 - 2 · 0 = 2. The track is 0.5 above the mean; 2 + 2 tracks.
    assert known["agreement_energy"] == pytest.approx(2 * 0.5 / 4)
    assert known["agreement_tempo"] == 0
    assert known["agreement"] == pytest.approx((2 * 2 - 2 * 1) / len(FEATURES))
    assert known["mean_agreement"] == pytest.approx(known["agreement"] / 4)


def test_before_the_first_track_nothing_is_known() -> None:
    known = of_targets(remembered(bundle(["p1"]), [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]))
    of_first = {name for name, values in known.items() if values[-2] != 0}

    own = {"position", "session_length", "tracks_left", "log_tracks_left", "heard_ago"}
    assert of_first == own | {"appeal", "plays", "company_1"}


def test_features_are_standardised_by_the_tracks_before_the_last() -> None:
    standard = Standard.fit(bundle(["ppp"], tracks={"tempo": [[1.0, 3.0, 50.0]]}))
    place = standard.of(np.array([[0.0] * 31, [4.0] * 31], np.float32))

    tempo = FEATURES.index("tempo")
    assert (standard.mean[tempo], standard.scale[tempo]) == (2, 1)
    assert place[:, tempo].tolist() == [-2, 2]
    assert Standard.fit(bundle(["ppp"])).scale.tolist() == [1] * len(FEATURES)


# --- Rows -----------------------------------------------------------------------------------------------


def test_what_stands_in_padding_changes_nothing() -> None:
    clean, dirty = bundle(["1p3pup2pp1"]), bundle(["1p3pup2pp1"])
    dirty["session_log"][:, :10] = 3.0
    dirty["previous_tracks"][:, :10] = 0.3
    one, other = (features_of(NOT_KNOWN | arrays, AS_THEY_ARE)[:, -10:] for arrays in (clean, dirty))

    assert np.array_equal(one, other)


def test_a_track_knows_nothing_of_its_outcome_and_of_what_comes_after() -> None:
    arrays, _ = listeners_with_a_taste(2, seed=5)
    arrays = with_memory(arrays)
    changed = {name: array.copy() for name, array in arrays.items()}
    step = 14
    changed["skip_sequence"][:, step] = 1 - changed["skip_sequence"][:, step]
    changed["session_log"][:, step:, 2:] = 1.0  # flags and all that was logged of that and the later tracks
    changed["previous_tracks"][:, step + 1 :] += 0.25
    changed["last_track"] += 0.25
    changed["track_numbers"][:, step + 1 :] = 3
    changed["track_memory"][:, step + 1 :] += 1.0
    changed[schema.LABEL] = 1 - changed[schema.LABEL]

    before, after = (features_of(each, AS_THEY_ARE) for each in (arrays, changed))
    same = (before == after).all(axis=(0, 2))
    assert same.tolist() == [True] * 15 + [False] * 5


def test_examples_are_all_tracks_session_by_session() -> None:
    arrays = with_memory(bundle(["p1", "31p"]))
    examples = examples_of(arrays, AS_THEY_ARE)

    assert examples.not_skipped.tolist() == [1, 0, 0, 0, 1]
    rows = features_of(arrays, AS_THEY_ARE)
    assert np.array_equal(examples.features, np.concatenate([rows[0, -2:], rows[1, -3:]]))
    assert examples.features[:, feature_names().index("position")].tolist() == [1, 2, 1, 2, 3]


def test_a_track_is_what_a_session_cut_there_would_be() -> None:
    whole, cut = of_targets(bundle(["1p3pup2ppp1p"])), of_targets(bundle(["1p3pup2ppp"]))
    own = FEATURES  # of the tracks, which the literal sessions spread over their length
    differing = {name for name in whole if whole[name][-3] != cut[name][-1]} - set(own)

    length = {"session_length", "tracks_left", "log_tracks_left", "is_last", "listener_leaves"}
    assert differing == length


def test_features_are_finite_whatever_the_sessions() -> None:
    arrays = tiny_bundle(50)
    rows, names = examples_of(arrays, Standard.fit(arrays)).features, feature_names()

    assert rows.shape[1] == len(set(names)) == len(names)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


def test_sessions_made_in_several_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = tiny_bundle(7)
    standard, once = Standard.fit(sessions), examples_of(sessions, AS_THEY_ARE)
    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 3)
    again = examples_of(sessions, AS_THEY_ARE)

    assert np.array_equal(again.features, once.features)
    assert np.array_equal(again.not_skipped, once.not_skipped)
    np.testing.assert_allclose(Standard.fit(sessions).mean, standard.mean, rtol=1e-6)


def test_no_sessions_have_no_examples() -> None:
    nobody = {name: array[:0] for name, array in with_memory(bundle(["p1"])).items()}

    assert set(INPUTS) <= set(nobody)
    assert examples_of(nobody, AS_THEY_ARE).features.shape == (0, len(feature_names()))
