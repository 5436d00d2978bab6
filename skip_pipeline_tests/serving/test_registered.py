"""The model in MLflow: loaded as any pyfunc is, and followed by our own server."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations

from skip_pipeline import serving
from skip_pipeline.defs.registry import Registry as ModelRegistry
from skip_pipeline.errors import MissingInputError, NoChampionError, UnreachableError
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.examples import EXAMPLE
from skip_pipeline.serving.follow import Follower
from skip_pipeline.settings import MODEL_NAME, DataLayout
from skip_pipeline_tests.builders import TRACKS, assert_says, refusal
from skip_pipeline_tests.serving.asking import Client, eventually, running
from skip_pipeline_tests.serving.registry import Registry, track_to
from skip_pipeline_tests.serving.small_models import SESSIONS, copied, pack, request, request_of

pytestmark = pytest.mark.slow

URI = f"models:/{MODEL_NAME}@champion"
RECORDS = [request(rows) for rows in SESSIONS]


@pytest.fixture(scope="module")
def loaded(registry: Registry) -> Any:
    track_to(registry.uri)
    path = list(sys.path)
    yield mlflow.pyfunc.load_model(URI)
    sys.path[:] = path  # MLflow puts the code that travels with the model before all other


def asked(**changes: Any) -> pd.DataFrame:
    return pd.DataFrame([request(SESSIONS[0]) | changes])


def test_features_may_be_given_for_some_rows(loaded: Any) -> None:
    features = {name: value for name, value in TRACKS[0].items() if name != "track_id"}
    records = [request(rows) | {"next_track_id": "t_new"} for rows in SESSIONS[:2]]
    del records[1]["next_track_id"]
    records[1]["next_track"] = features
    for some in (records, records[::-1], records[:1], records[1:]):
        known = [record is records[1] for record in some]
        assert loaded.predict(pd.DataFrame(some))["known_track"].tolist() == known


def test_each_candidate_is_a_row(loaded: Any, model: ServedModel) -> None:
    records = [
        request_of(SESSIONS[0], ["t_03", "t_01", "t_new"]),
        RECORDS[1],
        request_of(SESSIONS[2], ["t_02"]),
    ]
    answer = loaded.predict(pd.DataFrame(records))
    expected = model.score_records(records)
    assert answer["session_id"].tolist() == ["s0", "s0", "s0", "s1", "s2"]
    assert answer["track_id"].tolist() == ["t_03", "t_01", "t_new", RECORDS[1]["next_track_id"], "t_02"]
    assert answer["p_skip"].tolist() == pytest.approx(expected.p_skip.tolist(), abs=1e-6)
    assert answer["p_skip_2"].tolist() == pytest.approx(expected.p_flags[:, 1].tolist(), abs=1e-6)


def test_the_signature_is_typed_and_the_example_fits_it(loaded: Any) -> None:
    inputs = loaded.metadata.signature.inputs.to_dict()
    assert [(column["name"], column["type"], column["required"]) for column in inputs] == [
        ("session_id", "string", True),
        ("history", "array", True),
        ("next_track_id", "string", False),
        ("next_track", "any", False),
        ("candidates", "any", False),
    ]
    outputs = loaded.metadata.signature.outputs.to_dict()
    types = {column["name"]: column["type"] for column in outputs}
    assert types == {
        "session_id": "string", "p_skip": "double", "known_track": "boolean", "data_source": "string",
        "track_id": "string", "p_skip_1": "double", "p_skip_2": "double", "p_skip_3": "double",
    }  # fmt: skip
    assert loaded.predict(pd.DataFrame([EXAMPLE]))["known_track"].tolist() == [False]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (asked(history=[]), "history is a list of 0"),
        (asked(history="played"), "list"),
        (asked(next_track_id=5), "next_track_id"),
        (asked(next_track_id=None, next_track={"tempo": math.nan}), "next_track.duration is missing"),
        (
            asked(history=[*SESSIONS[0][:3], *SESSIONS[1][3:6]]),
            "history[3].session_id is 's1', expected 's0'",
        ),
        (asked().drop(columns="next_track_id"), "next_track_id"),
        (asked(candidates=["t_01"]), "beside candidates"),
        (asked(next_track_id=None, candidates=[]), "candidates is a list of 0"),
    ],
)
def test_a_bad_frame_is_an_invalid_parameter(loaded: Any, frame: pd.DataFrame, reason: str) -> None:
    with pytest.raises(MlflowException) as caught:
        loaded.predict(frame)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert caught.value.get_http_status_code() == 400
    assert reason in caught.value.message


FORMS: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "dataframe_records": lambda records: records,
    "dataframe_split": lambda records: {
        "columns": list(records[0]),
        "data": [[*r.values()] for r in records],
    },
    "inputs": lambda records: records,
}


@pytest.mark.parametrize("form", FORMS)
def test_mlflows_scoring_server_scores_the_same(loaded: Any, form: str) -> None:
    body = json.dumps({form: FORMS[form](RECORDS[:3])})
    answer = invocations(body, "application/json", loaded, loaded.metadata.get_input_schema())
    assert answer.status == 200
    scores = [row["p_skip"] for row in json.loads(answer.response)["predictions"]]
    assert scores == loaded.predict(pd.DataFrame(RECORDS[:3]))["p_skip"].tolist()


NOTEBOOK = """
import importlib.util, pathlib, sys

