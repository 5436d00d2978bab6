import dataclasses

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.networks import listening
from skip_pipeline.networks.listening import Listening
from skip_pipeline.networks.tastes import DIRECTIONS, FEATURES, Tastes
from skip_pipeline_tests.networks.literal_sessions import bundle, listeners_with_a_taste

ENERGY, TEMPO = FEATURES.index("energy"), FEATURES.index("tempo")


@pytest.fixture(scope="module")
def fitted() -> Tastes:
    return Tastes.fit(listeners_with_a_taste(300)[0])


def test_no_label_is_read(fitted: Tastes) -> None:
    branches, _ = listeners_with_a_taste(300)
    del branches[schema.LABEL]

    assert np.array_equal(Tastes.fit(branches).directions, fitted.directions)


def test_sessions_taken_in_several_parts_tell_the_same(
    fitted: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 41)
    again = Tastes.fit(listeners_with_a_taste(300)[0])

    # Other parts add in another order. A direction in which nobody differs has a strength of 0 up to 1e-16,
    # and directions are scaled by its root.
    for field in dataclasses.fields(Tastes):
        np.testing.assert_allclose(
            getattr(again, field.name), getattr(fitted, field.name), rtol=1e-6, atol=1e-7
        )


def test_variances_are_those_of_pairs_of_tracks_of_one_session(fitted: Tastes) -> None:
    past = Listening.of(listeners_with_a_taste(300)[0])
    previous = np.concatenate([np.full((300, 1), 5), past.depth[:, :-1]], axis=1)
    residual = past.depth - fitted.usual_depth[previous]
    products = residual[:, :, None] * residual[:, None, :]
    others = ~np.eye(schema.STEPS, dtype=bool)

    assert fitted.patience == pytest.approx(max(products[:, others].mean(), 1e-3), abs=1e-6)
    assert fitted.noise == pytest.approx((residual**2).mean() - fitted.patience)


def test_usual_depth_is_the_mean_after_each_outcome() -> None:
    tastes = Tastes.fit(bundle(["1p1up", "pp1pp"]))

    # After skip_1: played, unflagged, played. After played: skip_1 twice and played. At the start: 0 and 4.
    assert tastes.usual_depth.tolist() == pytest.approx([11 / 3, 0, 0, 0, 4 / 3, 2])


def test_the_first_direction_is_what_listeners_disagree_about(fitted: Tastes) -> None:
    strength = np.abs(fitted.directions)

    assert strength.shape == (len(FEATURES), DIRECTIONS)
    assert strength[:, 0].argmax() == ENERGY
    assert strength[ENERGY, 0] > 10 * strength[TEMPO, 0]


def test_a_taste_shows_in_who_likes_the_next_track(fitted: Tastes) -> None:
    branches, likes = listeners_with_a_taste(100, seed=1)
    energy = branches["last_track"][:, schema.TRACK_BRANCH.index("energy")]
    known = fitted.before_each(Listening.of(branches))

    truth = likes * (energy - 0.5)
    assert np.corrcoef(known["taste"][:, -1], truth)[0, 1] > 0.9


def test_belief_grows_firmer_track_by_track(fitted: Tastes) -> None:
    by_turns = bundle(["1p" * 10], tracks={"energy": [[0.0, 1.0] * 10]})
    spread = fitted.before_each(Listening.of(by_turns))["taste_spread"][0]

    # Before each of these as many tracks of the one kind were heard as of the other, the target included.
    assert spread[1] > spread[3] > spread[9] > spread[19] > 0


def test_a_belief_is_the_ridge_regression_of_the_tracks_before(fitted: Tastes) -> None:
    branches, _ = listeners_with_a_taste(3, seed=3)
    past = Listening.of(branches)
    known = fitted.before_each(past)
    session, target = 1, 12
    columns = [schema.TRACK_BRANCH.index(name) for name in FEATURES]
    tracks = (past.tracks[session, : target + 1, columns].T - fitted.mean) / fitted.scale
    contrast = (tracks - tracks.mean(axis=0)) @ fitted.directions
    design = np.column_stack([np.ones(target), contrast[:-1]])
    previous = np.concatenate([[5], past.depth[session, : target - 1]])
    residual = past.depth[session, :target] - fitted.usual_depth[previous]
    penalty = fitted.noise * np.diag([1 / fitted.patience] + [1.0] * DIRECTIONS)
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ residual)

    assert known["patience"][session, target] == pytest.approx(weights[0])
    assert known["taste"][session, target] == pytest.approx(weights[1:] @ contrast[-1])


def test_patience_tells_who_plays_on_from_who_skips() -> None:
    tastes = Tastes.fit(bundle(["p" * 20, "1" * 20, "pppppppp1p", "11111111p1"] * 5))
    patience = tastes.before_each(Listening.of(bundle(["p" * 12, "1" * 12])))["patience"][:, -1]

    assert patience[0] > 0 > patience[1]


def test_before_the_first_track_nothing_is_believed(fitted: Tastes) -> None:
    known = fitted.before_each(Listening.of(listeners_with_a_taste(4)[0]))

    assert known["patience"][:, 0].tolist() == [0] * 4
    assert known["taste"][:, 0] == pytest.approx([0] * 4)


def test_sessions_that_never_differ_have_no_taste() -> None:
    same = bundle(["p" * 12] * 4)
    tastes = Tastes.fit(same)
    known = tastes.before_each(Listening.of(same))

    assert all(np.isfinite(getattr(tastes, field.name)).all() for field in dataclasses.fields(tastes))
    assert not known["taste"].any()
