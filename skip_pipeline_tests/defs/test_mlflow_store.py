"""What a failing tracking store costs: a record, all further records, or nothing."""

import signal
import socket
import threading
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from skip_pipeline.defs.mlflow_store import Guard, is_outage, without_credentials
from skip_pipeline.defs.record import Record
from skip_pipeline.errors import ContractError

RUN: Any = SimpleNamespace(
    info=SimpleNamespace(run_id="1"), data=SimpleNamespace(tags={"mlflow.parentRunId": "0"})
)


class CloudError(Exception):
    """As a cloud SDK raises it."""

    __module__ = "cloud.exceptions"


@pytest.fixture
def reported():
    return []


@pytest.fixture
def guard(reported):
    return Guard(reported.append)


def fail(guard, failure, record="metrics loss"):
    with guard.may_lose(record):
        raise failure


def wrapped(cause):
    """A failure as MLflow's HTTP client raises it."""
    try:
        try:
            raise cause
        except Exception as inner:
            raise MlflowException(f"API request failed with exception {inner}")  # noqa: B904 - as MLflow does
    except MlflowException as outer:
        return outer


@pytest.mark.parametrize(
    "failure",
    [
        wrapped(requests.ConnectionError("refused")),
        wrapped(requests.exceptions.RetryError("too many 503 error responses")),
        requests.ReadTimeout("no answer"),
        TimeoutError("no answer"),
        MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE),
    ],
    ids=repr,
)
def test_an_outage_ends_all_recording(guard, reported, failure):
    fail(guard, failure)

    assert guard.suspended
    assert is_outage(failure)
    assert len(reported) == 1
    assert "metrics loss: no answer" in reported[0]


@pytest.mark.parametrize(
    "failure",
    [
        MlflowException("Invalid value nan for parameter"),  # as the SQLite store refuses
        RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}),
        PermissionError("artifacts/"),
        ModuleNotFoundError("No module named 'boto3'"),
        CloudError("access denied"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),  # as requests raises it
    ],
    ids=repr,
)
def test_a_refusal_loses_that_record_alone_and_names_it(guard, reported, failure):
    fail(guard, failure)

    assert not guard.suspended
    assert reported == guard.lost
    assert "metrics loss: refused" in reported[0]
    assert str(failure) in reported[0]


@pytest.mark.parametrize(
    "failure",
    [
        wrapped(requests.exceptions.RetryError("too many 500 error responses")),
        MlflowException("too many SQL variables", error_code=TEMPORARILY_UNAVAILABLE),
    ],
    ids=repr,
)
def test_a_store_that_still_answers_has_refused_that_record_alone(reported, failure):
    guard = Guard(reported.append, lambda: True)
    fail(guard, failure)

    assert not guard.suspended
    assert "metrics loss: refused" in reported[0]


def test_a_store_that_answers_again_is_recorded_in_again(reported):
    up = iter([False, False, True])
    guard = Guard(reported.append, lambda: next(up))
    fail(guard, TimeoutError("no answer"))
    suspended = [guard.suspended]
    for _ in range(2):
        guard.ask_again()
        suspended.append(guard.suspended)
    guard.ask_again()  # of a store that is up nothing is asked

    assert suspended == [True, True, False]


class Clock:
    """Time that passes only when something takes it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_store_that_does_not_answer_takes_no_more_than_its_patience_and_one_question(reported):
    clock, asked = Clock(), []

    def ask() -> bool:
        asked.append(clock.now)
        clock.now += 35
        return False

    guard = Guard(reported.append, ask, patience=100, clock=clock)
    fail(guard, TimeoutError("no answer"))
    for _ in range(20):  # before each asset
        guard.ask_again()

    assert guard.suspended
    assert asked == [0, 35, 70]


def test_an_answer_that_trickles_in_is_interrupted_and_counts_as_none(reported):
    def trickle(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):  # the client leaves
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while connection.send(b" "):
                time.sleep(0.02)

    guard, before = Guard(reported.append, patience=0.3), signal.getsignal(signal.SIGALRM)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=trickle, args=(listening,))
        server.start()
        with guard.may_lose("metrics loss", 0.1):
            requests.get(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20)
        server.join()

    assert guard.suspended
    assert "metrics loss: no answer" in reported[0]
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_slow_store_is_sent_no_more_entries_and_these_are_kept(reported):
    clock = Clock()
    guard = Guard(reported.append, patience=100, clock=clock)
    record = Record(RUN, "http://mlflow/run", guard)

    def slow(_mlflow: Any) -> None:
        clock.now += 60

    record.attempt("the first", slow)
    record.attempt("the second", slow)
    record.params({"seed": 3})
    record.attempt("a model", slow)  # what cannot be kept is sent all the same
    record.show({"sha256": "0"})
    record.result()

    assert clock.now == 180
    assert [(entry.kind, entry.content) for entry in record.unsent] == [("params", {"seed": "3"})]
    assert record.metadata["mlflow_run_incomplete"] == "the tracking store is too slow"
    assert reported == []


@pytest.mark.parametrize(
    "failure", [TypeError("ours"), KeyError("ours"), ContractError("ours"), KeyboardInterrupt()], ids=repr
)
def test_our_own_bugs_and_interruptions_are_raised(guard, reported, failure):
    with pytest.raises(type(failure)):
        fail(guard, failure)

    assert reported == []


def test_a_reason_holds_no_credentials(guard, reported):
    fail(guard, OSError("cannot write to http://me:secret@host:80/api (http://host/x@y)"))

    assert "http://host:80/api (http://host/x@y)" in reported[0]
    assert "secret" not in reported[0]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:p%40ss@db/mlflow", "postgresql://db/mlflow"),
        ("http://me:p@ss@host/", "http://host/"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
    ],
)
def test_a_store_is_shown_without_credentials(uri, shown):
    assert without_credentials(uri) == shown


def test_after_a_refusal_the_next_record_is_tried_and_after_an_outage_none(guard):
    record = Record(RUN, "http://mlflow/run", guard)
    asked = []

    def refuse(_mlflow):
        asked.append("refused")
        raise MlflowException("no")

    def go_down(_mlflow):
        asked.append("down")
        raise TimeoutError

    record.attempt("the first", refuse)
    record.attempt("the second", go_down)
    record.attempt("the third", refuse)
    record.show({"sha256": "0"})

    assert asked == ["refused", "down"]
    record.result()
    metadata = record.metadata
    assert metadata["mlflow_run"].value == "http://mlflow/run"
    assert "the first: refused" in metadata["mlflow_run_incomplete"]
    assert "the second: no answer" in metadata["mlflow_run_incomplete"]


def test_a_lost_record_of_an_earlier_asset_is_not_told_of_the_next(guard):
    fail(guard, MlflowException("no"))
    record = Record(RUN, "http://mlflow/run", guard)
    record.show({"sha256": "0"})
    record.result()

    assert "mlflow_run_incomplete" not in record.metadata
