"""What holds for every engine, and local processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skip_pipeline.engine import Engine, open_engine
from skip_pipeline.errors import BadInputError, EngineError, RefusedError
from skip_pipeline.settings import SINGLE_THREADED, EngineKind, EngineSettings
from skip_pipeline_tests.engine import work

pytestmark = pytest.mark.slow

KINDS: tuple[EngineKind, ...] = ("in_process", "processes", "dask")


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    with (
        open_engine(EngineSettings()) as in_process,
        open_engine(EngineSettings(kind="processes", workers=2, shards_ahead=2)) as processes,
        open_engine(EngineSettings(kind="dask", workers=2, shards_ahead=2)) as dask,
    ):
        yield {"in_process": in_process, "processes": processes, "dask": dask}


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_results_come_in_the_order_of_the_shards(engine: Engine) -> None:
    assert list(engine.map(work.later_first, range(8), label="sleep")) == list(range(8))
    assert list(engine.map(work.double, [], label="double")) == []


def test_all_engines_give_the_same_bytes(engines: dict[str, Engine], tmp_path: Path) -> None:
    shards = [tmp_path / f"{n}.parquet" for n in range(5)]
    results = [list(engine.map(work.write_table, shards, label="write")) for engine in engines.values()]
    assert results[0] == results[1] == results[2]


def test_function_without_an_importable_name_is_sent(engine: Engine) -> None:
    three = 3
    assert list(engine.map(lambda shard: shard * three, [1, 2], label="triple")) == [3, 6]


def test_failure_keeps_its_type_names_its_shard_and_leaves_earlier_results(engine: Engine) -> None:
    results = engine.map(work.fail_on_two, range(50), label="merged_table")

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(BadInputError, match=r"log_2\.csv: column session_id") as failure:
        next(results)
    assert failure.value.__notes__ == ["Raised for merged_table, shard 3 of 50: 2"]
    assert list(results) == []


def test_defect_keeps_its_type_and_names_its_shard(engine: Engine) -> None:
    with pytest.raises(KeyError, match="no key 5") as failure:
        list(engine.map(work.raise_key_error, [5], label="merged_table"))
    assert "merged_table, shard 1 of 1: 5" in failure.value.__notes__[-1]


def test_shard_that_cannot_be_sent_is_named(engines: dict[str, Engine]) -> None:
    with pytest.raises(Exception, match="pickle") as failure:
        list(engines["processes"].map(str, [(n for n in range(3))], label="merged_table"))
    assert "merged_table, shard 1 of 1: <generator object" in failure.value.__notes__[-1]


@pytest.mark.parametrize(("kind", "ahead"), [("in_process", 1), ("processes", 4), ("dask", 4)])
def test_few_shards_are_ahead_of_the_result_in_use(
    kind: str, ahead: int, engines: dict[str, Engine], tmp_path: Path
) -> None:
    results = engines[kind].map(work.note_start, [tmp_path / str(n) for n in range(50)], label="start")
    assert list(tmp_path.iterdir()) == []

    assert next(results) == 0
    assert next(results) == 1
    assert len(list(tmp_path.iterdir())) <= ahead + 1
    results.close()  # type: ignore[attr-defined]

    assert list(engines[kind].map(work.double, range(5), label="double")) == [0, 2, 4, 6, 8]
    assert len(list(tmp_path.iterdir())) <= ahead + 1  # the others were cancelled


def test_two_maps_share_the_workers(engine: Engine) -> None:
    pairs = zip(
        engine.map(work.double, range(9), label="one"),
        engine.map(work.later_first, range(9), label="other"),
        strict=True,
    )
    assert list(pairs) == [(2 * n, n) for n in range(9)]


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_shard_of_a_killed_worker_is_repeated(kind: str, engines: dict[str, Engine], tmp_path: Path) -> None:
    shards = [tmp_path / str(number) for number in range(6)]
    for survivor in (0, 1, 3, 4):
        shards[survivor].touch()
    assert list(engines[kind].map(work.die_once, shards, label="merged_table")) == list(range(6))


@pytest.mark.parametrize(("status", "fact"), [(-9, "SIGKILL"), (3, r"EXIT\(3\)")])
def test_shard_that_kills_every_worker_is_named_with_the_remedy(status: int, fact: str) -> None:
    shards = [(f"log_{number}.csv", status) for number in range(6)]
    with (
        open_engine(EngineSettings(kind="processes", workers=2, retries=1)) as engine,
        pytest.raises(EngineError, match=rf"log_3\.csv.*fewer workers or smaller shards.*{fact}") as failure,
    ):
        list(engine.map(work.die_of, shards, label="merged_table"))
    assert "merged_table, shard 4 of 6" in str(failure.value)
    assert "log_0.csv" not in str(failure.value)


def test_worker_killed_while_idle_is_replaced() -> None:
    with open_engine(EngineSettings(kind="processes", workers=1)) as engine:
        ((pid, _),) = engine.map(work.process_and_threads, [0], label="pid")
        os.kill(pid, signal.SIGKILL)
        while not ended(pid):
            time.sleep(0.01)
        assert list(engine.map(work.double, [4], label="double")) == [8]


def test_exception_that_cannot_be_passed_on_is_an_engine_error() -> None:
    with (
        open_engine(EngineSettings(kind="processes", workers=1)) as engine,
        pytest.raises(EngineError, match=r"merged_table, shard 1 of 1: 7: .*un-serialize"),
    ):
        list(engine.map(work.raise_unreadable, [7], label="merged_table"))


def test_workers_have_one_thread_unless_the_user_sets_another_and_end_with_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in SINGLE_THREADED:
        monkeypatch.delenv(variable, raising=False)
    with open_engine(EngineSettings(kind="processes", workers=1)) as engine:
        ((first, threads),) = engine.map(work.process_and_threads, [0], label="threads")
        ((second, _),) = engine.map(work.process_and_threads, [0], label="threads")
    assert first == second != os.getpid()
    assert ended(first)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with open_engine(EngineSettings(kind="processes", workers=1)) as engine:
        ((_, set_by_user),) = engine.map(work.process_and_threads, [0], label="threads")

    assert (threads, set_by_user) == (1, 3)


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_workers_import_neither_tensorflow_nor_the_shells(kind: str, engines: dict[str, Engine]) -> None:
    (modules,) = engines[kind].map(work.imported, [0], label="modules")
    assert "pyarrow" in modules
    assert modules.isdisjoint({"tensorflow", "keras", "dagster", "mlflow"})


SCRIPT = """
import os, sys, time
from pathlib import Path
from skip_pipeline.engine import open_engine
from skip_pipeline.settings import EngineSettings

