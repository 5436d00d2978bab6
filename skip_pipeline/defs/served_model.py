"""The served model in MLflow: logging it, and finding the version that an alias points to.

Imports no Dagster, and MLflow only when a function needs it.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pandas as pd

from skip_pipeline import schema
from skip_pipeline.defs.mlflow_client import mlflow_client
from skip_pipeline.defs.tracking_guard import is_outage, without_credentials
from skip_pipeline.errors import MissingInputError, UnreachableError
from skip_pipeline.nightly.promotion_record import CHAMPION
from skip_pipeline.serving.model_folder import DESCRIPTION, SERVED_MODEL, read_description
from skip_pipeline.serving.requests import EXAMPLE
from skip_pipeline.settings import MODEL_NAME

_PACKAGE: Final = Path(__file__).parents[1]
_MODEL_CODE: Final = _PACKAGE / "serving" / "pyfunc_model.py"
_REQUIREMENTS: Final = (
    "mlflow", "numpy", "pandas", "pyarrow", "scipy", "onnxruntime", "filelock", "pydantic",
)  # fmt: skip
"""What the served model imports; neither TensorFlow nor Dagster. This package is on no index, so its modules
travel with the model."""


def log_served_model(mlflow: Any, folder: Path, *, params: dict[str, str], tags: dict[str, str]) -> Any:
    """Log a served model into the open run of the module ``mlflow`` as a pyfunc, and register it.

    Signature, example and requirements are given, because MLflow would otherwise run the model to infer them.
    The result is MLflow's ``ModelInfo``.
    """
    described = read_description(folder)
    search_path = list(sys.path)
    with TemporaryDirectory() as temporary:
        try:
            return mlflow.pyfunc.log_model(
                name=MODEL_NAME,
                python_model=str(_MODEL_CODE),
                artifacts={SERVED_MODEL: str(folder)},
                code_paths=[str(_copy_serving_code(Path(temporary)))],
                signature=_signature(),
                input_example=pd.DataFrame([EXAMPLE]),
                pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
                registered_model_name=MODEL_NAME,
                params=params,
                tags={"data_source": described.data_source, "preset": described.preset} | tags,
                metadata={"fingerprint": described.fingerprint, "data_source": described.data_source},
            )
        finally:
            # MLflow has run the example with the copied code first on the search path, and has left it there.
            sys.path[:] = search_path


def _copy_serving_code(folder: Path) -> Path:
    """Copy the modules of this package that ``pyfunc_model`` imports, directly or not; return the copy."""
    finder = ModuleFinder(path=[str(_PACKAGE.parent)])
    finder.run_script(str(_MODEL_CODE))
    for module in finder.modules.values():
        source = Path(getattr(module, "__file__", None) or "")
        if source.is_relative_to(_PACKAGE):
            copy = folder / source.relative_to(_PACKAGE.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return folder / _PACKAGE.name


def _signature() -> Any:
    """MLflow's signature of the served model.

    A history is declared as an array of anything, because MLflow checks declared columns value by value:
    13 ms for a session of 19 tracks, against 0.5 ms without. ``serving.requests`` checks them in 0.1 ms.
    """
    from mlflow.models import ModelSignature

    inputs = [
        {"name": schema.SESSION_ID, "type": "string", "required": True},
        {"name": "history", "type": "array", "items": {"type": "any"}, "required": True},
        # One of the two, row by row. A map would refuse the NaN that pandas puts for a missing value.
        {"name": "next_track_id", "type": "string", "required": False},
        {"name": "next_track", "type": "any", "required": False},
    ]
    outputs = [
        {"name": schema.SESSION_ID, "type": "string"},
        {"name": "p_skip", "type": "double"},
        {"name": "known_track", "type": "boolean"},
        {"name": "data_source", "type": "string"},
    ]
    return ModelSignature.from_dict({"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)})


class RegisteredModel:
    """The champion among the versions of a registered model (``serving.follow.Source``).

    Every method raises ``MissingInputError`` where the registry does not answer.
    """

    def __init__(self, tracking_uri: str, *, name: str = MODEL_NAME) -> None:
        """Store the names; the registry is not asked yet."""
        self._uri = tracking_uri
        self.name = name

    def exists(self) -> bool:
        """Whether there is a champion."""
        with self._asking():
            found = self._client().search_registered_models(f"name = '{self.name}'")
        return any(CHAMPION in model.aliases for model in found)

    def current(self) -> str:
        """The champion's number; ``MissingInputError`` if there is none."""
        with self._asking():
            return str(self._client().get_model_version_by_alias(self.name, CHAMPION).version)

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        """Folder of a version's served model, while its files are being opened.

        A version on another machine is downloaded, and deleted afterwards: mapped files stay readable.

        Raises:
            MissingInputError: the version is not a served model.
        """
        with TemporaryDirectory() as here:
            with self._asking():
                uri = self._client().get_model_version_download_uri(self.name, version)
                place = urlsplit(uri)
                if place.scheme == "file":
                    model = Path(unquote(place.path))
                else:
                    from mlflow.artifacts import download_artifacts

                    model = Path(download_artifacts(artifact_uri=uri, dst_path=here, tracking_uri=self._uri))
            descriptions = list((model / "artifacts").glob(f"*/{DESCRIPTION}"))
            if not descriptions:
                raise MissingInputError(
                    f"version {version} of {self.name} holds no served model (no {DESCRIPTION} among its "
                    "artifacts); expected one that trained_model has logged. Set the alias on another version"
                )
            yield descriptions[0].parent

    def _client(self) -> Any:
        return mlflow_client(self._uri)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError  # MLflow does not wrap what a damaged database raises

        try:
            yield
        except (MlflowException, SQLAlchemyError) as failure:
            raise (UnreachableError if is_outage(failure) else MissingInputError)(
                f"no version of {self.name} called {CHAMPION} could be had from "
                f"{without_credentials(self._uri)} ({without_credentials(str(failure))}); expected the "
                "alias on a version that is to be served. Set the alias in MLflow, or name the folder of a "
                "served model with --model"
            ) from failure
