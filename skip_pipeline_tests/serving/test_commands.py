import io
import json
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import skip_pipeline
from benchmarks.server_process import free_port
from skip_pipeline.cli import challenge
from skip_pipeline.cli.main import app
from skip_pipeline.cli.serving import _shown
from skip_pipeline.serving import ServedModel, read_description
from skip_pipeline.serving.examples import EXAMPLE, EXAMPLE_OF_CANDIDATES
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import TRACKING_URI_VARIABLE, DataLayout
from skip_pipeline_tests.builders import assert_says, csv_bytes, deliver, session
from skip_pipeline_tests.serving.asking import Client, eventually
from skip_pipeline_tests.serving.registry import Registry
from skip_pipeline_tests.serving.small_models import SESSIONS, deliver_test_set, request


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def predict(layout: DataLayout, *words: object) -> pd.DataFrame:
    """What ``predict`` writes to a pipe, by the model trained last."""
    return printed(run("predict", *words, "--model", layout.best / SERVED_MODEL))


def printed(result: Result) -> pd.DataFrame:
    assert result.exit_code == 0, result.output
    return pd.read_csv(io.StringIO(result.stdout), dtype={"model_version": str})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return deliver(tmp_path / "log.csv.gz", [row for rows in SESSIONS for row in rows])


