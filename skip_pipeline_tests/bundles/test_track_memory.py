"""What training sessions leave about each track, and the arrays that hold it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles import track_memory
from skip_pipeline.bundles.track_memory import (
    FOLDS,
    MEMORY_FILES,
    Remembered,
    TrackMemory,
    read_memory,
    remember,
    write_memory,
)
from skip_pipeline.errors import ContractError, MissingInputError, TrainingError
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.networks.literal_sessions import bundle
from skip_pipeline_tests.stages.shard_builders import shard

Arrays = dict[str, np.ndarray]

APPEAL, PLAYS, COMPANY = 0, 1, slice(2, None)


def sessions_of(numbers: np.ndarray, played: np.ndarray) -> Arrays:
    """Sessions of 20 tracks, by number and outcome: (n, 20) each."""
    return {
        "track_numbers": numbers.astype(np.float32),
        "skip_sequence": played[:, :-1, None].astype(np.float32),
        schema.LABEL: played[:, -1].astype(np.float32),
    }


def random_sessions(n: int, tracks: int, appeal: np.ndarray | float = 0.0, seed: int = 0) -> Arrays:
    """Sessions of random tracks, each played to its end by its appeal alone, in log-odds."""
    random = np.random.default_rng(seed)
    numbers = random.integers(0, tracks, (n, 20))
    chances = 1 / (1 + np.exp(-np.broadcast_to(appeal, tracks)[numbers]))
    return sessions_of(numbers, random.random((n, 20)) < chances)


def with_other_outcomes(sessions: Arrays, which: int) -> Arrays:
    """The sessions with every outcome of one of them turned round."""
    other = {name: values.copy() for name, values in sessions.items()}
    for name in ("skip_sequence", schema.LABEL):
        other[name][which] = 1 - other[name][which]
    return other


@pytest.fixture(scope="module")
def appeals() -> np.ndarray:
    """Of 60 tracks, half of which are liked."""
    return np.where(np.arange(60) % 2, 1.5, -1.5)


@pytest.fixture(scope="module")
def sessions(appeals: np.ndarray) -> Arrays:
    return random_sessions(200, 60, appeals)


@pytest.fixture(scope="module")
def memory(sessions: Arrays) -> TrackMemory:
    return TrackMemory.fit(sessions, 62)  # of which two were never played


# --- Appeal and plays -----------------------------------------------------------------------------------


def test_appeal_tells_tracks_that_are_liked_and_is_in_log_odds(
    memory: TrackMemory, appeals: np.ndarray
) -> None:
    appeal = memory.values[:60, APPEAL].astype(float)
    assert (np.sign(appeal) == np.sign(appeals)).all()
    assert np.abs(appeal).mean() == pytest.approx(1.5, abs=0.3)


def test_plays_are_log_1_plus_the_plays_of_each_track(memory: TrackMemory, sessions: Arrays) -> None:
    plays = np.bincount(sessions["track_numbers"].astype(int).ravel(), minlength=62)
    np.testing.assert_allclose(memory.values[:, PLAYS], np.log1p(plays), atol=2e-3)


def test_a_track_that_nobody_played_has_zeros(memory: TrackMemory) -> None:
    assert not memory.values[60:].any()
    assert not memory.without_fold[:, 60:].any()


def test_padding_is_not_a_play() -> None:
    memory = TrackMemory.fit(bundle(["pp1p", "1u1p", "p31"]), 6)
    np.testing.assert_allclose(memory.values[:, PLAYS], np.log1p([3, 3, 3, 2, 0, 0]), atol=2e-3)


def test_where_tracks_do_not_differ_appeals_vanish() -> None:
    """The estimated variance is then near its least value, and a hundred plays hardly move a track."""
    alike = TrackMemory.fit(random_sessions(400, 80), 80)
    assert np.abs(alike.values[:, APPEAL]).max() < 0.2


@pytest.mark.parametrize("deviation", [0.0, 0.25, 0.5])
def test_the_variance_of_appeals_is_that_of_their_distribution(deviation: float) -> None:
    appeals = np.random.default_rng(1).normal(0, deviation, 300)
    training = random_sessions(1000, 300, appeals)
    [variance] = track_memory._variances(training, track_memory._fit_expectation(training), 300, [])
    assert variance == pytest.approx(max(deviation**2, 1e-3), rel=0.3, abs=0.005)


def test_an_appeal_is_what_the_other_outcomes_of_a_session_do_not_explain() -> None:
    """Tracks 0 to 19 are played by listeners who play everything, 20 to 39 by those who skip everything."""
    patient = np.arange(200) % 2 == 0
    random = np.random.default_rng(0)
    numbers = random.integers(0, 20, (200, 20)) + np.where(patient, 0, 20)[:, None]
    played = np.where(random.random((200, 20)) < 0.9, patient[:, None], ~patient[:, None])
    appeal = TrackMemory.fit(sessions_of(numbers, played), 40).values[:, APPEAL].astype(float)
    assert abs(appeal[:20].mean() - appeal[20:].mean()) < 0.5  # their log-odds differ by 4.4


@pytest.mark.parametrize("outcome", "p1")
def test_sessions_of_one_outcome_are_refused(outcome: str) -> None:
    message = refusal(TrainingError, lambda: TrackMemory.fit(bundle([outcome * 12] * 4), 12))
    assert_says(message, "no track of the training sessions was played", "expected both", "more sessions")


def test_the_expectation_is_fitted_on_the_first_sessions_with_both_outcomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(track_memory, "_ROWS_OF_REGRESSION", 2 * 20)
    training = bundle(["p" * 12] * 2 + ["p1" * 6] * 2)
    whole = track_memory._fit_expectation(training)
    half = track_memory._fit_expectation({name: values[2:] for name, values in training.items()})
    np.testing.assert_array_equal(whole, half)


def test_sessions_taken_in_several_parts_give_the_same(
    memory: TrackMemory, sessions: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_memory, "_SESSIONS_AT_ONCE", 41)
    again = TrackMemory.fit(sessions, 62)
    np.testing.assert_allclose(again.values.astype(float), memory.values.astype(float), atol=2e-3)
    np.testing.assert_allclose(again.without_fold.astype(float), memory.without_fold.astype(float), atol=2e-3)


# --- Artists and albums ---------------------------------------------------------------------------------

# Tracks 0 to 119, three an album and three albums an artist; and 120 to 122, which nobody played: of album 0,
# of another album of the same artist, and of an artist of its own.
GROUPS = np.column_stack([np.arange(123) // 9, np.arange(123) // 3])
GROUPS[120:] = [0, 0], [0, 50], [99, 51]


def sessions_of_artists(deviation: float, seed: int = 0) -> tuple[Arrays, np.ndarray]:
    """Sessions of the first 120 tracks, whose appeals deviate from those of their artists by 0.3."""
    random = np.random.default_rng(seed)
    appeals = random.normal(0, deviation, 14)[GROUPS[:120, 0]] + random.normal(0, 0.3, 120)
    return random_sessions(400, 120, appeals, seed), appeals


def test_a_track_that_nobody_played_has_the_appeal_of_its_album_or_artist() -> None:
    training, appeals = sessions_of_artists(1.5)
    memory = TrackMemory.fit(training, 123, GROUPS)
    of_album, of_artist, of_nobody = memory.values[120:, APPEAL].astype(float)
    assert of_album == pytest.approx(appeals[:3].mean(), abs=0.4)
    assert of_artist == pytest.approx(appeals[:9].mean(), abs=0.4)
    assert of_nobody == 0.0
    assert not memory.values[120:, PLAYS].any()


def test_a_track_with_few_plays_is_near_its_artist_and_one_with_many_is_not() -> None:
    training, _ = sessions_of_artists(1.5)
    training["track_numbers"][0, 0] = 122  # its artist is now that of the first nine tracks
    groups = np.where(np.arange(123)[:, None] == 122, [0, 51], GROUPS)
    groups[119] = 0, 52  # played in dozens of sessions
    alone, grouped = (TrackMemory.fit(training, 123, each).values[:, APPEAL] for each in (None, groups))
    artist = grouped[121]  # never played
    assert abs(grouped[122] - artist) < abs(alone[122] - artist) / 2
    assert abs(grouped[119] - alone[119]) < 0.15


def test_where_artists_do_not_differ_groups_change_little() -> None:
    training = random_sessions(400, 120, np.random.default_rng(3).normal(0, 1, 120))
    alone, grouped = (TrackMemory.fit(training, 123, each).values[:120, APPEAL] for each in (None, GROUPS))
    assert np.abs(alone.astype(float) - grouped.astype(float)).max() < 0.15


def test_groups_that_are_one_track_each_change_nothing_but_the_prior_s_shape() -> None:
    training, _ = sessions_of_artists(1.0)
    own = np.column_stack([np.arange(123), np.arange(123)])
    alone, grouped = (TrackMemory.fit(training, 123, each).values for each in (None, own))
    np.testing.assert_allclose(alone.astype(float), grouped.astype(float), atol=0.01)


@pytest.mark.parametrize("deviation", [0.0, 0.5])
def test_variances_are_those_of_tracks_albums_and_artists(deviation: float) -> None:
    """Of 300 artists, whose albums do not differ."""
    random = np.random.default_rng(1)
    groups = np.column_stack([np.arange(1800) // 6, np.arange(1800) // 2])
    appeals = random.normal(0, deviation, 300)[groups[:, 0]] + random.normal(0, 0.5, 1800)
    training = random_sessions(2500, 1800, appeals)
    expectation = track_memory._fit_expectation(training)
    of_tracks, of_albums, of_artists = track_memory._variances(
        training, expectation, 1800, track_memory._parents(groups)
    )
    assert of_artists == pytest.approx(max(deviation**2, 1e-3), rel=0.3, abs=0.005)
    assert of_tracks == pytest.approx(0.25, rel=0.3)
    assert of_albums < 0.03


def test_appeals_are_at_the_mode_of_their_posterior() -> None:
    """The gradient over the effects of tracks, albums and artists is zero there."""
    training, _ = sessions_of_artists(1.0)
    expectation, parents = track_memory._fit_expectation(training), track_memory._parents(GROUPS)
    variances = track_memory._variances(training, expectation, 123, parents)
    appeals = np.tile(TrackMemory.fit(training, 123, GROUPS).values[:, APPEAL].astype(float), (FOLDS + 1, 1))
    gradient = track_memory._sums(training, expectation, appeals)[0, -1]
    # An effect at the mode is its variance times the sum of the gradients of its tracks.
    album, artist = parents[0], parents[1][parents[0]]
    effects = variances[0] * gradient
    for variance, group in zip(variances[1:], (album, artist), strict=True):
        effects = effects + variance * np.bincount(group, gradient)[group]
    np.testing.assert_allclose(appeals[-1], effects, atol=0.02)


def test_two_artists_share_no_album_of_a_number() -> None:
    album, artist = track_memory._parents(np.array([[5, 1], [5, 1], [8, 1], [8, 2]]))
    assert album.tolist() == [0, 0, 1, 2]
    assert artist.tolist() == [0, 1, 1]


def test_a_training_session_s_outcomes_do_not_reach_it_through_its_artists() -> None:
    """Session 5 alone played tracks 120 to 139, all of one artist."""
    training, _ = sessions_of_artists(1.0)
    training["track_numbers"][5] = np.arange(120, 140)
    groups = np.concatenate([GROUPS[:120], np.column_stack([np.full(20, 77), np.arange(20) // 4 + 100])])
    for sessions in (training, with_other_outcomes(training, 5)):
        fitted = TrackMemory.fit(sessions, 140, groups)
        own = fitted.of(sessions["track_numbers"][5:6], training=True)[0]
        assert not own[:, : COMPANY.start].any()


# --- Out of fold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 7])
def test_a_training_session_s_own_outcomes_do_not_reach_its_memory(
    memory: TrackMemory, sessions: Arrays, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They reach the appeals that everybody else sees, and for all the expectation and the variance."""
    expectation = track_memory._fit_expectation(sessions)
    variances = track_memory._variances(sessions, expectation, 62, [])
    monkeypatch.setattr(track_memory, "_fit_expectation", lambda *_: expectation)
    monkeypatch.setattr(track_memory, "_variances", lambda *_: variances)
    other = TrackMemory.fit(with_other_outcomes(sessions, which), 62)
    numbers = sessions["track_numbers"][which : which + 1]
    own, everybody = (
        other.of(numbers, training=training) - memory.of(numbers, training=training)
        for training in (True, False)
    )
    assert not own.any()
    assert np.abs(everybody[0, :, APPEAL]).mean() > 0.05


