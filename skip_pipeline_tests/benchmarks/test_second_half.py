"""Rivals' decisions, draws of second halves, and the table of the benchmark of the challenge's task."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import second_half, second_half_rivals
from benchmarks.second_half_draws import second_halves
from benchmarks.second_half_rivals import NETWORK, Halves
from skip_pipeline.bundles.second_half import skips
from skip_pipeline.metrics.challenge import SessionScores
from skip_pipeline.networks.listening import log_column
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.laws.registry import LAWS
from skip_pipeline.world.world import World
from skip_pipeline_tests.tiny_bundle import tiny_bundle

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def splits() -> dict[str, Arrays]:
    return {name: tiny_bundle(60, seed) for seed, name in enumerate(("train", "validation", "held_out"))}


def by_session(flat: np.ndarray, tracks: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(flat, np.cumsum(tracks)[:-1])]


# --- Rivals -----------------------------------------------------------------------------------------------


def test_the_rules_repeat_what_was_heard(splits: dict[str, Arrays]) -> None:
    decided = second_half_rivals.by_rules(splits, seed=0)
    test = Halves.of(splits["held_out"])
    assert test.truth.tolist() == skips(splits["held_out"]).tolist()
    for name in decided:
        assert decided[name].dtype == np.uint8
        assert len(decided[name]) == test.tracks.sum()
    last, majority = (
        by_session(decided[name], test.tracks) for name in ("last action", "majority of the first half")
    )
    flags = splits["held_out"]["session_log"][:, :, log_column("skip_2")]
    for number, length in enumerate(test.lengths.tolist()):
        heard = flags[number, 20 - length :][: length // 2]
        assert set(last[number]) == {int(heard[-1])}
        expected = heard[-1] if heard.mean() == 0.5 else heard.mean() > 0.5
        assert set(majority[number]) == {int(expected)}


def test_a_session_ends_with_its_first_half_and_one_track_of_the_second(splits: dict[str, Arrays]) -> None:
    arrays = splits["held_out"]
    test = Halves.of(arrays)
    made = second_half_rivals._next_only(arrays, test.tracks, position=2)
    tracks = np.concatenate([arrays["previous_tracks"], arrays["last_track"][:, None]], axis=1)
    for number, length in enumerate(test.lengths.tolist()):
        half, first = length // 2, 20 - length
        for name, padding in (("session_log", 0.0), ("previous_tracks", 0.0), ("skip_sequence", 9.0)):
            np.testing.assert_array_equal(
                made[name][number, 19 - half :], arrays[name][number, first : first + half]
            )
            assert (made[name][number, : 19 - half] == padding).all()
        np.testing.assert_array_equal(made["last_track"][number], tracks[number, first + half + 2])
        for name in ("track_numbers", "track_memory"):
            kept = np.append(np.arange(first, first + half), first + half + 2)
            np.testing.assert_array_equal(made[name][number, 19 - half :], arrays[name][number, kept])


def test_encoder_and_decoder_read_the_two_halves(splits: dict[str, Arrays]) -> None:
    mean, scale = np.zeros(65), np.ones(65)
    made = second_half_rivals._sequences(splits["held_out"], mean, scale)
    test = Halves.of(splits["held_out"])
    assert made.skipped[made.real > 0].tolist() == test.truth.tolist()
    log = np.log1p(splits["held_out"]["session_log"])
    for number, length in enumerate(test.lengths.tolist()):
        half, first = length // 2, 20 - length
        np.testing.assert_allclose(
            made.heard[number, 10 - half :, :35], log[number, first : first + half], rtol=1e-6
        )
        assert not made.heard[number, : 10 - half].any()
        second = splits["held_out"]["previous_tracks"][number, first + half :, 1:]
        np.testing.assert_allclose(made.tracks[number, : length - half - 1, :30], second, rtol=1e-6)
        assert not made.tracks[number, length - half :].any()


# --- Draws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS)
def test_draws_agree_with_what_happened(law: str) -> None:
    """Over all sessions the drawn rate of skips is the true one, and the state tells more than the past."""
    world = World(Extent(400), 500, seed=1, law=law)
    losses = {}
    for given in ("past", "state"):
        rng = np.random.default_rng(0)
        halves = list(second_halves(world, 0, 40, rng, given))
        assert sorted(np.concatenate([each.rows for each in halves]).tolist()) == list(range(400))
        p = np.concatenate([each.drawn.mean(axis=1).ravel() for each in halves])
        y = np.concatenate([each.happened.ravel() for each in halves])
        assert abs(p.mean() - y.mean()) < 0.04
        losses[given] = np.square(p - y).mean()
        assert losses[given] < y.mean() * (1 - y.mean())
    if law != "habits":  # which has no hidden state
        assert losses["state"] < losses["past"]


def test_only_wanted_sessions_are_drawn() -> None:
    world = World(Extent(50), 500, seed=1)
    wanted = np.arange(50) % 7 == 0
    halves = second_halves(world, 0, 5, np.random.default_rng(0), "past", wanted)
    assert sorted(np.concatenate([each.rows for each in halves]).tolist()) == list(range(0, 50, 7))


# --- Runs and table ---------------------------------------------------------------------------------------


def scores(*average: float) -> SessionScores:
    return SessionScores(np.array(average), np.array(average) > 0.5)


def test_the_table_tells_shares_and_paired_differences() -> None:
    scored = {
        "last action": {0: scores(0.4, 0.6), 1: scores(0.4, 0.6)},
        NETWORK: {0: scores(0.6, 0.8), 1: scores(0.6, 0.8)},
        second_half.BEST: {0: scores(0.8, 1.0)},
        "trees": {1: scores(0.5, 0.7)},
    }
    lines = second_half.table("law (synthetic)", scored).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines[4:]}
    assert list(rows) == ["last action", "trees", NETWORK, second_half.BEST]
    assert "| 2 | 0.7000 | 1.0000 |" in rows[NETWORK]
    assert rows[NETWORK].endswith("| 0.500 |")
    assert "-0.1000 (-0.1000 to -0.1000)" in rows["trees"]
    assert rows["trees"].endswith("|  |")  # no seed has it and the best possible
    assert rows[second_half.BEST].endswith("| 1.000 |")


def test_a_run_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(second_half, "in_new_process", lambda task, *of: task(*of))
    sizes = ["--sessions", "200", "--tracks", "500", "--seed", "0", "--every", "1", "--draws", "5"]
    arguments = ["--out", str(tmp_path), *sizes]
    assert second_half.main([*arguments, "--only", "rules"]) == 0
    assert "rules" in capsys.readouterr().out
    kept = (tmp_path / "calibrated-200-0" / "rules-1.npz").read_bytes()
    assert second_half.main([*arguments, "--only", "rules", "past"]) == 0
    assert capsys.readouterr().out.count(" s\n") == 1
    assert (tmp_path / "calibrated-200-0" / "rules-1.npz").read_bytes() == kept
    text = (tmp_path / "second_half.md").read_text()
    assert "say nothing of real listeners" in text
    assert "| best possible given the past |" in text
