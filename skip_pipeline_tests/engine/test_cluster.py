"""A Dask cluster on this machine: results, failures, deaths, and clusters that are refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest
from distributed import LocalCluster

from skip_pipeline.engine import Engine, open_engine, versions
from skip_pipeline.errors import BadInputError, EngineError
from skip_pipeline.settings import SINGLE_THREADED, EngineSettings
from skip_pipeline_tests.engine import work

DASK = EngineSettings(kind="dask", workers=2, shards_ahead=2)
HERE = dict.fromkeys(("Python", "numpy", "pyarrow"), "1.0")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    with open_engine(DASK) as engine:
        yield engine


@pytest.fixture(scope="module")
def foreign() -> Iterator[LocalCluster]:
    """A cluster that somebody else has started, with a worker in this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def test_results_come_in_the_order_of_the_shards(cluster: Engine) -> None:
    assert list(cluster.map(work.later_first, range(8), label="sleep")) == list(range(8))


def test_all_engines_give_the_same_bytes(cluster: Engine, tmp_path: Path) -> None:
    results = []
    for name in ("in_process", "processes", "dask"):
        folder = tmp_path / name
        folder.mkdir()
        shards = [folder / f"{n}.parquet" for n in range(5)]
        if name == "dask":
            results.append(list(cluster.map(work.write_table, shards, label="write")))
        else:
            with open_engine(EngineSettings(kind=name, workers=2)) as engine:  # type: ignore[arg-type]
                results.append(list(engine.map(work.write_table, shards, label="write")))

    assert results[0] == results[1] == results[2]
    assert len(set(results[0])) == 5


def test_only_a_few_shards_are_ahead_of_the_consumer(cluster: Engine, tmp_path: Path) -> None:
    results = cluster.map(work.note_start, [tmp_path / str(n) for n in range(50)], label="start")
    assert list(tmp_path.iterdir()) == []

    assert next(results) == 0
    while len(list(tmp_path.iterdir())) < 5:
        time.sleep(0.01)
    time.sleep(0.2)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3", "4"]
    assert list(results) == list(range(1, 50))


def test_failure_keeps_its_type_names_its_shard_and_leaves_earlier_results(cluster: Engine) -> None:
    results = cluster.map(work.fail_on_two, range(50), label="merged_table")

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(BadInputError, match=r"log_2\.csv: column session_id") as failure:
        next(results)
    assert failure.value.__notes__ == ["Raised for merged_table, shard 3 of 50: 2"]


def test_what_has_not_begun_is_cancelled(cluster: Engine, tmp_path: Path) -> None:
    for result in cluster.map(work.note_start, [tmp_path / str(n) for n in range(50)], label="start"):
        assert result == 0
        break

    assert list(cluster.map(work.double, range(5), label="double")) == [0, 2, 4, 6, 8]
    assert len(list(tmp_path.iterdir())) <= 5


def test_killed_worker_is_replaced_and_its_shard_done_again(cluster: Engine, tmp_path: Path) -> None:
    shards = [tmp_path / str(n) for n in range(6)]
    for survivor in (0, 1, 3, 4, 5):
        shards[survivor].touch()

    assert list(cluster.map(work.die_once, shards, label="merged_table")) == list(range(6))
    assert int(shards[2].read_text(encoding="utf-8")) != os.getpid()


def test_shard_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    shard = tmp_path / "log_3.csv"
    with (
        open_engine(EngineSettings(kind="dask", workers=1, retries=1)) as engine,
        pytest.raises(EngineError, match=r"merged_table, shard 1 of 1: .*log_3\.csv: 2 workers died"),
    ):
        list(engine.map(work.die, [shard], label="merged_table"))
    assert len(set(shard.read_text(encoding="utf-8").split())) == 2  # processes


def test_workers_have_one_thread_each_and_listen_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in SINGLE_THREADED:
        monkeypatch.delenv(variable, raising=False)
    with open_engine(EngineSettings(kind="dask", workers=1)) as engine:
        ((pid, threads),) = engine.map(work.process_and_threads, [0], label="threads")
        (theirs,) = engine.map(work.addresses_listened_at, [0], label="addresses")
        ours = work.addresses_listened_at(0)

    assert pid != os.getpid()
    assert threads == 1
    assert ours | theirs == {"127.0.0.1"}


def test_workers_import_neither_tensorflow_nor_the_shells(cluster: Engine) -> None:
    (modules,) = cluster.map(work.imported, [0], label="modules")
    assert modules.isdisjoint({"tensorflow", "keras", "dagster", "mlflow"})


def test_cluster_at_an_address_is_used_and_left_running(foreign: LocalCluster) -> None:
    for _ in range(2):
        with open_engine(EngineSettings(kind="dask", address=foreign.scheduler_address)) as engine:
            assert engine.workers == 1
            assert list(engine.map(work.double, range(3), label="double")) == [0, 2, 4]


def test_address_without_a_scheduler_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with (
            pytest.raises(EngineError, match=rf"No Dask scheduler answered at '{address}' within 0\.5 s"),
            open_engine(EngineSettings(kind="dask", address=address, connect_seconds=0.5)),
        ):
            pass


