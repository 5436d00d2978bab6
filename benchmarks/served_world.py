"""Data for the serving benchmark: a synthetic world, a model trained on it, a registry, and a test set.

    data/           a data directory: raw files, bundles, ``06_best``, and MLflow's store with two versions
                    of ``skip_model``, the first of them the champion, and an empty model
    large/          raw files with a test set in the published format
    requests.json   records of sessions, raw log rows of all columns in them
    candidates.json the same, each with many candidates in place of the next track

The functions that take a folder to read and one to write are called by ``benchmarks.one_run``.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import measure, raw_sets
from benchmarks.one_run import Made

SELECTED: Final = (
    "session_logs",
    "track_features",
    "merged_table",
    "encoded_table",
    "scaled_table",
    "tensor_bundles",
    "trained_model",
    "baseline_models",
    "best_model",
)
"""Assets that a served model needs."""

REQUESTS: Final = 1_000  # sessions that are sent in turns; 9 MB
CANDIDATES: Final = 100  # of each session: the number of the demand
EMPTY_MODEL: Final = "empty_model"  # its name in the registry
VERSIONS: Final = ("1", "2")  # of the served model

OTHERS_ENVIRONMENT: Final = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "SKIP_PIPELINE_STORAGE_URL",
    "SKIP_PIPELINE_DATA_DIR",
)
"""Variables that name the user's own store and files."""


@dataclass(frozen=True)
class ServedWorld:
    """The folder described above."""

    folder: Path

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def model(self) -> Path:
        """The served model of the last training."""
        return self.data / "06_best" / "served_model"

    @property
    def large(self) -> Path:
        """Raw files with a test set."""
        return self.folder / "large"

    @property
    def requests(self) -> Path:
        """A JSON list of records."""
        return self.folder / "requests.json"

    @property
    def candidates(self) -> Path:
        """A JSON list of the same records with ``CANDIDATES`` tracks each."""
        return self.folder / "candidates.json"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store."""
        return f"sqlite:///{self.data / 'mlflow' / 'mlflow.db'}"


def environment(world: ServedWorld) -> dict[str, str]:
    """Environment of processes that use the world's registry; MLflow starts ``uvicorn`` by its bare name."""
    kept = {name: value for name, value in os.environ.items() if name not in OTHERS_ENVIRONMENT}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {
        "MLFLOW_TRACKING_URI": world.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": programs,
    }


def prepare(folder: Path, *, sessions: int, tracks: int, large_sessions: int, shards: int) -> ServedWorld:
    """Make all of it, in processes of their own.

    Args:
        folder: an empty one.
        sessions, tracks: of the world that the model is trained on.
        large_sessions, shards: of the test set.

    Raises:
        ChildFailedError: a step failed.
    """
    world = ServedWorld(folder)
    for name in OTHERS_ENVIRONMENT:
        os.environ.pop(name, None)  # children inherit this process's environment
    raw_sets.synthesize(world.data / "01_raw", sessions=sessions, tracks=tracks, shards=None)
    program = str(Path(sys.executable).with_name("skip-pipeline"))
    measure.output([program, "run", "--data-dir", str(world.data), "--select", ",".join(SELECTED)])
    measure.run("benchmarks.served_world:register", world.data, folder)
    measure.run("benchmarks.served_world:write_requests", world.data / "01_raw", folder)
    raw_sets.synthesize(world.large, sessions=large_sessions, tracks=tracks, shards=shards)
    measure.run("benchmarks.served_world:cut_test_set", world.large, folder)
    return world


