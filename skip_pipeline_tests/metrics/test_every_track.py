"""Scores of every track, by hand on two or three sessions."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.every_track import (
    answers_every_track,
    auc_pseudovalues,
    check_tracks,
    is_track,
    mean_over,
    positions,
    score_positions,
    session_aucs,
)
from skip_pipeline.metrics.intervals import estimate_means, estimate_ratios
from skip_pipeline_tests.builders import assert_says, refusal

NO = np.nan
LABELS = np.array([[NO, 1, 0, 1], [1, 1, 0, 0], [NO, 0, 0, 0]])
P = np.array([[NO, 0.9, 0.5, 0.5], [0.4, 0.8, 0.6, 0.2], [NO, 0.1, 0.2, 0.3]])


def test_a_session_s_auc_is_that_of_its_own_tracks() -> None:
    found = session_aucs(LABELS, P)

    assert found[0] == 0.75  # one pair won, one tied
    assert found[1] == roc_auc_score(LABELS[1], P[1]) == 0.75
    assert np.isnan(found[2])  # no track was played


def test_telling_listeners_apart_is_not_ranking_their_tracks() -> None:
    labels = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], float)
    by_listener = np.array([[0.9] * 4, [0.1] * 4])

    assert session_aucs(labels, by_listener).tolist() == [0.5, 0.5]
    assert np.nanmean(auc_pseudovalues(labels, by_listener)) == 0.75


def test_pseudovalues_average_to_the_auc_of_all_tracks() -> None:
    values = auc_pseudovalues(LABELS, P)
    real = is_track(LABELS)

    assert np.isnan(values[~real]).all()
    assert values[real].mean() == pytest.approx(roc_auc_score(LABELS[real], P[real]))


def test_a_mean_over_tracks_is_a_ratio_of_sums_by_session() -> None:
    total, count = mean_over(P, LABELS == 0)

    assert total == pytest.approx([0.5, 0.8, 0.6])
    assert count.tolist() == [1, 2, 3]


def test_positions_count_from_a_session_s_first_track() -> None:
    found = score_positions(LABELS, P)

    assert positions(LABELS).tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3]]
    assert [(at.position, at.tracks) for at in found] == [(1, 3), (2, 3), (3, 3), (4, 1)]
    first = found[0]
    assert first.share_not_skipped == pytest.approx(2 / 3)
    assert first.log_loss.value == pytest.approx(-np.log([0.9, 0.4, 0.9]).mean())
    assert first.calibration_gap.value == pytest.approx((0.9 + 0.4 + 0.1) / 3 - 2 / 3)
    assert found[3].log_loss.low <= found[3].log_loss.value <= found[3].log_loss.high


def test_no_session_has_no_position() -> None:
    assert positions(np.empty((0, 4))).shape == (0, 4)


def test_an_interval_of_dependent_tracks_is_that_of_their_sessions() -> None:
    values = np.repeat(np.random.default_rng(1).random((40, 1)), 4, axis=1)  # four equal tracks a session
    [of_tracks] = estimate_ratios(*(side[:, None] for side in mean_over(values, values >= 0)))
    [of_sessions] = estimate_means(values[:, :1])

    assert of_tracks.value == pytest.approx(of_sessions.value)
    assert of_tracks.low == pytest.approx(of_sessions.low)
    assert of_tracks.high == pytest.approx(of_sessions.high)


def test_a_ratio_of_few_sessions_leaves_out_resamples_without_them() -> None:
    [found] = estimate_ratios(np.array([[6.0], [0.0], [0.0]]), np.array([[2.0], [0.0], [0.0]]))
    assert (found.low, found.value, found.high) == (3, 3, 3)


def test_a_ratio_of_nothing_is_refused() -> None:
    message = refusal(ContractError, lambda: estimate_ratios(np.ones((3, 2)), np.zeros((3, 2))))
    assert_says(message, "2 of 2 ratios are of no row")


def test_a_model_of_last_tracks_alone_does_not_answer_every_track() -> None:
    assert answers_every_track(LABELS, P)  # where there is no track, nothing is asked
    last = np.full(P.shape, NO)
    last[:, -1] = P[:, -1]
    assert not answers_every_track(LABELS, last)
    assert_says(refusal(ContractError, lambda: check_tracks(LABELS, last)), "7 of 10 probabilities")


@pytest.mark.parametrize("score", [check_tracks, answers_every_track, session_aucs])
def test_probabilities_of_other_sessions_are_refused(score) -> None:
    message = refusal(ContractError, lambda: score(LABELS, P[:2]))
    assert_says(message, "(3, 4)", "(2, 4)", "same split")