def test_address_where_nobody_answers_is_told() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(EngineError, match=rf"No Dask scheduler answered at '{address}' within 0\.5 s"),
            open_engine(EngineSettings(kind="dask", address=address, connect_seconds=0.5)),
        ):
            pass


def test_address_where_something_else_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1 << 16)

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(EngineError, match=rf"No Dask scheduler answered at '{address}'"),
            open_engine(EngineSettings(kind="dask", address=address, connect_seconds=5)),
        ):
            pass
        thread.join()


def test_address_that_is_none_is_told() -> None:
    with (
        pytest.raises(EngineError, match=r"No Dask scheduler answered at 'nonsense://8786'"),
        open_engine(EngineSettings(kind="dask", address="nonsense://8786", connect_seconds=0.5)),
    ):
        pass


def test_scheduler_without_workers_is_told() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(EngineError, match=r"has no worker after 2 s"),
        open_engine(EngineSettings(kind="dask", address=empty.scheduler_address, connect_seconds=2)),
    ):
        pass


def test_scheduler_lost_in_the_middle_is_told() -> None:
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
        ) as lost,
        open_engine(EngineSettings(kind="dask", address=lost.scheduler_address)) as engine,
    ):
        results = engine.map(work.double, range(50), label="merged_table")
        assert next(results) == 0
        lost.close()
        with pytest.raises(EngineError, match=r"connection to the Dask scheduler was lost"):
            list(results)


def test_cluster_with_another_version_of_the_code_is_refused(
    foreign: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"

    def probe() -> str | None:  # the first call is this process's own
        with calls.open("a") as file:
            file.write(".")
        return ["0.1.0 (sources a)", "0.1.0 (sources b)"][len(calls.read_text()) - 1]

    monkeypatch.setattr(versions, "code_probe", lambda: probe)
    expected = (
        rf"The Dask cluster at {foreign.scheduler_address} is not .*has skip-pipeline 0\.1\.0 \(sources b\), "
        r"this process 0\.1\.0 \(sources a\)\. No work was sent"
    )
    with (
        pytest.raises(EngineError, match=expected),
        open_engine(EngineSettings(kind="dask", address=foreign.scheduler_address)),
    ):
        pass


def test_cluster_with_another_library_is_refused_before_code_is_sent(
    foreign: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = versions.python_and_libraries
    found = iter([{"pyarrow": "25.0"}, {"pyarrow": "24.0"}])
    monkeypatch.setattr(versions, "python_and_libraries", lambda info: real(info) | next(found))
    monkeypatch.setattr(versions, "code_probe", lambda: pytest.fail("code was sent"))
    with (
        pytest.raises(EngineError, match=r"has pyarrow 24\.0, this process 25\.0\."),
        open_engine(EngineSettings(kind="dask", address=foreign.scheduler_address)),
    ):
        pass


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ({"Python": "3.12"}, r"tcp://b has Python 3\.12, this process 1\.0\."),
        ({"numpy": "2.0"}, r"tcp://b has numpy 2\.0, this process 1\.0\."),
        ({"pyarrow": None}, r"tcp://b has pyarrow not at all, this process 1\.0\."),
    ],
)
def test_a_worker_that_differs_is_named(worker: dict[str, str | None], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        versions.refuse_others(HERE, {"tcp://a": HERE, "tcp://b": HERE | worker}, scheduler="tcp://s")


def test_of_many_that_differ_three_are_named() -> None:
    others = {f"tcp://{n}": HERE | {"numpy": "2.0"} for n in range(9)}
    with pytest.raises(EngineError, match=r"tcp://2 has numpy 2\.0, this process 1\.0; and 6 more\. No work"):
        versions.refuse_others(HERE, others, scheduler="tcp://s")


def test_patch_releases_of_python_are_the_same_version() -> None:
    info = {"host": {"python": "3.11.7.final.0"}, "packages": {"numpy": "2.1"}}
    found = versions.python_and_libraries(info)
    assert (found["Python"], found["numpy"], found["pyarrow"]) == ("3.11", "2.1", None)


def probed(preparation: str) -> str:
    """What the probe finds in a new process, as a worker would run it."""
    code = f"import sys, pickle; {preparation}; print(pickle.load(sys.stdin.buffer)())"
    sent = cloudpickle.dumps(versions.code_probe())
    result = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    return result.stdout.decode().strip()


def test_probe_reaches_workers_without_the_package() -> None:
    assert probed("sys.modules['skip_pipeline'] = None") == "None"


def test_probe_tells_sources_apart(tmp_path: Path) -> None:
    ours = versions.code_probe()()
    copy = tmp_path / "skip_pipeline"
    copy.mkdir()
    (copy / "__init__.py").write_text("")
    ahead = f"sys.path.insert(0, {str(tmp_path)!r})"
    first = probed(ahead)
    (copy / "__init__.py").write_text("# changed")

    assert probed("pass") == ours
    assert len({ours, first, probed(ahead)}) == 3
