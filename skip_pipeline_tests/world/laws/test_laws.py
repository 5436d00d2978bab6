"""Every law: shares of outcomes, best predictions that come true, files that the pipeline accepts."""

from __future__ import annotations

import datetime as dt
import json
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from skip_pipeline.errors import RefusedError
from skip_pipeline.raw.folder import find_session_logs, find_track_features, synthetic_law
from skip_pipeline.raw.session_log import load_session_log
from skip_pipeline.raw.track_features import read_track_features
from skip_pipeline.stages.ingest import log_findings
from skip_pipeline.world.drift import Drift, DriftKind
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.laws import registry
from skip_pipeline.world.sessions import PLAYED
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline.world.world import Block, World

FloatArray = npt.NDArray[np.float64]
STATE, PAST = "p_not_skipped_given_state", "p_not_skipped_given_past"
OTHERS = [name for name in registry.LAWS if name != registry.DEFAULT]


@cache
def blocks(law: str) -> list[Block]:
    world = World(Extent(4000), 4000, 3, law=law)
    return [world.block(block) for block in range(2)]


def last_played(law: str) -> npt.NDArray[np.bool_]:
    ends = [b.behaviour.outcome[np.arange(len(b.places.lengths)), b.places.lengths - 1] for b in blocks(law)]
    return np.asarray(np.concatenate(ends) == PLAYED)


def chance(law: str, column: str) -> FloatArray:
    return np.concatenate([block.oracle.column(column).to_numpy() for block in blocks(law)]).astype(float)


def loss(chance: FloatArray | float, played: npt.NDArray[np.bool_]) -> float:
    return float(-np.log(np.where(played, chance, 1 - chance)).mean())


# --- Outcomes and best predictions ------------------------------------------------------------------------


@pytest.mark.parametrize("law", OTHERS)
def test_a_third_to_a_half_of_the_tracks_are_played(law: str) -> None:
    outcomes = np.concatenate([block.behaviour.outcome[block.places.used] for block in blocks(law)])
    shares = np.bincount(outcomes, minlength=5) / len(outcomes)
    assert 0.34 < shares[PLAYED] < 0.5
    assert 0.34 < last_played(law).mean() < 0.5
    assert (shares > 0.01).all()


@pytest.mark.parametrize("law", registry.LAWS)
@pytest.mark.parametrize("column", [STATE, PAST])
def test_chances_come_true_as_often_as_they_say(law: str, column: str) -> None:
    said, played = chance(law, column), last_played(law)
    order = np.array_split(np.argsort(said), 8)
    noise = [4 * np.sqrt((said[part] * (1 - said[part])).sum()) / len(part) for part in order]
    errors = [abs(played[part].mean() - said[part].mean()) for part in order]
    assert (np.array(errors) < noise).all()


@pytest.mark.parametrize("law", OTHERS)
def test_the_best_possible_is_better_than_a_constant_and_worse_than_knowing_the_state(law: str) -> None:
    played = last_played(law)
    past = loss(chance(law, PAST), played)
    assert 0.45 < past < 0.64
    assert loss(chance(law, STATE), played) <= past
    assert past < loss(float(played.mean()), played) - 0.03


@pytest.mark.parametrize("law", OTHERS)
def test_the_log_loss_of_the_best_possible_is_its_entropy(law: str) -> None:
    """A probability that is too sure, or not sure enough, loses more or less than it expects to."""
    said, played = chance(law, PAST), last_played(law)
    surprise = np.log(np.where(played, said, 1 - said)) - (
        said * np.log(said) + (1 - said) * np.log(1 - said)
    )
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(said))


# --- What each law says -----------------------------------------------------------------------------------


def agreement(law: str, lag: int) -> float:
    """Share of the pairs of tracks, ``lag`` apart in a session of 20, of which both or none are played."""
    outcome = np.concatenate([b.behaviour.outcome[b.places.lengths == 20] for b in blocks(law)])
    return float(((outcome[:, lag:] == PLAYED) == (outcome[:, :-lag] == PLAYED)).mean())


def test_states_change_within_a_session() -> None:
    assert agreement("changing_states", 1) > agreement("changing_states", 10) + 0.08
    assert agreement("track_appeal", 1) == pytest.approx(agreement("track_appeal", 10), abs=0.01)


def rates(world: World) -> FloatArray:
    """Share of the plays of each track that are to its end."""
    block = world.block(0)
    track = block.log.column("track_id_clean").to_numpy()
    played = block.log.column("not_skipped").to_numpy()
    return np.array([played[track == name].mean() for name in world.catalogue.ids.to_pylist()])


def test_a_track_has_the_same_appeal_to_other_listeners() -> None:
    first = World(Extent(2000), 30, 1, law="track_appeal")
    others = World(Extent(2000), 30, 2, catalogue_of=1, law="track_appeal")
    assert np.corrcoef(rates(first), rates(others))[0, 1] > 0.95
    assert rates(first).std() > 0.15