def test_tracks_that_one_session_alone_played_tell_that_session_nothing() -> None:
    """Not even if all its outcomes change: to itself its tracks were never played."""
    training = random_sessions(60, 40, np.linspace(-2, 2, 40))
    training["track_numbers"][5] = np.arange(40, 60)
    for sessions in (training, with_other_outcomes(training, 5)):
        fitted = TrackMemory.fit(sessions, 60)
        own = fitted.of(sessions["track_numbers"][5:6], training=True)[0]
        assert not own[:, : COMPANY.start].any()
        assert (fitted.of(sessions["track_numbers"][5:6])[0, :, PLAYS] > 0).all()


def test_memory_without_a_fold_is_that_of_the_other_folds(memory: TrackMemory, sessions: Arrays) -> None:
    fold = sessions["track_numbers"].astype(int).sum(axis=1) % FOLDS
    for number in range(FOLDS):
        others = TrackMemory.fit({name: values[fold != number] for name, values in sessions.items()}, 62)
        appeal, plays = memory.without_fold[number].astype(float).T
        np.testing.assert_allclose(plays, others.values[:, PLAYS], atol=2e-3)
        # Expectation and variance are those of all sessions.
        np.testing.assert_allclose(appeal, others.values[:, APPEAL], atol=0.1)


