"""Settings of every test: no variable of the machine it runs on, and one thread per process of several."""

import os

import pytest

from skip_pipeline import settings
from skip_pipeline_tests.environment import forget_settings

pytest_plugins = ["skip_pipeline_tests.projects"]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)


def pytest_configure(config: pytest.Config) -> None:
    """Limit thread pools: test processes side by side already keep every core busy."""
    if config.getoption("numprocesses", None):
        single = settings.SINGLE_THREADED | {"TF_NUM_INTRAOP_THREADS": "1"}
        os.environ.update(single | dict(os.environ))
