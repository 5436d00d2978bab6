"""Data directories with bundles and a served model in them, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from skip_pipeline import serving
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.environment import forget_settings
from skip_pipeline_tests.serving.registry import Registry
from skip_pipeline_tests.serving.small_models import data_directory, pack


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DataLayout:
    """A data directory with bundles and a packed model; to be read only."""
    made = data_directory(tmp_path_factory.mktemp("serving"))
    pack(made)
    return made


@pytest.fixture(scope="session")
def folder(layout: DataLayout) -> Path:
    """The packed model."""
    return layout.best / SERVED_MODEL


@pytest.fixture(scope="session")
def model(folder: Path) -> ServedModel:
    return serving.load(folder)


@pytest.fixture(scope="session")
def registry(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A store in which version 1 of the model is the champion."""
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        made = Registry(tmp_path_factory.mktemp("registry"))
        made.promote(made.register(folder))
        yield made
