"""What the guard lets through, keeps and stops."""

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException

from skip_pipeline.defs.tracked_materialization import TrackedMaterialization
from skip_pipeline.defs.tracking_guard import Guard, without_credentials


@pytest.fixture
def reported():
    return []


@pytest.fixture
def guard(reported):
    return Guard(reported.append)


def fail(guard, failure):
    with guard:
        raise failure


@pytest.mark.parametrize(
    ("failure", "suspended"),
    [
        (MlflowException("API request failed"), True),
        (requests.ConnectionError("refused"), True),
        (TimeoutError("no answer"), True),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}), False),
        (ModuleNotFoundError("No module named 'boto3'"), False),
        (ValueError("of a driver"), False),
    ],
)
def test_a_failure_is_reported_and_one_to_reach_the_store_suspends_recording(
    guard, reported, failure, suspended
):
    fail(guard, failure)

    assert len(reported) == 1
    assert reported[0].startswith(type(failure).__name__)
    assert guard.reason == reported[0]
    assert guard.suspended is suspended


def test_a_reason_holds_no_credentials(guard, reported):
    fail(guard, OSError("cannot reach http://me:secret@host:80/api (http://host/x@y)"))

    assert reported == ["OSError: cannot reach http://host:80/api (http://host/x@y)"]


def test_an_interruption_is_not_kept(guard, reported):
    with pytest.raises(KeyboardInterrupt):
        fail(guard, KeyboardInterrupt())
    assert reported == []


def test_a_store_that_did_not_answer_is_not_asked_again(guard, reported):
    run = TrackedMaterialization(object(), None, guard)  # type: ignore[arg-type]
    asked = []
    run.attempt(lambda _mlflow: asked.append(1))
    fail(guard, TimeoutError("no answer"))
    run.attempt(lambda _mlflow: asked.append(2))

    assert asked == [1]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:secret@host:80/path", "http://host:80/path"),
        ("postgresql://me:p%40ss@db/mlflow", "postgresql://db/mlflow"),
        ("http://me:p@ss@host/", "http://host/"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_store_is_shown_without_credentials(uri, shown):
    assert without_credentials(uri) == shown
