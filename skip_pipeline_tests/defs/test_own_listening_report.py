"""The page about oneself in a run: made of own listening alone, and names stay in its folder."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.cli.run import headline
from skip_pipeline.definitions import defs
from skip_pipeline.report.make_own_listening import read_artist_names, read_artists
from skip_pipeline.settings import NAMES_FILE, OWN_LISTENING_MARKER, SYNTHETIC_MARKER, TRACK_GROUPS_FILE
from skip_pipeline_tests.builders import own_listening
from skip_pipeline_tests.projects import Project

PLANTED = "Planted & Sons"


def as_own_listening(raw: Path) -> None:
    """Turn synthetic raw files into those of an import: its session ids, groups of tracks and marker."""
    (raw / SYNTHETIC_MARKER).unlink()
    [path] = (raw / "training_set").glob("*.csv")
    log = pd.read_csv(path, dtype=str, keep_default_na=False)
    minutes = pd.factorize(log["session_id"])[0]
    start = pd.Timestamp("2018-07-01") + pd.to_timedelta(minutes, unit="m")
    log["session_id"] = [f"1_{each:%Y%m%dT%H%M%S}_000" for each in start]
    log.to_csv(path, index=False)
    tracks = sorted(set(log["track_id_clean"]))
    groups = pd.DataFrame({"track_id": tracks, "artist": [i % 9 for i in range(len(tracks))], "album": 0})
    groups.to_csv(raw / TRACK_GROUPS_FILE, index=False)
    days, sessions = log["date"], log["session_id"].nunique()
    counts = {"plays": len(log), "sessions": sessions, "tracks": len(tracks)}
    own_listening(raw, first_day=days.min(), last_day=days.max(), files={}, **counts)


def write_names(raw: Path) -> None:
    tracks = pd.read_csv(raw / TRACK_GROUPS_FILE)["track_id"]
    columns = [
        tracks,
        *([f"{PLANTED} {name} {i}" for i in range(len(tracks))] for name in schema.NAMES.names[1:]),
    ]
    table = pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema.NAMES)
    pq.write_table(table, raw / NAMES_FILE)


def logged_files(project: Project, run_id: str) -> set[str]:
    run = project.mlflow_runs(run_id)["own_listening_report"]
    return {file.path for file in project.mlflow_client().list_artifacts(run.info.run_id)}


@pytest.mark.slow
def test_own_listening_gets_a_page_and_names_stay_in_its_folder(project: Project) -> None:
    layout = project.layout
    as_own_listening(layout.raw)
    first = project.run("*own_listening_report")
    assert first.success, first.failures
    page = (layout.own_listening / "own_listening.html").read_text()
    found = json.loads((layout.own_listening / "newest_tenth.json").read_text())
    facts = project.metadata("own_listening_report")

    assert found["judged"]["sessions"] == 40
    assert found["trained"] + found["validated"] == 360
    assert found["first_day"] == "2018-07-01"
    assert [len(found["judged"][question]["models"]) for question in ("last", "every")] == [5, 5]
    assert facts["newest_tenth_last_track_log_loss"] > 0
    assert facts["dagster/row_count"] == json.loads((layout.raw / OWN_LISTENING_MARKER).read_text())["plays"]
    assert "artist 3" in page
    assert logged_files(project, first.run_id) == {"own_listening.html", "newest_tenth.json"}
    assert f"You:    {layout.own_listening / 'own_listening.html'}" in headline(layout, about_oneself=True)
    assert "You:" not in headline(layout)

    write_names(layout.raw)
    second = project.run("own_listening_report")
    assert second.success, second.failures
    assert PLANTED.replace("&", "&amp;") in (layout.own_listening / "own_listening.html").read_text()
    assert logged_files(project, second.run_id) == {"newest_tenth.json"}
    holding = {
        path.relative_to(layout.root).parts[0]
        for path in layout.root.rglob("*")
        if path.is_file() and PLANTED.split()[0].encode() in path.read_bytes()
    }
    assert holding == {"01_raw", "07_own_listening"}


@pytest.mark.slow
def test_of_other_data_nothing_is_made_and_nothing_fails(finished) -> None:
    project, outcome = finished

    assert outcome.success
    assert "own_listening_report" not in outcome.materialized
    assert "own_listening_report" not in project.mlflow_runs(outcome.run_id)
    assert not project.layout.own_listening.exists()


def test_the_nightly_job_includes_the_page() -> None:
    job = defs().resolve_job_def("retrain")

    assert "own_listening_report" in job.graph.node_dict


def test_artists_and_their_names_are_read_by_track(tmp_path: Path) -> None:
    tracks = pa.array(["t_0000002", "t_0000000", "t_0000001"])
    assert read_artists(tmp_path, tracks) == {}
    own_listening(tmp_path)
    assert read_artists(tmp_path, tracks) == {}
    (tmp_path / TRACK_GROUPS_FILE).write_text(
        "track_id,artist,album\nt_0000000,0,0\nt_0000001,1,1\nt_0000002,0,2\nt_0000003,2,3\n"
    )
    artists = read_artists(tmp_path, tracks)
    assert artists == {"t_0000000": 0, "t_0000001": 1, "t_0000002": 0}

    assert read_artist_names(tmp_path, artists) == {}
    rows = [("t_0000000", "Björk"), ("t_0000001", ""), ("t_0000002", "Björk"), ("t_0000003", "Nobody")]
    table = [
        dict.fromkeys(schema.NAMES.names, "x") | {"track_id": track, "artist": artist}
        for track, artist in rows
    ]
    pq.write_table(pa.Table.from_pylist(table, schema=schema.NAMES), tmp_path / NAMES_FILE)
    assert read_artist_names(tmp_path, artists) == {0: "Björk"}
