"""Environment variables by which a library would report to its maker, or be steered by somebody else.

``keep_private`` runs when the package is imported, in every process. ``settle`` runs in processes of our own
alone: the commands, Dagster's code server and its runs. A notebook that opens a served model keeps its own.
"""

import os
import sys
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

SILENCED: Final = {
    # Since 1.29 its import writes a device id below the home directory; a call after the import is too late.
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DAGSTER_DISABLE_TELEMETRY": "true",  # a DAGSTER_HOME of the user's own may not switch it off
}

_NOWHERE: Final = str(Path(os.devnull, "home"))  # below a file, so that nothing is read or written there

_OWN: Final = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": _NOWHERE,  # a keras.json may name another backend or precision
    "MPLBACKEND": "agg",  # a notebook leaves one to its children that is not installed with Matplotlib
    # The address that MLflow would print after each run is the tracking URI, with its password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_FOREIGN: Final = (
    # The run, experiment, model and registry of an outer job; a run of ours would continue that run.
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_ACTIVE_MODEL_ID",
    "_MLFLOW_ACTIVE_MODEL_ID",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_ENABLE_ASYNC_LOGGING",  # refusals would be raised in a thread, and no record named as lost
    # Options of a server: MLflow's own database here would refuse the experiment.
    "MLFLOW_ENABLE_WORKSPACES",
    "MLFLOW_WORKSPACE_STORE_URI",
    # A module that every run of Dagster would import.
    "DAGSTER_DEFAULT_IO_MANAGER_MODULE",
    "DAGSTER_DEFAULT_IO_MANAGER_ATTRIBUTE",
    # Keras' switches for debugging, and the one by which TensorFlow would use another Keras.
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS",
)

_FOREIGN_STARTS: Final = (
    # Where to send traces. OpenTelemetry's import, which MLflow needs, fails for a propagator that is not
    # installed; its operator for Kubernetes sets these in every container.
    "OTEL_",
)

_OF_SERVERS: Final = (
    "DAGSTER_CLI_",
    "DAGSTER_CODE_SERVER_",
    "DAGSTER_GRPC_",
    "DAGSTER_WEBSERVER_",
    "GUNICORN_",
    "MLFLOW_ARTIFACTS_",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT",
    "MLFLOW_EXPOSE_PROMETHEUS",
    "MLFLOW_GUNICORN_OPTS",
    "MLFLOW_HOST",
    "MLFLOW_PORT",
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
    "MLFLOW_SERVE_ARTIFACTS",
    "MLFLOW_STATIC_PREFIX",
    "MLFLOW_SERVER_",
    "_MLFLOW_SERVER_",
    "UVICORN_",
    "WEB_CONCURRENCY",
)
"""Starts of names that stand for options of a server's command; Kubernetes sets ``MLFLOW_PORT`` and
``DAGSTER_WEBSERVER_PORT`` for services of these names."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def keep_private() -> None:
    """Switch the telemetry of the libraries off; they read these variables while they are imported."""
    os.environ.update(SILENCED)


def settle(environment: MutableMapping[str, str] = os.environ) -> tuple[str, ...]:
    """Remove what an outer job has left in the environment, and reach this machine without a proxy.

    A warning of a library ends nothing, whatever the environment sets.

    Returns the names of the variables that were removed.

    A user without a home directory, as in some containers, is given one that cannot exist: MLflow asks for it
    when it is imported.

    >>> left = {"MLFLOW_RUN_ID": "1", "NO_PROXY": "intern", "KERAS_BACKEND": "jax"}
    >>> settle(left)
    ('MLFLOW_RUN_ID',)
    >>> left["NO_PROXY"], left["KERAS_BACKEND"], "MLFLOW_RUN_ID" in left
    ('intern,localhost,127.0.0.1,::1', 'tensorflow', False)
    """
    environment.update(SILENCED | _OWN)
    if any(option.startswith("error") for option in sys.warnoptions):  # by -W, or by PYTHONWARNINGS
        sys.warnoptions.clear()  # which children inherit
        environment.pop("PYTHONWARNINGS", None)
        warnings.simplefilter("ignore")  # libraries warn of one another while they are imported
    removed = tuple(name for name in environment if name in _FOREIGN or name.startswith(_FOREIGN_STARTS))
    for name in removed:
        del environment[name]
    if environment.get("COLUMNS") == "0":  # of a terminal without a size; Rich would show nothing
        del environment["COLUMNS"]
    try:
        Path.home()
    except RuntimeError:
        environment["HOME"] = _NOWHERE
    for name in ("no_proxy", "NO_PROXY"):  # of the two, some clients read only the first, some the second
        named = (environment.get(name) or environment.get(name.swapcase()) or "").split(",")
        if named != ["*"]:  # alone, for every host
            environment[name] = ",".join(filter(None, [*named, *(h for h in _LOOPBACK if h not in named)]))
    return removed


def of_servers(environment: MutableMapping[str, str]) -> dict[str, str]:
    """The environment of the servers that ``ui`` starts: without options of their commands in it."""
    return {name: value for name, value in environment.items() if not name.startswith(_OF_SERVERS)}
