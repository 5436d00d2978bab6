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
    assert np.array_equal(fitted.residual(past), residual)
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


def test_sessions_that_never_differ_have_finite_parameters() -> None:
    tastes = Tastes.fit(bundle(["p" * 12] * 4))

    assert all(np.isfinite(getattr(tastes, field.name)).all() for field in dataclasses.fields(tastes))
    assert not tastes.directions.any()