def test_a_log_and_a_request_are_scored(
    layout: DataLayout, model: ServedModel, log: Path, tmp_path: Path
) -> None:
    body = tmp_path / "request.json"
    body.write_text(json.dumps({"dataframe_records": [request(rows) for rows in SESSIONS]}))
    records = [request(rows) for rows in SESSIONS]
    expected = model.score_records(records).p_skip.tolist()
    for file in (log, body):
        found = predict(layout, file).set_index("session_id")["p_skip"]
        assert found[[r["session_id"] for r in records]].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_pair_is_scored_track_by_track(layout: DataLayout, model: ServedModel, tmp_path: Path) -> None:
    deliver_test_set(tmp_path, SESSIONS)
    (pair,) = (tmp_path / "test_set").glob("log_prehistory_*")
    found = predict(layout, pair)
    halves = [row for rows in SESSIONS for row in rows[len(rows) // 2 :]]
    assert found["session_position"].tolist() == [row["session_position"] for row in halves]
    assert found["track_id"].tolist() == [row["track_id_clean"] for row in halves]
    assert (found["decision"] == (found["p_skip_2"] > 0.5)).all()
    expected = model.score_records([request(rows, len(rows) // 2) for rows in SESSIONS]).p_skip.tolist()
    first = found.drop_duplicates("session_id")["p_skip"].tolist()
    assert first == pytest.approx(expected, abs=1e-6)


def test_a_submission_has_the_decisions_that_predict_shows(layout: DataLayout, tmp_path: Path) -> None:
    deliver_test_set(tmp_path, [*reversed(SESSIONS)])
    (pair,) = (tmp_path / "test_set").glob("log_prehistory_*")
    out = tmp_path / "out.txt"
    words = ("submit", tmp_path / "test_set", "--out", out, "--model", layout.best / SERVED_MODEL)
    result = CliRunner().invoke(challenge.app, [str(word) for word in words])
    decided = predict(layout, pair).groupby("session_id", sort=False)["decision"]

    assert result.exit_code == 0, result.output
    assert_says(result.stdout, f"{len(SESSIONS)} lines for", "Decided by model version", "on real data")
    assert out.read_text().split() == ["".join(str(int(d)) for d in own) for _, own in decided]


def test_a_named_folder_answers_without_a_registry(layout: DataLayout, folder: Path, log: Path) -> None:
    found = predict(layout, log)
    assert set(found["model_version"]) == {read_description(folder).fingerprint[:12]}
    assert set(found["data_source"]) == {"real"}


@pytest.mark.parametrize("registered", [False, True])
def test_the_model_trained_last_never_answers_in_the_place_of_a_champion(
    layout: DataLayout,
    folder: Path,
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    registered: bool,
) -> None:
    if registered:
        refused = Registry(tmp_path / "registry")
        refused.register(folder)
        monkeypatch.setenv(TRACKING_URI_VARIABLE, refused.uri)
    for command in (("predict", log), ("serve",)):
        result = run(*command, "--data-dir", layout.root)
        assert (result.exit_code, result.stdout) == (1, "")
        fact = "no version of skip_model called champion" if registered else "no record of any model"
        assert_says(result.stderr, fact, "--model")


def test_the_champion_answers_where_there_is_one(
    layout: DataLayout, log: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACKING_URI_VARIABLE, registry.uri)
    assert set(printed(run("predict", log, "--data-dir", layout.root))["model_version"]) == {"1"}


@pytest.mark.parametrize("command", ["predict", "serve"])
def test_a_registry_that_does_not_answer_is_refused(
    layout: DataLayout, log: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv(TRACKING_URI_VARIABLE, uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = run(command, *([log] if command == "predict" else []), "--data-dir", layout.root)
    assert (result.exit_code, result.stdout) == (1, "")
    assert_says(result.stderr, uri, "champion", "--model")


@pytest.mark.parametrize("uri", ["localhost:5000", "127.0.0.1:5000/mlflow"])
def test_an_address_without_its_scheme_is_refused(
    layout: DataLayout, log: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv(TRACKING_URI_VARIABLE, uri)
    result = run("predict", log, "--data-dir", layout.root)
    assert (result.exit_code, result.stdout) == (1, "")
    assert_says(result.stderr, f"is {uri}", f"Set it to http://{uri}")


def test_a_damaged_registry_is_refused(layout: DataLayout, log: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(layout.root, tmp_path / "data"))
    (data / "mlflow").mkdir()
    (data / "mlflow" / "mlflow.db").write_bytes(b"no database" * 100)
    result = run("predict", log, "--data-dir", data)
    assert result.exit_code == 1
    assert_says(result.stderr, "mlflow.db", "--model")


@pytest.mark.parametrize(
    ("name", "example"), [("request.json", EXAMPLE), ("candidates.json", EXAMPLE_OF_CANDIDATES)]
)
def test_the_documented_requests_are_the_examples(name: str, example: dict[str, Any]) -> None:
    text = (Path(skip_pipeline.__file__).parents[1] / "docs" / name).read_text()
    assert json.loads(text) == {"dataframe_records": [example]}


def test_candidates_are_rows_of_a_table(layout: DataLayout, tmp_path: Path, model: ServedModel) -> None:
    body = tmp_path / "candidates.json"
    body.write_text(json.dumps({"inputs": EXAMPLE_OF_CANDIDATES}))
    found = predict(layout, body)
    assert found["track_id"].tolist() == EXAMPLE_OF_CANDIDATES["candidates"]
    assert found["session_id"].tolist() == ["0_example"] * 3
    expected = model.score_records([EXAMPLE_OF_CANDIDATES]).p_skip.tolist()
    assert found["p_skip"].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_scores_go_to_a_file(folder: Path, log: Path, tmp_path: Path, name: str) -> None:
    result = run("predict", log, "--model", folder, "--out", tmp_path / name)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert_says(result.stderr, "44 sessions scored", "real data", "0 next tracks unknown", "unknown level")
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    assert len(read(tmp_path / name)) == len(SESSIONS)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("nowhere.csv",), ("nowhere.csv is not there",)),
        (("nowhere.parquet",), ("nowhere.parquet is not there",)),
        (("folder.csv",), ("folder.csv is a folder", "name a file")),
        (("/dev/null",), ("/dev/null is a pipe or device", "name a file")),
        (("empty.csv",), ("empty.csv is empty",)),
        (("empty.parquet",), ("empty.parquet is a damaged parquet file",)),
        (("cut.csv",), ("cut.csv", "not one value per column in data row 10")),
        (("cut.parquet",), ("cut.parquet", "damaged")),
        (("log.csv", "--out", "scores.xlsx"), ("neither in .csv nor in .parquet",)),
        (("log.csv", "--out", "gone/scores.csv"), ("lies in gone, which is no folder",)),
        (("log.csv", "--out", "folder.csv"), ("folder.csv is a folder",)),
        (("request.json",), ("request.json: the request is not JSON",)),
        (
            ("session.json",),
            ("session.json: session 0 of the request lacks next_track_id, next_track or candidates",),
        ),
        (("log.csv", "--model", "."), ("no served model",)),
    ],
)
def test_a_refusal_is_one_line(
    layout: DataLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    parts: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    deliver(tmp_path / "log.csv", session("s1", 10))
    (tmp_path / "request.json").write_text("{")
    (tmp_path / "session.json").write_text('{"inputs": {"session_id": "s1", "history": []}}')
    (tmp_path / "folder.csv").mkdir()
    for kind in ("csv", "parquet"):
        (tmp_path / f"empty.{kind}").touch()
    (tmp_path / "cut.csv").write_text((tmp_path / "log.csv").read_text()[:-80])
    pd.DataFrame(session("s1", 10)).to_parquet("cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-1])
    result = run("predict", *words, "--data-dir", layout.root)
    assert result.exit_code == 1
    assert_says(result.stderr, "error: ", *parts)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("column", ["session_id", "track_id_clean", "context_type"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bytes_that_are_no_text_are_refused_as_they_come_in(
    folder: Path, tmp_path: Path, column: str, kind: str
) -> None:
    log = pa.Table.from_pylist(SESSIONS[0])
    broken = pa.array([b"\xed\xa0\x80"] * len(log), pa.binary())
    path = tmp_path / f"log.{kind}"
    if kind == "parquet":
        # Not validated, as a file is not.
        text = pa.Array.from_buffers(pa.string(), len(log), broken.buffers())
        pq.write_table(log.set_column(log.column_names.index(column), column, text), path)
    else:
        rows = [row | {column: "@"} for row in SESSIONS[0]]
        deliver(path, csv_bytes(rows).replace(b"@", b"\xed\xa0\x80"))
    result = run("predict", path, "--model", folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert_says(result.stderr, "error: ", str(path), "UTF")


def test_ids_are_shown_without_markup_or_control_characters() -> None:
    table = pa.table(
        {"session_id": ["[/red]", "a\x1b[2Jb"], "p_skip": [0.5, 0.25], "track_id": [None, "[b]t"]}
    )
    console = Console(width=80, file=io.StringIO())
    console.print(_shown(table, "real"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert_says(text, "[/red]", "a\ufffd[2Jb", "0.250", "[b]t")
    assert "\x1b" not in text


def test_serving_without_a_model_is_refused(layout: DataLayout, tmp_path: Path) -> None:
    for words, fact in (
        (("--data-dir", layout.root), "no record of any model"),
        (("--model", tmp_path), "holds no served model"),
    ):
        result = run("serve", *words)
        assert result.exit_code == 1
        assert_says(result.stderr, fact)


@pytest.mark.slow
def test_serve_answers_until_ctrl_c(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def answers() -> bool:
        client = Client(port)
        try:
            return client.send("GET", "/ping")[0] == 200
        except OSError:
            return False
        finally:
            client.close()

    def stop() -> None:
        assert eventually(answers)
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(stop)
        try:
            result = run("serve", "--model", folder, "--port", port)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    stopped.result()
    assert result.exit_code == 0
    assert_says(result.stdout, "Serving version", "real data", f"http://127.0.0.1:{port}/invocations")