# A machine on which nobody has installed this package: neither by a path nor by an editable install.
sys.path[:] = [p for p in sys.path if not (pathlib.Path(p) / "skip_pipeline").is_dir()]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", "")]
print(importlib.util.find_spec("skip_pipeline"))
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
print(model.predict(model.input_example)["p_skip"].between(0, 1).all())
heavy = ("tensorflow", "keras", "sklearn", "onnx", "dagster", "torch")
print(*(name for name in heavy if name in sys.modules))
print(*{pathlib.Path(m.__file__).parents[n.count(".")] for n, m in sys.modules.items()
        if n.startswith("skip_pipeline.") and not hasattr(m, "__path__")})
"""


def test_it_loads_without_tensorflow_where_the_package_is_not_installed(
    registry: Registry, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", NOTEBOOK, registry.uri, URI]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    lines = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    ).stdout.splitlines()
    assert lines[:3] == ["None", "True", ""]
    [code] = lines[3].split()
    assert code.endswith("/artifacts/code")


def test_a_version_holds_what_serving_imports_and_nothing_else(registry: Registry, loaded: Any) -> None:
    uri = registry.client.get_model_version_download_uri(MODEL_NAME, "1")
    code = Path(unquote(urlsplit(uri).path)) / "code" / "skip_pipeline"
    modules = {path.relative_to(code).as_posix() for path in code.rglob("*.py")}
    assert {"__init__.py", "serving/pyfunc_model.py", "serving/requests.py", "schema.py"} < modules
    folders = {name.partition("/")[0] for name in modules}
    assert not folders & {"world", "report", "nightly", "defs", "cli"}
    assert not modules & {"baselines/fit.py", "baselines/export.py", "networks/fast.py", "training/train.py"}
    requirements = Path(mlflow.pyfunc.get_model_dependencies(URI)).read_text().split()
    required = {line.split("==")[0] for line in requirements}
    assert {"mlflow", "onnxruntime", "pydantic"} < required
    assert not required & {"tensorflow", "keras", "scikit-learn", "onnx", "dagster", "fastapi"}


# --- The alias ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_folder(layout: DataLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(copied(layout, tmp_path_factory.mktemp("other")), weight=9.0)


@pytest.fixture(scope="module")
def second(registry: Registry, other_folder: Path) -> str:
    """A second version; logging it leaves the search path alone."""
    before = list(sys.path)
    version = registry.register(other_folder)
    assert sys.path == before
    return version


@pytest.fixture
def other(registry: Registry, second: str) -> Iterator[str]:
    """The second version; a test that makes it champion does so for itself alone."""
    yield second
    registry.promote("1")


def test_promotion_and_rollback_are_followed(registry: Registry, other: str) -> None:
    follower = Follower(ModelRegistry(registry.uri))
    assert (follower.served.version, follower.refresh()) == ("1", False)
    scores = [follower.served.model.score_records(RECORDS[:5]).p_skip.tolist()]
    for version in (other, "1"):
        registry.promote(version)
        assert follower.refresh()
        assert follower.served.version == version
        scores.append(follower.served.model.score_records(RECORDS[:5]).p_skip.tolist())
    assert scores[0] == scores[2] != scores[1]


@contextmanager
def asked_all_along(port: int, models: dict[str, ServedModel]) -> Iterator[tuple[list[object], list[str]]]:
    """Four clients send requests without a pause; gives the failures, and the versions that answered.

    An answer of two versions, or with other scores than its version's, is a failure.
    """
    expected = {name: model.score_records(RECORDS[:8]).p_skip.tolist() for name, model in models.items()}
    failures: list[object] = []
    seen: list[str] = []
    stop = threading.Event()

    def ask_on() -> None:
        client = Client(port)
        while not stop.is_set():
            status, answer = client.ask(*RECORDS[:8])
            if status != 200:
                failures.append((status, answer))
                continue
            version, *others = {row["model_version"] for row in answer["predictions"]}
            scores = [row["p_skip"] for row in answer["predictions"]]
            if others or scores != pytest.approx(expected[version], abs=1e-6):
                failures.append(answer)
            seen.append(version)
        client.close()

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield failures, seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


def was_last_seen(seen: list[str], version: str) -> bool:
    return seen[-8:] == [version] * 8


def test_no_request_fails_while_the_champion_goes_back_and_forth(
    registry: Registry, other: str, other_folder: Path, model: ServedModel
) -> None:
    models = {"1": model, other: serving.load(other_folder)}
    with (
        running(Follower(ModelRegistry(registry.uri))) as port,
        asked_all_along(port, models) as (failures, seen),
    ):
        for version in (other, "1", other, "1"):
            registry.promote(version)
            assert eventually(partial(was_last_seen, seen, version))
    assert failures == []
    assert set(seen) == {"1", other}


def test_no_champion_is_refused(registry: Registry) -> None:
    assert "champion" in ModelRegistry(registry.uri).aliases()
    nameless = ModelRegistry(registry.uri, name="no_model")
    assert nameless.aliases() == {}
    registry.client.create_registered_model("no_model")
    assert nameless.aliases() == {}
    assert_says(
        refusal(NoChampionError, nameless.current), "no version of no_model called champion", registry.uri
    )


def test_a_version_without_a_served_model_is_refused(registry: Registry, tmp_path: Path) -> None:
    version = str(registry.client.create_model_version(MODEL_NAME, tmp_path.as_uri()).version)

    def open_it() -> None:
        with ModelRegistry(registry.uri).fetched(version):
            pass

    message = refusal(MissingInputError, open_it)
    assert_says(message, f"version {version} of skip_model holds no served model")
    registry.client.delete_model_version(MODEL_NAME, version)


def test_a_store_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    source = ModelRegistry("http://user:secret@127.0.0.1:9")
    message = refusal(UnreachableError, source.current)
    assert_says(message, "http://127.0.0.1:9", "skip_model", "champion")
    assert "secret" not in message
