"""No test sees the settings of the machine it runs on, nor leaves its own behind."""

import os

import pytest

from skip_pipeline import settings
from skip_pipeline.defs.launch import HOME_VARIABLE

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


def pytest_configure(config: pytest.Config) -> None:
    """Tests side by side already keep every core busy; pools of threads in each would only take turns."""
    if config.getoption("numprocesses", None):
        single = settings.SINGLE_THREADED | {"TF_NUM_INTRAOP_THREADS": "1"}
        os.environ.update(single | dict(os.environ))
