"""Servers listen on this machine alone, unless told otherwise."""

import inspect
from pathlib import Path

import pytest

from skip_pipeline.cli import serving, ui
from skip_pipeline.settings import DataLayout


def test_the_server_listens_on_loopback_unless_told() -> None:
    assert inspect.signature(serving.serve).parameters["host"].default == "127.0.0.1"


def test_pages_listen_on_loopback(tmp_path: Path) -> None:
    commands = ui.commands(DataLayout(tmp_path), 3000, 5000)
    assert set(commands) == {"Dagster", "MLflow"}
    for command in commands.values():
        words = list(map(str, command))
        named = [words[i + 1] for i, word in enumerate(words) if word in ("-h", "--host")]
        assert named == ["127.0.0.1"]
        assert "0.0.0.0" not in words  # noqa: S104 - is not there


def test_no_address_of_a_store_is_on_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:planted@127.0.0.1/mlflow")
    assert "planted" not in str(ui.commands(DataLayout(tmp_path), 3000, 5000))
