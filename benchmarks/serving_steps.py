"""Steps that are measured, each in a process of its own: requests, log files, a moving alias.

``benchmarks.one_run`` calls each with a folder to read and a folder to write to.
"""

import json
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow.csv as pacsv

from benchmarks.one_run import Made
from benchmarks.served_world import ServedWorld
from skip_pipeline import schema
from skip_pipeline.engine import open_engine
from skip_pipeline.raw.log_pairs import LOG_INPUT, log_pairs
from skip_pipeline.serving import batch, load
from skip_pipeline.serving.logs import read_log_pair
from skip_pipeline.serving.model import runs
from skip_pipeline.serving.sessions import branches
from skip_pipeline.settings import MODEL_NAME, EngineKind, EngineSettings
from skip_pipeline.storage import write_table
from skip_pipeline.training.onnx_model import predict_outcomes

T = TypeVar("T")

WARM_UP: Final = 100  # requests before the clock starts
LATENCIES: Final = "latencies.json"
PARTS: Final = "parts.json"
MOVED: Final = "moved"
STOP: Final = "stop"


# --- One session through pyfunc -------------------------------------------------------------------------


def in_process(requests: Path, folder: Path, *, uri: str, number: int) -> Made:
    """One session a request, from its rows to the answer, by ``mlflow.pyfunc``; leaves ``LATENCIES``.

    A session with one next track and one with many candidates take turns; figures of the second have
    ``candidates_`` in their names. ``ours`` is the part in our own ``predict``: from MLflow's frame to
    the frame of the answer; ``model`` is ``ServedModel.score_records``, without pandas; ``core`` what the
    whole took of a core, without the time that others had it.
    """
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
    own = model.unwrap_python_model()
    predict = own.predict
    seconds: dict[str, list[float]] = defaultdict(list)
    kind = ""

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        answer = predict(*arguments, **options)
        seconds[f"{kind}ours"].append(time.perf_counter() - started)
        return answer

    own.predict = timed
    files = {"": requests, "candidates_": ServedWorld(requests.parent).candidates}
    records = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
    for i in range(WARM_UP + number):
        for kind, of in records.items():
            record = of[i % len(of)]
            started, at_work = time.perf_counter(), time.thread_time()
            model.predict(pd.DataFrame([record]))
            seconds[f"{kind}whole"].append(time.perf_counter() - started)
            seconds[f"{kind}core"].append(time.thread_time() - at_work)
            started = time.perf_counter()
            own._model.score_records([record])
            seconds[f"{kind}model"].append(time.perf_counter() - started)
    found = {
        f"{name}_p{q}_ms": round(float(np.quantile(of[WARM_UP:], q / 100)) * 1_000, 3)
        for name, of in seconds.items()
        for q in (50, 99)
    }
    (folder / LATENCIES).write_text(json.dumps(found), encoding="utf-8")
    return Made(None, rows=0, sessions=number, seconds=sum(seconds["whole"][WARM_UP:]))


# --- The registry while a server follows it -------------------------------------------------------------


def move_alias(
    _data: Path, folder: Path, *, versions: list[str], uri: str, server: str, longest: float
) -> Made:
    """Point the champion's alias at one version after the other, each as soon as the last one is served.

    ``MOVED`` in the folder says that the first has been; it goes on until there is ``STOP``. ``rows`` is the
    number of moves that the server has followed.

    Raises:
        TimeoutError: the server has not followed a move for ``longest`` seconds.
    """
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    moves = 0
    while not (folder / STOP).exists():
        version = versions[(moves + 1) % len(versions)]
        client.set_registered_model_alias(MODEL_NAME, "champion", version)
        end = time.monotonic() + longest
        while _served_version(server) != version:
            if time.monotonic() > end:
                raise TimeoutError(f"version {version} is not served {longest:g} s after it became champion")
            time.sleep(0.1)
        moves += 1
        (folder / MOVED).touch()
    return Made(None, rows=moves, sessions=0)


def _served_version(server: str) -> str:
    with urllib.request.urlopen(f"{server}/version", timeout=10) as answer:
        return str(json.load(answer)["model_version"])


# --- Log files --------------------------------------------------------------------------------------------


def parse(raw: Path, _folder: Path, **_model: str) -> Made:
    """The limit: pyarrow reads both files of every pair to their final types, without any check."""
    tables = [
        pacsv.read_csv(
            path,
            convert_options=pacsv.ConvertOptions(column_types={field.name: field.type for field in contract}),
        )
        for pair in log_pairs(raw)
        for path, contract in ((pair.prehistory, schema.SESSION_LOG), (pair.input, LOG_INPUT))
    ]
    return Made(tables, rows=sum(table.num_rows for table in tables), sessions=0)


def parts(raw: Path, folder: Path, *, model: str) -> Made:
    """CSV to parquet part by part; leaves ``PARTS``, seconds of this process's cores for each.

    Seconds of cores, so that a machine with other work does not change what is found.
    """
    opened = load(Path(model), threads=1)
    seconds: dict[str, float] = defaultdict(float)
    rows = sessions_read = 0

    def timed(name: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        begun = time.process_time()
        made = function(*arguments, **options)
        seconds[name] += time.process_time() - begun
        return made

    for i, pair in enumerate(log_pairs(raw)):
        sessions = timed("reading", read_log_pair, pair)
        track_rows = opened.tracks.rows_of(sessions.track_ids)
        for own in runs(sessions.candidates):
            inputs = timed("inputs", branches, sessions, own, track_rows, opened.tracks)
            timed("network", predict_outcomes, opened.network, inputs)
        scores = opened.score(sessions)
        table = timed("writing", batch.second_half_table, opened, sessions, scores, "1")
        target = folder / f"{i}.parquet"
        timed("writing", write_table, table, target, batch.SKIP_PREDICTIONS, data_source="synthetic")
        rows, sessions_read = rows + len(sessions.rows), sessions_read + len(sessions)
    (folder / PARTS).write_text(json.dumps(seconds), encoding="utf-8")
    return Made(None, rows=rows, sessions=sessions_read, seconds=sum(seconds.values()))


def published(raw: Path, folder: Path, *, model: str, engine: EngineKind = "in_process") -> Made:
    """What the asset ``skip_predictions`` does: from CSV to parquet, written and published, by an engine."""
    with open_engine(EngineSettings(kind=engine)) as opened:

        def apply(function: Any, shards: Any, /) -> Any:
            return opened.map(function, shards, label="published")

        if engine != "in_process":
            list(apply(start_worker, range(opened.workers)))
        started = time.perf_counter()
        made = batch.skip_predictions(raw, folder / "out", model=Path(model), model_version="1", apply=apply)
        seconds = time.perf_counter() - started
    return Made(None, rows=made.rows, sessions=made.details["sessions"], seconds=seconds)


def start_worker(number: int) -> int:
    """Occupy a worker before the clock starts; unpickling this function imports what scoring needs."""
    time.sleep(0.3)  # so that the next one goes to, or starts, another worker
    return number