def test_validation_sessions_see_the_memory_of_all_training_sessions(
    memory: TrackMemory, sessions: Arrays
) -> None:
    splits = remember({"train": sessions, "validation": sessions}, memory)
    numbers = sessions["track_numbers"]
    np.testing.assert_array_equal(splits["validation"]["track_memory"][3:5], memory.of(numbers[3:5]))
    np.testing.assert_array_equal(
        splits["train"]["track_memory"][[9, 2]], memory.of(numbers[[9, 2]], training=True)
    )
    own, everybody = (splits[name]["track_memory"][:][:, :, PLAYS] for name in ("train", "validation"))
    assert (own < everybody).all()


# --- Company --------------------------------------------------------------------------------------------


def playlists() -> Arrays:
    """Sessions from 9 playlists of 20 tracks, with one track in four from any; outcomes are random."""
    random = np.random.default_rng(0)
    numbers = random.integers(0, 9, (300, 1)) * 20 + random.integers(0, 20, (300, 20))
    numbers = np.where(random.random((300, 20)) < 0.25, random.integers(0, 180, (300, 20)), numbers)
    return sessions_of(numbers, random.random((300, 20)) < 0.5)


def test_tracks_that_occur_together_have_like_company() -> None:
    company = TrackMemory.fit(playlists(), 180).values[:, COMPANY].astype(float)
    company /= np.linalg.norm(company, axis=1, keepdims=True)
    likeness = company @ company.T
    together = np.arange(180)[:, None] // 20 == np.arange(180) // 20
    assert likeness[together].min() > 0.5
    assert likeness[~together].mean() < 0