FOLDER = Path(sys.argv[1])

def work(shard):
    (FOLDER / str(os.getpid())).touch()
    time.sleep(shard)
    return shard

print("started", flush=True)
with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
    print(list(engine.map(work, [float(seconds) for seconds in sys.argv[2:]], label="sleep")))
"""


def script(tmp_path: Path, *seconds: float) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "begun").mkdir()
    return subprocess.Popen(
        [sys.executable, path, tmp_path / "begun", *map(str, seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def test_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    with script(tmp_path, 0.0, 0.0, 0.0) as process:
        output, errors = process.communicate()
    assert output == "started\n[0.0, 0.0, 0.0]\n", errors


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_an_interrupted_or_killed_caller(how: signal.Signals, tmp_path: Path) -> None:
    with script(tmp_path, 600.0, 600.0) as process:
        while len(workers := [int(path.name) for path in (tmp_path / "begun").iterdir()]) < 2:
            time.sleep(0.01)
        if how is signal.SIGINT:
            os.killpg(process.pid, how)  # a terminal sends it to the workers too
        else:
            process.kill()
        process.wait()
        while not all(map(ended, workers)):
            time.sleep(0.01)
        errors = process.communicate()[1]
    if how is signal.SIGINT:
        assert errors.count("KeyboardInterrupt") == 1  # the workers print none


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        (EngineSettings(kind="spark"), "no engine 'spark'"),  # type: ignore[arg-type]
        (EngineSettings(kind="processes", address="tcp://10.0.0.5:8786"), "only engine 'dask' uses"),
        (EngineSettings(kind="processes", workers=0), "workers is 0; it has to be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: EngineSettings, fact: str) -> None:
    with pytest.raises(RefusedError, match=fact), open_engine(settings):
        pass


def test_default_engine_imports_no_library() -> None:
    code = (
        "import sys; before = set(sys.modules)  # the measurement of coverage imports some\n"
        "from skip_pipeline.engine import open_engine; "
        "from skip_pipeline.settings import EngineSettings\n"
        "with open_engine(EngineSettings()) as engine: list(engine.map(str, [1], label='str'))\n"
        "print({'numpy', 'pyarrow', 'loky', 'dask', 'multiprocessing'} & (set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
