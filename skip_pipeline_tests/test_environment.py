"""What an outer job left in the environment steers no run, and no library reports to its maker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import skip_pipeline
from skip_pipeline.environment import of_servers, settle
from skip_pipeline_tests.builders import assert_says

KERAS = """
import skip_pipeline.cli
from keras import config
print(config.backend(), config.epsilon(), config.max_epochs())
"""
ONNX = "import skip_pipeline.training.onnx_model"


def python(code: str, home: Path, **environment: str) -> str:
    """Output of a process with an empty home and none of the variables by which libraries notice a test."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "PYTHONPATH", "COVERAGE_PROCESS_START")
        if name in os.environ
    }
    kept.setdefault("PYTHONPATH", str(Path(skip_pipeline.__file__).parents[1]))
    given = kept | {"HOME": str(home)} | environment
    return subprocess.run(
        [sys.executable, "-c", code], env=given, text=True, check=True, capture_output=True
    ).stdout


@pytest.mark.slow
def test_keras_is_what_the_networks_are_made_for(tmp_path: Path) -> None:
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "jax", "epsilon": 0.5, "floatx": "float64"}')
    left = {"KERAS_BACKEND": "torch", "TF_USE_LEGACY_KERAS": "1", "KERAS_MAX_EPOCHS": "1"}

    assert python(KERAS, tmp_path, **left).split() == ["tensorflow", "1e-07", "None"]
    assert [path.name for path in (tmp_path / ".keras").iterdir()] == ["keras.json"]


@pytest.mark.slow
def test_onnx_runtime_keeps_no_device_id_below_the_home_directory(tmp_path: Path) -> None:
    python(ONNX, tmp_path)

    assert list(tmp_path.rglob("*")) == []


@pytest.mark.slow
def test_a_user_without_a_home_directory_can_use_mlflow(tmp_path: Path) -> None:
    nobody = """
import os, pwd
def no_such_user(_number): raise KeyError
pwd.getpwuid = no_such_user
del os.environ["HOME"]
import skip_pipeline.cli, mlflow
print(os.environ["HOME"])
"""
    assert python(nobody, tmp_path).strip() == "/dev/null/home"


def test_proxies_do_not_stand_between_processes_of_this_machine() -> None:
    for given, expected in (
        ({}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "intern"}, "intern,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "127.0.0.1", "no_proxy": ""}, "127.0.0.1,localhost,::1"),
    ):
        settle(given)
        assert (given["no_proxy"], given["NO_PROXY"]) == (expected, expected)
    every = {"NO_PROXY": "*"}
    settle(every)
    assert every["NO_PROXY"] == "*"


def test_a_terminal_without_a_width_has_the_usual_one() -> None:
    given = {"COLUMNS": "0"}
    settle(given)
    assert "COLUMNS" not in given


def test_a_module_that_an_outer_dagster_would_import_is_forgotten() -> None:
    given = {"DAGSTER_DEFAULT_IO_MANAGER_MODULE": "outer", "DAGSTER_DEFAULT_IO_MANAGER_ATTRIBUTE": "manager"}
    settle(given)
    assert not any(name.startswith("DAGSTER_DEFAULT") for name in given)


def test_where_an_outer_job_sends_its_traces_is_forgotten() -> None:
    """An import of OpenTelemetry fails for a propagator that is not installed."""
    given = {"OTEL_PROPAGATORS": "tracecontext,b3", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4317"}
    assert settle(given) == ("OTEL_PROPAGATORS", "OTEL_EXPORTER_OTLP_ENDPOINT")
    assert not any(name.startswith("OTEL_") for name in given)


@pytest.mark.slow
def test_libraries_are_imported_whatever_a_notebook_or_an_outer_job_has_left(tmp_path: Path) -> None:
    left = {"MPLBACKEND": "module://no_such.backend", "OTEL_PROPAGATORS": "b3", "PYTHONWARNINGS": "error"}
    shown = python(
        "import skip_pipeline.cli, matplotlib.pyplot, mlflow, warnings, subprocess, sys\n"
        "warnings.warn('odd')\n"
        "subprocess.run([sys.executable, '-c', 'import warnings; warnings.warn(1)'], check=True)\n"
        "print(matplotlib.get_backend())",
        tmp_path,
        **left,
    )
    assert shown.strip().lower() == "agg"


@pytest.mark.slow
def test_a_python_without_docstrings_is_refused_in_one_line(tmp_path: Path) -> None:
    """MLflow's import fails in it."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python("from skip_pipeline.cli.main import app; app(['status'])", tmp_path, PYTHONOPTIMIZE="2")
    assert failed.value.returncode == 1
    assert_says(failed.value.stderr, "without docstrings", "Unset PYTHONOPTIMIZE")
    assert "Traceback" not in failed.value.stderr


def test_options_of_servers_are_those_of_the_command_and_not_of_the_environment() -> None:
    left = {
        "DAGSTER_WEBSERVER_PORT": "tcp://10.0.0.1:80",
        "MLFLOW_PORT": "tcp://10.0.0.1:80",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "outer.example",
        "UVICORN_ROOT_PATH": "/outer",
        "WEB_CONCURRENCY": "auto",
    }
    kept = {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9", "DAGSTER_HOME": "/home"}

    assert of_servers(left | kept) == kept