def write_requests(raw: Path, folder: Path) -> Made:
    """Records of the first sessions of a log: all rows but the last, and the last one's track or candidates.

    The candidates are the first tracks that the log plays, and the session's own last one.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv

    from skip_pipeline import schema
    from skip_pipeline.raw import folder as raw_folder

    (log,) = raw_folder.find_session_logs(raw)
    text = pacsv.ConvertOptions(column_types={"date": pa.string()})
    rows = pacsv.read_csv(log, convert_options=text).slice(0, REQUESTS * schema.MAX_SESSION_LENGTH)
    sessions: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        sessions.setdefault(row[schema.SESSION_ID], []).append(row)
    whole = [rows for rows in sessions.values() if len(rows) == rows[0][schema.LENGTH]][:REQUESTS]
    records = [
        {
            schema.SESSION_ID: rows[0][schema.SESSION_ID],
            "history": rows[:-1],
            "next_track_id": rows[-1][schema.LOG_TRACK_ID],
        }
        for rows in whole
    ]
    tracks = list(dict.fromkeys(row[schema.LOG_TRACK_ID] for own in whole for row in own))
    several = []
    for record in records:
        own = dict.fromkeys([record["next_track_id"], *tracks[:CANDIDATES]])
        kept = {name: value for name, value in record.items() if name != "next_track_id"}
        several.append(kept | {"candidates": list(own)[:CANDIDATES]})
    world = ServedWorld(folder)
    world.requests.write_text(json.dumps(records), encoding="utf-8")
    world.candidates.write_text(json.dumps(several), encoding="utf-8")
    return Made(records, rows=0, sessions=len(records))


def cut_test_set(raw: Path, _folder: Path) -> Made:
    """A test set beside the training set: each session's first half, and the tracks of its second."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pacsv

    from skip_pipeline import schema
    from skip_pipeline.raw import folder as raw_folder
    from skip_pipeline.raw.log_pairs import INPUT, LOG_INPUT, PREHISTORY
    from skip_pipeline.settings import TEST_SET

    shutil.rmtree(raw / TEST_SET, ignore_errors=True)
    (raw / TEST_SET).mkdir()
    # As text, so that what is written is what was read.
    text = pacsv.ConvertOptions(column_types={name: pa.string() for name in schema.SESSION_LOG.names})
    plain = pacsv.WriteOptions(quoting_style="none")
    rows = 0
    for path in raw_folder.find_session_logs(raw):
        log = pacsv.read_csv(path, convert_options=text)
        position, length = (log[name].cast(pa.int64()) for name in (schema.POSITION, schema.LENGTH))
        is_first = pc.less_equal(position, pc.divide(length, 2))
        first, second = log.filter(is_first), log.filter(pc.invert(is_first)).select(LOG_INPUT.names)
        for prefix, half in ((PREHISTORY, first), (INPUT, second)):
            name = path.name.removeprefix("log_")
            pacsv.write_csv(half, raw / TEST_SET / f"{prefix}{name}", plain)
        rows += log.num_rows
    return Made(None, rows=rows, sessions=0)


def register(data: Path, folder: Path) -> Made:
    """Register a second version of the served model, and an empty model; point the aliases to version 1."""
    import mlflow

    from skip_pipeline.defs.served_model import log_served_model
    from skip_pipeline.nightly.promotion_record import CHAMPION
    from skip_pipeline.settings import MODEL_NAME

    world = ServedWorld(folder)
    mlflow.set_tracking_uri(world.tracking_uri)
    # MLflow's own choice of a place for artifacts would be the current folder.
    experiment = mlflow.create_experiment("benchmark", (world.data / "mlflow" / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        log_served_model(mlflow, world.model, params={}, tags={})
        mlflow.pyfunc.log_model(
            name=EMPTY_MODEL,
            python_model=str(Path(__file__).with_name("empty_model.py")),
            registered_model_name=EMPTY_MODEL,
            pip_requirements=["mlflow"],  # else MLflow starts the model to find them out
        )
    client = mlflow.MlflowClient()
    for name in (MODEL_NAME, EMPTY_MODEL):
        client.set_registered_model_alias(name, CHAMPION, VERSIONS[0])
    return Made(data, rows=0, sessions=0)