def test_company_reads_no_outcome_and_is_the_same_each_time() -> None:
    one = playlists()
    other = one | {"skip_sequence": 1 - one["skip_sequence"], schema.LABEL: 1 - one[schema.LABEL]}
    found = [TrackMemory.fit(each, 180).values[:, COMPANY] for each in (one, other)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0]).max() <= 4


def test_without_tracks_that_occur_together_there_is_no_company() -> None:
    assert not TrackMemory.fit(random_sessions(300, 60), 60).values[:, COMPANY].any()


@pytest.mark.parametrize(
    "numbers",
    [
        np.tile(np.arange(20), (60, 1)),  # every session plays the same tracks: no second direction
        np.arange(60 * 20).reshape(60, 20),  # no track in two sessions
        np.random.default_rng(0).integers(0, 30, (10, 20)),  # fewer sessions than coordinates
        np.random.default_rng(0).integers(0, 12, (60, 20)),  # fewer tracks than coordinates
    ],
    ids=["the same tracks", "no track twice", "few sessions", "few tracks"],
)
def test_too_little_to_tell_company_from_chance_gives_none(numbers: np.ndarray) -> None:
    played = np.random.default_rng(1).random(numbers.shape) < 0.5
    memory = TrackMemory.fit(sessions_of(numbers, played), 1200)
    assert not memory.values[:, COMPANY].any()


