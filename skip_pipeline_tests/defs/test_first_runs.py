"""State that processes share is created by one of them, and the others wait for it."""

import multiprocessing
from pathlib import Path

import pytest

from skip_pipeline.defs.mlflow_store import mlflow_client
from skip_pipeline_tests.defs import opening

pytestmark = pytest.mark.slow

PROCESSES = 3


@pytest.mark.parametrize("named", [False, True], ids=["own home", "DAGSTER_HOME"])
def test_processes_that_start_at_once_create_one_home_and_one_store(tmp_path: Path, named: bool) -> None:
    home = tmp_path / "home" if named else None
    if home:
        home.mkdir()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([opening.__name__, "mlflow"])
    together, results = processes.Barrier(PROCESSES), processes.Queue()
    started = [
        processes.Process(target=opening.open_both, args=(tmp_path / "data", home, together, results))
        for _ in range(PROCESSES)
    ]
    for process in started:
        process.start()
    found = [results.get(timeout=240) for _ in started]
    for process in started:
        process.join()

    assert found == [(0, ["Default"])] * PROCESSES


def test_a_store_whose_creation_was_cut_short_is_created_anew(tmp_path: Path) -> None:
    (tmp_path / ".mlflow.db.new").write_bytes(b"half a database")
    client = mlflow_client(f"sqlite:///{tmp_path / 'mlflow.db'}")

    assert [found.name for found in client.search_experiments()] == ["Default"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".creating", ".db"]
