"""The engines of this machine: in this process, and in a pool of processes."""

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
from skip_pipeline.engine.processes import usable_cores
from skip_pipeline.errors import BadInputError, EngineError, RefusedError
from skip_pipeline.settings import SINGLE_THREADED, EngineSettings
from skip_pipeline_tests.engine import work

PROCESSES = EngineSettings(kind="processes", workers=2, shards_ahead=2)


def wait_for(files: int, folder: Path) -> None:
    while len(list(folder.iterdir())) < files:
        time.sleep(0.01)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def processes() -> Iterator[Engine]:
    with open_engine(PROCESSES) as engine:
        yield engine


@pytest.fixture(params=["in_process", "processes"])
def engine(request: pytest.FixtureRequest, processes: Engine) -> Iterator[Engine]:
    if request.param == "processes":
        yield processes
    else:
        with open_engine(EngineSettings()) as engine:
            yield engine


def test_results_come_in_the_order_of_the_shards(engine: Engine) -> None:
    assert list(engine.map(work.later_first, range(8), label="sleep")) == list(range(8))


def test_no_shards_give_no_results(engine: Engine) -> None:
    assert list(engine.map(work.double, [], label="double")) == []


def test_function_that_cannot_be_imported_is_sent_as_it_is(engine: Engine) -> None:
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
    assert failure.value.__notes__[-1] == "Raised for merged_table, shard 1 of 1: 5"


def test_nothing_runs_before_the_first_result_is_asked_for(tmp_path: Path) -> None:
    with open_engine(EngineSettings()) as engine:
        results = engine.map(work.note_start, [tmp_path / "0", tmp_path / "1"], label="start")
        assert list(tmp_path.iterdir()) == []
        next(results)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_only_a_few_shards_are_ahead_of_the_consumer(processes: Engine, tmp_path: Path) -> None:
    results = processes.map(work.note_start, [tmp_path / str(n) for n in range(50)], label="start")
    assert list(tmp_path.iterdir()) == []

    assert next(results) == 0
    wait_for(5, tmp_path)  # the one consumed, and two for each of two workers
    time.sleep(0.2)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3", "4"]
    assert list(results) == list(range(1, 50))


def test_failure_stops_the_others(processes: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"log_0\.csv"):
        next(processes.map(work.fail_on_zero, [tmp_path / str(n) for n in range(50)], label="start"))

    begun = list(tmp_path.iterdir())
    assert len(begun) <= 4
    pids = [path.read_text(encoding="utf-8") for path in begun]
    assert not any(running(int(pid)) for pid in pids if pid)  # none: killed before it wrote its own
    assert list(processes.map(work.double, range(5), label="double")) == [0, 2, 4, 6, 8]


def test_leaving_the_loop_stops_the_workers(processes: Engine, tmp_path: Path) -> None:
    for result in processes.map(work.note_start, [tmp_path / str(n) for n in range(50)], label="start"):
        assert result == 0
        break

    assert len(list(tmp_path.iterdir())) <= 5


def test_two_maps_share_the_workers(processes: Engine) -> None:
    pairs = zip(
        processes.map(work.double, range(20), label="one"),
        processes.map(work.later_first, range(20), label="other"),
        strict=True,
    )
    assert list(pairs) == [(2 * n, n) for n in range(20)]


def test_traceback_of_the_worker_is_told(processes: Engine) -> None:
    with pytest.raises(KeyError) as failure:
        list(processes.map(work.raise_key_error, [5], label="merged_table"))
    assert "in raise_key_error" in failure.value.__notes__[0]


def test_exception_that_cannot_be_passed_on_is_told(processes: Engine) -> None:
    with pytest.raises(EngineError, match=r"work\.UnreadableError cannot be passed on .*log_1\.csv: row 7"):
        list(processes.map(work.raise_unreadable, [7], label="merged_table"))


def test_result_that_cannot_be_passed_on_is_a_failure(processes: Engine) -> None:
    with pytest.raises(TypeError, match="cannot pickle 'generator' object") as failure:
        list(processes.map(work.give_a_generator, [7], label="merged_table"))
    assert failure.value.__notes__[-1] == "Raised for merged_table, shard 1 of 1: 7"


def test_shard_that_cannot_be_sent_is_named(processes: Engine) -> None:
    with pytest.raises(TypeError, match="cannot pickle 'generator' object") as failure:
        list(processes.map(work.give_a_generator, [(n for n in range(3))], label="merged_table"))
    assert "merged_table, shard 1 of 1: <generator object" in failure.value.__notes__[-1]


def test_killed_worker_is_replaced_and_its_shard_done_again(processes: Engine, tmp_path: Path) -> None:
    shards = [tmp_path / str(n) for n in range(6)]
    for survivor in (0, 1, 3, 4, 5):
        shards[survivor].touch()

    assert list(processes.map(work.die_once, shards, label="merged_table")) == list(range(6))
    assert not running(int(shards[2].read_text(encoding="utf-8")))


def test_worker_killed_while_idle_is_replaced() -> None:
    with open_engine(EngineSettings(kind="processes", workers=1, retries=0)) as engine:
        ((pid, _),) = engine.map(work.process_and_threads, [0], label="pid")
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert list(engine.map(work.double, [4], label="double")) == [8]