def test_a_track_of_a_single_session_has_no_company() -> None:
    training = playlists()
    training["track_numbers"][0, 3] = 180
    memory = TrackMemory.fit(training, 181)
    assert not memory.values[180, COMPANY].any()
    assert memory.values[:180, COMPANY].any(axis=1).all()


# --- Arrays ---------------------------------------------------------------------------------------------


def test_arrays_are_float16_and_as_large_as_the_tracks(memory: TrackMemory) -> None:
    assert memory.values.dtype == memory.without_fold.dtype == np.float16
    assert memory.values.shape == (62, schema.TRACK_MEMORY)
    assert memory.without_fold.shape == (FOLDS, 62, 2)
    assert np.isfinite(memory.values).all()


def test_what_is_looked_up_is_float32_with_zeros_in_padding(memory: TrackMemory) -> None:
    numbers = np.array([[-1] * 10 + list(range(10))], np.float32)
    for training in (True, False):
        found = memory.of(numbers, training=training)
        assert found.dtype == np.float32
        assert found.shape == (1, 20, schema.TRACK_MEMORY)
        assert not found[0, :10].any()
        assert found[0, 10:].any(axis=1).all()


def test_a_split_is_joined_to_its_memory_when_indexed(memory: TrackMemory) -> None:
    split = shard([10, 13, 20]).bundle()
    remembered = Remembered(split, memory)
    numbers = np.asarray(split["track_numbers"])

    assert list(remembered) == [*split, "track_memory"]
    assert len(remembered) == len(split) + 1
    assert remembered["last_track"] is split["last_track"]
    assert remembered["track_memory"].shape == (3, 20, schema.TRACK_MEMORY)
    assert len(remembered["track_memory"]) == 3
    for index in (slice(None), slice(1, 2), [2, 0], np.array([False, True, True])):
        np.testing.assert_array_equal(remembered["track_memory"][index], memory.of(numbers[index]))
    with pytest.raises(KeyError):
        remembered["tempo"]


def test_files_hold_what_was_written(memory: TrackMemory, tmp_path: Path) -> None:
    write_memory(tmp_path, memory)
    again = read_memory(tmp_path.joinpath, 62)
    np.testing.assert_array_equal(again.values, memory.values)
    np.testing.assert_array_equal(again.without_fold, memory.without_fold)


@pytest.mark.parametrize("name", MEMORY_FILES)
def test_a_missing_file_is_named(memory: TrackMemory, tmp_path: Path, name: str) -> None:
    write_memory(tmp_path, memory)
    (tmp_path / name).unlink()
    message = refusal(MissingInputError, lambda: read_memory(tmp_path.joinpath, 62))
    assert_says(message, f"holds no {name}", "materialize trained_model first")


@pytest.mark.parametrize("name", MEMORY_FILES)
def test_a_damaged_file_is_named(memory: TrackMemory, tmp_path: Path, name: str) -> None:
    write_memory(tmp_path, memory)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    message = refusal(ContractError, lambda: read_memory(tmp_path.joinpath, 62))
    assert_says(message, str(tmp_path / name), "not a readable array", "materialize trained_model again")


@pytest.mark.parametrize(
    ("array", "fact"),
    [
        (np.zeros((61, 98), np.float16), "is float16 (61, 98), expected float16 (62, 98)"),
        (np.zeros((62, 97), np.float16), "is float16 (62, 97), expected float16 (62, 98)"),
        (np.zeros((62, 98), np.float32), "is float32 (62, 98), expected float16 (62, 98)"),
    ],
)
def test_a_memory_of_other_tracks_or_of_another_size_is_refused(
    memory: TrackMemory, tmp_path: Path, array: np.ndarray, fact: str
) -> None:
    write_memory(tmp_path, memory)
    np.save(tmp_path / MEMORY_FILES[0], array)
    message = refusal(ContractError, lambda: read_memory(tmp_path.joinpath, 62))
    assert_says(
        message, str(tmp_path / MEMORY_FILES[0]), fact, "another table of tracks", "trained_model again"
    )
