"""Several tracks for one history: each gets the answer that it would get alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skip_pipeline import schema, serving
from skip_pipeline.errors import BadInputError
from skip_pipeline.metrics.calibration import within
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.batch import prediction_table
from skip_pipeline.serving.requests import sessions_of_records
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TRACKS, assert_says, refusal
from skip_pipeline_tests.serving.small_models import EARLY, SESSIONS, copied, pack, request, request_of

FEATURES = {name: value for name, value in TRACKS[0].items() if name != "track_id"}
IDS = [row["track_id"] for row in TRACKS]


@pytest.fixture(scope="module")
def calibrated(layout: DataLayout, tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return serving.load(pack(copied(layout, tmp_path_factory.mktemp("calibrated")), slope=2.0))


@pytest.fixture(scope="module")
def of_last_tracks(layout: DataLayout, tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    own = copied(layout, tmp_path_factory.mktemp("last"))
    return serving.load(pack(own, last_tracks_alone=True))


def alone(rows: list[Any], track: object) -> dict[str, Any]:
    """A request for one track."""
    asked = request(rows)
    return asked | (
        {"next_track_id": track} if isinstance(track, str) else {"next_track_id": None, "next_track": track}
    )


def test_each_candidate_gets_what_it_gets_alone(calibrated: ServedModel) -> None:
    played = SESSIONS[2][0]["track_id_clean"]
    asked: list[list[object]] = [
        [*reversed(IDS)],
        ["t_01"],
        ["t_new", played, FEATURES | {"tempo": 3.0}, "t_02", FEATURES],
        ["t_03"],
        [*IDS[:5]],
    ]
    many = sessions_of_records([request_of(SESSIONS[i], tracks) for i, tracks in enumerate(asked)])
    found = calibrated.score(many)
    one_by_one = [alone(SESSIONS[i], track) for i, tracks in enumerate(asked) for track in tracks]
    expected = calibrated.score_records(one_by_one)
    np.testing.assert_allclose(found.p_skip, expected.p_skip, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.p_flags, expected.p_flags, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.known_track, expected.known_track)
    assert found.known_track[[20 + 1, 20 + 3]].tolist() == [False, True]  # t_new, and features
    assert len(set(found.p_skip.round(9))) == len(found.p_skip)

    table = prediction_table(many, found, "1").to_pydict()
    assert table["session_id"] == [record["session_id"] for record in one_by_one]
    assert table["track_id"] == [record["next_track_id"] for record in one_by_one]


def test_sessions_with_as_many_candidates_are_one_run_of_the_network(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def watched(network: object, inputs: dict[str, np.ndarray]) -> np.ndarray:
        shapes.append(inputs["last_track"].shape[:2])
        n, tracks = shapes[-1]
        return np.full((n, schema.STEPS + tracks, 4), 0.5)

    monkeypatch.setattr("skip_pipeline.serving.model.predict_outcomes", watched)
    tracks = (IDS[:3], IDS[:1], IDS[3:6], IDS[:2])
    records = [request_of(rows, own) for rows, own in zip(SESSIONS, tracks, strict=False)]
    model.score_records(records)
    assert shapes == [(1, 1), (1, 2), (2, 3)]
    shapes.clear()
    monkeypatch.setattr("skip_pipeline.serving.model.PREDICTION_BATCH_SIZE", 2)  # 2 sessions of 20 tracks
    model.score_records([request_of(rows, IDS[:11]) for rows in SESSIONS[:3]])
    assert shapes == [(1, 11)] * 3


def test_flags_are_nested_and_fit_the_calibrated_probability(
    model: ServedModel, calibrated: ServedModel
) -> None:
    records = [request_of(rows, IDS) for rows in SESSIONS]
    plain, corrected = model.score_records(records), calibrated.score_records(records)
    assert np.abs(plain.p_skip - corrected.p_skip).max() > 0.05
    for scores in (plain, corrected):
        np.testing.assert_allclose(scores.p_flags, scores.p_skip[:, None] * list(EARLY), rtol=1e-5)


@pytest.mark.parametrize("p_not_skipped", [0.0, 1e-30, 0.3, 1.0 - 1e-8, 1.0])
def test_flags_stay_nested_at_the_ends(p_not_skipped: float) -> None:
    skipped = np.float32(1.0 - p_not_skipped)
    outcomes = np.array([[0.0, skipped / 2, skipped, p_not_skipped]])
    for p_skip in (1e-6, 0.5, 1.0 - 1e-6):
        early = within(outcomes, np.array([p_skip]))[0]
        assert 0.0 <= early[0] <= early[1] <= early[2] <= p_skip


def test_a_network_of_last_tracks_answers_for_one_and_tells_no_flags(of_last_tracks: ServedModel) -> None:
    scores = of_last_tracks.score_records([alone(SESSIONS[0], "t_01"), request_of(SESSIONS[0], ["t_01"])])
    assert scores.p_skip[0] == scores.p_skip[1]
    assert np.isnan(scores.p_flags).all()
    records = [request(SESSIONS[0]), request_of(SESSIONS[1], IDS)]
    message = refusal(BadInputError, lambda: of_last_tracks.score_records(records))
    assert_says(
        message,
        "session 1 of the request (session_id 's1')",
        "candidates is a list of 20, expected one track",
        "Serve a model of preset fast",
    )


def test_a_network_of_last_tracks_refuses_another_track(of_last_tracks: ServedModel) -> None:
    records = [request(SESSIONS[0]), request(SESSIONS[1], earlier=4)]
    message = refusal(BadInputError, lambda: of_last_tracks.score_records(records))
    assert_says(
        message,
        "session 1 of the request (session_id 's1')",
        "the next track is number 5 of 11",
        "expected the last one",
        "Serve a model of preset fast",
    )


def test_a_long_list_is_one_answer_for_each(model: ServedModel) -> None:
    names = [f"t_new_{i}" for i in range(1_000)]
    scores = model.score_records([request_of(SESSIONS[0], names)])
    assert scores.p_skip.shape == (1_000,)
    assert not scores.known_track.any()


def test_the_memory_of_tracks_is_used(layout: DataLayout, tmp_path: Path, model: ServedModel) -> None:
    known, unknown = model.score_records([alone(SESSIONS[0], FEATURES), alone(SESSIONS[0], "t_01")]).p_skip
    assert known != unknown  # the same features, with and without what other sessions did