def test_shard_that_kills_every_worker_is_named(processes: Engine, tmp_path: Path) -> None:
    shard = tmp_path / "log_3.csv"
    expected = (
        r"merged_table, shard 1 of 1: .*log_3\.csv: .* died 3 times .*SIGKILL, then SIGKILL, then SIGKILL"
    )
    with pytest.raises(EngineError, match=expected):
        list(processes.map(work.die, [shard], label="merged_table"))
    assert len(set(shard.read_text(encoding="utf-8").split())) == 3  # processes


def test_worker_that_leaves_is_told_by_its_status() -> None:
    with (
        open_engine(EngineSettings(kind="processes", workers=1, retries=0)) as engine,
        pytest.raises(EngineError, match=r"shard 1 of 1: 0: the worker process died 1 times .*exit status 3"),
    ):
        list(engine.map(work.leave, [0], label="merged_table"))


def test_workers_are_kept_between_maps_and_stopped_at_the_end() -> None:
    with open_engine(EngineSettings(kind="processes", workers=1)) as engine:
        ((first, _),) = engine.map(work.process_and_threads, [0], label="pid")
        ((second, _),) = engine.map(work.process_and_threads, [0], label="pid")
        assert first == second != os.getpid()
    assert not running(first)


def test_workers_have_one_thread_each_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in SINGLE_THREADED:
        monkeypatch.delenv(variable, raising=False)
    with open_engine(EngineSettings(kind="processes", workers=1)) as engine:
        ((_, threads),) = engine.map(work.process_and_threads, [0], label="threads")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with open_engine(EngineSettings(kind="processes", workers=1)) as engine:
        ((_, set_by_user),) = engine.map(work.process_and_threads, [0], label="threads")

    assert (threads, set_by_user) == (1, 3)


def test_workers_import_only_what_their_function_needs(processes: Engine) -> None:
    (modules,) = processes.map(work.imported, [0], label="modules")
    assert "pyarrow" in modules
    assert modules.isdisjoint({"tensorflow", "keras", "dagster", "mlflow", "distributed"})


SCRIPT = """
import os, sys, time
from pathlib import Path
from skip_pipeline.engine import open_engine
from skip_pipeline.settings import EngineSettings

FOLDER = Path(sys.argv[1])

def work(shard):
    (FOLDER / f"pid_{shard}").write_text(str(os.getpid()))
    (FOLDER / f"pid_{shard}").rename(FOLDER / f"begun_{shard}")
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
        output, _ = process.communicate()
    assert output == "started\n[0.0, 0.0, 0.0]\n"


def workers_begun(tmp_path: Path) -> list[int]:
    begun: list[Path] = []
    while len(begun) < 2:
        begun = list((tmp_path / "begun").glob("begun_*"))
        time.sleep(0.01)
    return [int(path.read_text(encoding="utf-8")) for path in begun]


def test_interrupt_of_the_terminal_stops_everything(tmp_path: Path) -> None:
    with script(tmp_path, work.FOREVER, work.FOREVER + 1, 0.0) as process:
        pids = workers_begun(tmp_path)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = process.communicate()

    assert errors.count("KeyboardInterrupt") == 1  # none of the workers complains
    assert not any(map(running, pids))
    assert len(list((tmp_path / "begun").iterdir())) == 2


def test_idle_workers_do_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    with script(tmp_path, 0.0, work.FOREVER) as process:
        pids = workers_begun(tmp_path)
        idle = int((tmp_path / "begun" / "begun_0.0").read_text(encoding="utf-8"))
        process.kill()
        process.wait()
        while running(idle):
            time.sleep(0.01)
        for pid in set(pids) - {idle}:
            os.kill(pid, signal.SIGKILL)


def test_default_is_one_worker_per_core_that_may_be_used() -> None:
    with open_engine(EngineSettings(kind="processes")) as engine:
        assert engine.workers == usable_cores() >= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EngineSettings(kind="spark"), "There is no engine 'spark'"),  # type: ignore[arg-type]
        (EngineSettings(kind="processes", address="tcp://10.0.0.5:8786"), "only engine 'dask' uses"),
        (EngineSettings(kind="processes", workers=0), "workers is 0; it has to be at least 1"),
        (EngineSettings(kind="processes", retries=-1), "retries is -1; it has to be at least 0"),
        (EngineSettings(shards_ahead=0), "shards_ahead is 0; it has to be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: EngineSettings, message: str) -> None:
    with pytest.raises(RefusedError, match=message), open_engine(settings):
        pass


def test_default_engine_imports_nothing() -> None:
    code = (
        "import sys; from skip_pipeline.engine import open_engine; "
        "from skip_pipeline.settings import EngineSettings\n"
        "with open_engine(EngineSettings()) as engine: list(engine.map(str, [1], label='str'))\n"
        "print({'numpy', 'pyarrow', 'cloudpickle', 'dask', 'multiprocessing'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in {"distributed", "dask"}]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "skip_pipeline.engine.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "dask", None)  # type: ignore[arg-type]
    with (
        pytest.raises(EngineError, match=r"pip install 'skip-pipeline\[cluster\]'"),
        open_engine(EngineSettings(kind="dask")),
    ):
        pass
