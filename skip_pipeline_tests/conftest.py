"""Settings of every test: no variable of the machine it runs on, and one thread per process of several."""

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from benchmarks.s3_server import s3_server
from skip_pipeline import settings
from skip_pipeline.locations import file_system, location
from skip_pipeline_tests.environment import forget_settings

pytest_plugins = ["skip_pipeline_tests.projects"]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)


@pytest.fixture(autouse=True)
def _stderr_stays_open() -> None:
    """Keep absl, which TensorFlow imports, from closing pytest's standard error when Dagster resets logging.

    When its handler is closed, absl closes every stream but the standard ones of that moment.
    """
    if absl := sys.modules.get("absl.logging"):
        absl.get_absl_handler().python_handler.stream = sys.__stderr__


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
    """Limit thread pools: test processes side by side already keep every core busy."""
    if config.getoption("numprocesses", None):
        single = settings.SINGLE_THREADED | {"TF_NUM_INTRAOP_THREADS": "1"}
        os.environ.update(single | dict(os.environ))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: compressed bytes hold a time, and test processes must agree on names."""
    return argname if isinstance(val, bytes) else None