def test_energy_suits_the_evening_and_not_the_morning() -> None:
    effect = {}
    for hour in (6, 18):
        energy, played = [], []
        for block in blocks("regions"):
            near = np.abs(block.scene.listeners.minute // 60 - hour) <= 2
            used = block.places.used & near[:, None]
            energy.append(block.scene.contrasts[used][:, 4])
            played.append(block.behaviour.outcome[used] == PLAYED)
        effect[hour] = np.corrcoef(np.concatenate(energy), np.concatenate(played))[0, 1]
    assert effect[18] > 0.1
    assert effect[6] < -0.1


def test_habits_hide_nothing() -> None:
    assert np.array_equal(chance("habits", STATE), chance("habits", PAST))


def test_habits_follow_hour_and_last_outcome() -> None:
    played: dict[str, list[npt.NDArray[np.bool_]]] = {"night": [], "day": [], "again": []}
    for block in blocks("habits"):
        outcome, used = block.behaviour.outcome == PLAYED, block.places.used
        hour = block.scene.listeners.minute // 60
        played["night"].append(outcome[(hour < 6)][used[hour < 6]])
        played["day"].append(outcome[(hour > 12) & (hour < 19)][used[(hour > 12) & (hour < 19)]])
        both = used[:, 1:] & outcome[:, :-1]
        played["again"].append(outcome[:, 1:][both])
    share = {name: np.concatenate(parts).mean() for name, parts in played.items()}
    assert share["night"] > share["day"] + 0.2
    assert share["again"] > share["day"] + 0.15


# --- The world around them --------------------------------------------------------------------------------


@pytest.mark.parametrize("law", OTHERS)
def test_the_catalogue_and_the_tracks_dealt_do_not_depend_on_the_law(law: str) -> None:
    same = ["session_id", "session_position", "session_length", "track_id_clean"]
    logs = [World(Extent(30), 50, 4, law=name).block(0).log for name in (law, registry.DEFAULT)]
    assert logs[0].select(same).equals(logs[1].select(same))
    assert not logs[0].equals(logs[1])


@pytest.mark.parametrize("law", OTHERS)
def test_a_block_is_the_same_whatever_was_drawn_before(law: str) -> None:
    again = World(Extent(4000), 4000, 3, law=law).block(1)
    assert again.log.equals(blocks(law)[1].log)
    assert again.oracle.equals(blocks(law)[1].oracle)


SECOND_DAY = date(2018, 7, 16)


@cache
def quiet_days(law: str) -> list[Block]:
    return [World(Extent(4000, days=2), 2000, 5, law=law).block(block) for block in range(2)]


@pytest.mark.parametrize("law", OTHERS)
@pytest.mark.parametrize("kind", DriftKind)
def test_changes_on_a_day_work_with_every_law(law: str, kind: DriftKind) -> None:
    world = World(Extent(4000, days=2), 2000, 5, (Drift(kind, SECOND_DAY),), law=law)
    before, after = (world.block(block) for block in range(2))
    quiet = quiet_days(law)
    assert before.log.equals(quiet[0].log)
    assert not after.log.equals(quiet[1].log)
    played = [block.behaviour.outcome[block.places.used] == PLAYED for block in (quiet[1], after)]
    fewer = played[0].mean() - played[1].mean()
    assert (fewer > 0.05) == (kind is DriftKind.skip_rate)


@pytest.mark.parametrize("law", OTHERS)
def test_the_pipeline_accepts_the_files_and_finds_nothing_odd(tmp_path: Path, law: str) -> None:
    synthesize(tmp_path, sessions=60, tracks=80, seed=2, law=law)
    [path] = paths = find_session_logs(tmp_path)
    log, summary = load_session_log(path, among=paths, today=dt.date(2030, 1, 1))
    levels = [f for f in log_findings(summary, "") if f.name != "dates_plausible"]  # junk dates are published
    assert all(finding.passed for finding in levels)
    assert log.num_rows == summary.rows
    assert read_track_features(find_track_features(tmp_path)).num_rows == 80


# --- Names ------------------------------------------------------------------------------------------------


def test_the_marker_names_the_law(tmp_path: Path) -> None:
    for name in (registry.DEFAULT, "habits"):
        synthesize(tmp_path / name, sessions=3, tracks=4, seed=0, law=name)
    assert synthetic_law(tmp_path / "habits") == "habits"
    assert registry.LAWS["habits"] in json.loads((tmp_path / "habits/SYNTHETIC.json").read_text())["note"]
    assert synthetic_law(tmp_path / registry.DEFAULT) is None


def test_the_default_law_is_the_calibrated_one(tmp_path: Path) -> None:
    synthesize(tmp_path / "unnamed", sessions=30, tracks=40, seed=0)
    synthesize(tmp_path / "named", sessions=30, tracks=40, seed=0, law="calibrated")
    contents = [
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (tmp_path / "unnamed", tmp_path / "named")
    ]
    assert contents[0] == contents[1]


def test_an_unknown_law_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"law is 'weather', but must be .* choose calibrated, changing_"):
        synthesize(tmp_path / "out", sessions=3, tracks=4, seed=0, law="weather")
    assert not (tmp_path / "out").exists()


def test_every_law_that_is_described_can_be_prepared() -> None:
    for name in registry.LAWS:
        assert registry.prepare(name, np.random.default_rng(0), 3)
