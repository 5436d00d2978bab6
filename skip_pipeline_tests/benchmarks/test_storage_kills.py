"""The benchmark's kills, a few of them: real processes, a real server, SIGKILL."""

import pytest

from benchmarks import storage_kills
from skip_pipeline.storage import publish


@pytest.mark.slow
@pytest.mark.usefixtures("s3_bucket")  # for the server that its environment leads to
def test_killed_runs_over_s3_leave_whole_generations_and_the_next_run_completes(monkeypatch):
    monkeypatch.setattr(storage_kills, "DAYS", 1)
    lines: list[str] = []
    found = storage_kills.measure(2, seed=1, tell=lines.append)
    assert found.faults == ()
    assert len(found.kills) == len(lines) == 2
    assert found.read_whole > 0


def test_a_file_that_differs_from_its_manifest_is_a_fault(s3_bucket, monkeypatch):
    monkeypatch.setattr(storage_kills, "URL", str(s3_bucket))
    monkeypatch.setattr(storage_kills, "STAGES", {"track_features": "track_feature_summaries"})
    folder = storage_kills.layout().track_feature_summaries
    with publish(folder, stage="track_features", data_source="real") as staging:
        staging.path("a.txt").write_text("1")
    staging.manifest.path("a.txt").write_text("2")
    reads = storage_kills.Reads()
    storage_kills.read_once(reads)
    assert reads.torn == ["track_features 1: a.txt"]
