"""No test sees the settings of the machine it runs on, nor leaves its own behind."""

import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from benchmarks.s3_server import s3_server
from skip_pipeline import settings
from skip_pipeline.defs.launch import HOME_VARIABLE
from skip_pipeline.locations import file_system, location

VARIABLES = (
    HOME_VARIABLE,
    settings.DATA_DIR_VARIABLE,
    settings.STORAGE_VARIABLE,
    settings.TRACKING_URI_VARIABLE,  # MLflow itself sets it, when told of a tracking store
    settings.MLFLOW_URL_VARIABLE,
    settings.DAGSTER_URL_VARIABLE,
    settings.TIME_ZONE_VARIABLE,
    settings.TRAIN_DAYS_VARIABLE,
    *settings.TRACKING_ENVIRONMENT,
)


def forget_settings(environment: pytest.MonkeyPatch) -> None:
    """Unset every variable that means something to the pipeline, and have it so again afterwards."""
    for variable in VARIABLES:
        environment.setenv(variable, "")  # so that undoing removes what the code under test has set
        environment.delenv(variable)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[Mapping[str, str]]:
    """A server that speaks S3, by the environment variables that lead to it."""
    with s3_server() as environment:
        yield environment


_buckets = count()


@pytest.fixture
def s3_bucket(s3_environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place in a bucket of its own."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{next(_buckets)}"
    place = location(f"s3://{bucket}/prefix")
    file_system(place).mkdir(bucket)
    return place


def pytest_configure(config: pytest.Config) -> None:
    """Tests side by side already keep every core busy; pools of threads in each would only take turns."""
    if config.getoption("numprocesses", None):
        single = settings.SINGLE_THREADED | {"TF_NUM_INTRAOP_THREADS": "1"}
        os.environ.update(single | dict(os.environ))
