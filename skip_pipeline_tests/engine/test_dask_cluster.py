"""Clusters that are found, lost, refused, and whose workers die."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

import skip_pipeline
from skip_pipeline.engine import dask_cluster, open_engine
from skip_pipeline.errors import EngineError
from skip_pipeline.settings import SINGLE_THREADED, EngineSettings
from skip_pipeline_tests.engine import work

pytestmark = pytest.mark.slow


def cluster_in_this_process(workers: int) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
    )


@pytest.fixture(scope="module")
def running() -> Iterator[LocalCluster]:
    with cluster_in_this_process(1) as cluster:
        yield cluster


def open_and_close(address: str, seconds: float = 0.5) -> None:
    with open_engine(EngineSettings(kind="dask", address=address, connect_seconds=seconds)):
        pass


def test_cluster_at_an_address_is_used_and_left_running(running: LocalCluster) -> None:
    for _ in range(2):
        with open_engine(EngineSettings(kind="dask", address=running.scheduler_address)) as engine:
            assert engine.workers == 1
            assert list(engine.map(work.double, range(3), label="double")) == [0, 2, 4]


def test_workers_started_here_have_one_thread_and_listen_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in SINGLE_THREADED:
        monkeypatch.delenv(variable, raising=False)
    with open_engine(EngineSettings(kind="dask", workers=1)) as engine:
        ((_, threads),) = engine.map(work.process_and_threads, [0], label="threads")
        (theirs,) = engine.map(work.addresses_listened_at, [0], label="addresses")
        ours = work.addresses_listened_at(0)

    assert threads == 1
    assert ours | theirs == {"127.0.0.1"}


def test_shard_that_kills_every_worker_is_named() -> None:
    with (
        open_engine(EngineSettings(kind="dask", workers=1, retries=1)) as engine,
        pytest.raises(EngineError, match=r"merged_table, shard 1 of 1: .*log_3\.csv.* workers died"),
    ):
        list(engine.map(work.die_of, [("log_3.csv", -9)], label="merged_table"))


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_address_that_is_no_scheduler_is_refused(answer: bytes | None) -> None:
    """The address refuses the connection, never answers, or answers in another protocol."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"

        def reply() -> None:
            with other.accept()[0] as connection:
                connection.recv(1)
                connection.sendall(answer or b"")
                connection.recv(1 << 16)

        thread = threading.Thread(target=reply)
        if answer is not None:
            other.listen()
        if answer:
            thread.start()
        with pytest.raises(EngineError, match=rf"No Dask scheduler answered at '{address}' .*dask scheduler"):
            open_and_close(address)
        if answer:
            thread.join()


def test_address_in_another_form_is_refused() -> None:
    with pytest.raises(EngineError, match=r"No Dask scheduler answered at 'nonsense://8786'"):
        open_and_close("nonsense://8786")


def test_scheduler_without_workers_is_refused() -> None:
    with (
        cluster_in_this_process(0) as empty,
        pytest.raises(EngineError, match=r"has no worker after 0\.5 s; start one with `dask worker tcp://"),
    ):
        open_and_close(empty.scheduler_address)


def test_scheduler_lost_in_the_middle_is_an_engine_error() -> None:
    with (
        cluster_in_this_process(1) as lost,
        open_engine(EngineSettings(kind="dask", address=lost.scheduler_address, connect_seconds=1)) as engine,
    ):
        results = engine.map(work.double, range(50), label="merged_table")
        assert next(results) == 0
        lost.close()
        with pytest.raises(
            EngineError, match=r"merged_table, shard .* connection to the Dask scheduler was lost"
        ):
            list(results)


def test_cluster_with_another_library_is_refused(
    running: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = dask_cluster.environment
    calls = tmp_path / "calls"

    def another_pyarrow_in_workers() -> dict[str, str]:
        first = not calls.exists()
        calls.touch()
        return here() if first else here() | {"pyarrow": "1.0"}

    monkeypatch.setattr(dask_cluster, "environment", another_pyarrow_in_workers)
    with pytest.raises(EngineError, match=r"has pyarrow 1\.0, this process .* No work was sent.*constraints"):
        open_and_close(running.scheduler_address, 5)


@pytest.mark.parametrize("init", ["", "raise ImportError('no package')"])
def test_worker_with_other_sources_of_the_package_is_refused(init: str, tmp_path: Path) -> None:
    """A worker of its own, which finds another package ``skip_pipeline``."""
    shutil.copytree(Path(skip_pipeline.__file__).parent, tmp_path / "skip_pipeline")
    (tmp_path / "skip_pipeline" / "__init__.py").write_text(init)
    with cluster_in_this_process(0) as empty:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", empty.scheduler_address, "--no-nanny"]
        worker = subprocess.Popen(
            [*command, "--no-dashboard"], env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path
        )
        try:
            with pytest.raises(EngineError, match=r"sources.*the same skip-pipeline"):
                open_and_close(empty.scheduler_address, 60)
        finally:
            worker.kill()
            worker.wait()


def test_workers_that_do_not_start_are_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_options: Any) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(dask_cluster, "LocalCluster", fail)
    with (
        pytest.raises(EngineError, match=r"did not start \(Nanny failed .*__main__.*engine 'processes'"),
        open_engine(EngineSettings(kind="dask")),
    ):
        pass


@pytest.mark.parametrize("missing", ["dask", "msgpack"])
def test_missing_extra_is_named_with_its_remedy(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in {"distributed", "dask"}]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "skip_pipeline.engine.dask_cluster", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    expected = EngineError if missing == "dask" else ModuleNotFoundError
    with (
        pytest.raises(expected, match=r"skip-pipeline\[cluster\]" if missing == "dask" else "msgpack"),
        open_engine(EngineSettings(kind="dask")),
    ):
        pass
