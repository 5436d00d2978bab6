"""A night's new files cost a night's work: what is made again when shards come, change, move or go."""

import shutil

import dagster as dg
import pyarrow.parquet as pq
import pytest

from skip_pipeline.stages import code_version
from skip_pipeline.stages import flow as stages
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.projects import Project, lasting_project

TABLES = ("merged_table", "encoded_table", "scaled_table")
SELECTION = "session_logs,track_features,merged_table,encoded_table,scaled_table"


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Logs of four nights and their tracks."""
    folder = tmp_path_factory.mktemp("nights")
    synthesize(folder, sessions=400, tracks=200, seed=2, days=4)
    return folder


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory, nights, template):
    """A data directory that has seen three nights; to be copied."""
    with lasting_project(tmp_path_factory.mktemp("three") / "data", nights, template) as project:
        (project.layout.raw / "oracle.parquet").unlink()
        fourth = logs(project)[3]
        fourth.rename(project.layout.root / fourth.name)
        assert project.run(SELECTION).success
        return project.layout.root


@pytest.fixture
def running(project: Project, nights, three_nights):
    """A project that has seen three nights; the fourth waits."""
    shutil.rmtree(project.layout.root)
    shutil.copytree(three_nights, project.layout.root)
    project.fourth = project.layout.raw / "training_set" / logs_in(nights)[3].name
    return project


def logs(project):
    return logs_in(project.layout.raw)


def logs_in(raw):
    return sorted((raw / "training_set").glob("*.csv"))


def made(project):
    """How many shards each table made in its latest run, of how many."""
    assert project.run(SELECTION).success
    instance = project.instance()
    counts = {}
    for name in TABLES:
        event = instance.get_latest_materialization_event(dg.AssetKey(name))
        metadata = event.asset_materialization.metadata
        counts[name] = (metadata["shards_made"].value, metadata["shards"].value)
    return counts


def rows(project):
    return {
        path.stem: pq.read_metadata(path).num_rows for path in project.layout.scaled.glob("log_*.parquet")
    }


def test_nothing_new_makes_nothing(running):
    assert made(running) == dict.fromkeys(TABLES, (0, 3))


def test_a_new_night_makes_one_shard_unless_it_widens_what_training_has_seen(running):
    (running.layout.root / running.fourth.name).rename(running.fourth)
    counts = made(running)
    assert counts["merged_table"] == counts["encoded_table"] == (1, 4)
    # A feature beyond the range of all nights before moves every scaled value.
    assert counts["scaled_table"] in ((1, 4), (4, 4))
    assert len(rows(running)) == 4


def test_a_changed_night_is_made_again(running):
    log = logs(running)[1]
    text = log.read_text()
    log.write_text(text.replace(",editorial_playlist,", ",catalog,"))
    counts = made(running)
    assert counts["merged_table"] == counts["encoded_table"] == (1, 3)


def test_a_removed_night_goes_everywhere(running):
    gone = logs(running)[0]
    gone.unlink()
    counts = made(running)
    assert counts["merged_table"] == counts["encoded_table"] == (0, 2)
    assert gone.stem not in rows(running)
    left = {path.stem for path in running.layout.merged.rglob("*") if gone.stem in path.name}
    assert left == set()


def test_a_renamed_night_leaves_nothing_under_its_old_name(running):
    old = logs(running)[2]
    old.rename(old.with_name("log_9_20180717_000000000000.csv"))
    made(running)
    assert set(rows(running)) == {path.stem for path in logs(running)}


def test_results_are_those_of_a_run_from_nothing(running, tmp_path):
    (running.layout.root / running.fourth.name).rename(running.fourth)
    made(running)
    kept = {p.name: pq.read_table(p) for p in running.layout.scaled.glob("log_*.parquet")}
    for folder in (running.layout.merged, running.layout.encoded, running.layout.scaled):
        shutil.rmtree(folder)
    assert made(running) == dict.fromkeys(TABLES, (4, 4))
    fresh = {p.name: pq.read_table(p) for p in running.layout.scaled.glob("log_*.parquet")}
    assert kept.keys() == fresh.keys()
    assert all(kept[name].equals(fresh[name]) for name in kept)


def test_changed_tracks_make_everything_again(running):
    tracks = next((running.layout.raw / "track_features").glob("*.csv"))
    text = tracks.read_text()
    tracks.write_text(text.replace(",major,", ",minor,"))
    assert made(running) == dict.fromkeys(TABLES, (3, 3))


def test_changed_code_makes_everything_again(running, monkeypatch):
    monkeypatch.setattr(stages, "stages_version", lambda: "another")
    assert made(running) == dict.fromkeys(TABLES, (3, 3))


def test_a_session_that_lies_in_an_old_and_a_new_file_is_noticed(running):
    copy = logs(running)[0].with_name("log_5_20180716_000000000000.csv")
    shutil.copy(logs(running)[0], copy)
    [message] = running.run("merged_table").failures
    assert "has rows in both" in message


def test_one_corrupt_night_costs_that_night_alone_when_it_is_mended(running):
    (running.layout.root / running.fourth.name).rename(running.fourth)
    corrupt = logs(running)[0]
    text = corrupt.read_text()
    corrupt.write_text(text.replace(",true,", ",maybe,", 1))
    [message] = running.run("merged_table").failures
    assert str(corrupt) in message
    assert "more failed" not in message
    corrupt.write_text(text)
    counts = made(running)
    # The mended night is as it was before; the new one was made in the run that failed.
    assert counts["merged_table"] == (0, 4)
    assert counts["encoded_table"] == (1, 4)


def test_the_code_version_follows_the_sources(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "stages").mkdir(parents=True)
    (package / "stages/merge.py").write_text("1")
    (package / "schema.py").write_text("1")
    monkeypatch.setattr(code_version, "_PACKAGE", package)
    version = code_version.stages_version.__wrapped__
    before = version()
    assert version() == before
    (package / "stages/merge.py").write_text("2")
    changed = version()
    (package / "report.py").write_text("not a stage")
    assert before != changed == version()
