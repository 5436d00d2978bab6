"""The served model in MLflow: logging it, and finding the version that an alias points to.

Imports neither Dagster nor, before something is asked of it, MLflow.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from skip_pipeline import schema
from skip_pipeline.defs.mlflow_client import mlflow_client
from skip_pipeline.defs.tracking_guard import is_outage, without_credentials
from skip_pipeline.errors import MissingInputError, UnreachableError
from skip_pipeline.nightly.promotion_record import CHAMPION
from skip_pipeline.serving.example import request_example
from skip_pipeline.serving.package import DESCRIPTION, SERVED_MODEL, describe
from skip_pipeline.settings import MODEL_NAME

_PACKAGE: Final = Path(__file__).parents[1]
_REQUIREMENTS: Final = ("mlflow", "numpy", "pandas", "pyarrow", "scipy", "onnxruntime", "filelock")
"""What the served model imports, TensorFlow and Dagster not among it. This package itself is no requirement,
since no index has it: its code travels with the model."""


def log_served_model(mlflow: Any, folder: Path, *, params: dict[str, str], tags: dict[str, str]) -> Any:
    """Log a served model into the open run as a pyfunc, and register it.

    Signature, example and pins are given, because MLflow would otherwise try the model to find them out.

    Args:
        mlflow: the module.
        folder: of the served model (``serving.pack``).
        params, tags: of the model.

    Returns:
        MLflow's ``ModelInfo``.
    """
    described = describe(folder)
    search_path = list(sys.path)
    try:
        return mlflow.pyfunc.log_model(
            name=MODEL_NAME,
            python_model=str(_PACKAGE / "serving" / "pyfunc_model.py"),
            artifacts={SERVED_MODEL: str(folder)},
            code_paths=[str(_PACKAGE)],
            signature=signature(),
            input_example=request_example(),
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
            registered_model_name=MODEL_NAME,
            params=params,
            tags={"data_source": described.data_source, "preset": described.preset} | tags,
            metadata={"fingerprint": described.fingerprint, "data_source": described.data_source},
        )
    finally:
        # MLflow has tried the example, with the code that travels with the model put before all other.
        sys.path[:] = search_path


def signature() -> Any:
    """MLflow's signature of the served model.

    A history is declared as an array of anything: MLflow checks what is declared of its objects value by
    value, in 13 ms for a session of 19 tracks and all columns, and in 0.5 ms for objects of any columns.
    ``serving.requests`` checks them all, in 0.2 ms.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Array

    anything = AnyType()  # type: ignore[no-untyped-call]  # its constructor has no types
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string, schema.SESSION_ID),
                ColSpec(Array(anything), "history"),
                # One of the two, row by row. A map would not let a row do without, where pandas puts NaN.
                ColSpec(DataType.string, "next_track_id", required=False),
                ColSpec(anything, "next_track", required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(DataType.string, schema.SESSION_ID),
                ColSpec(DataType.double, "p_skip"),
                ColSpec(DataType.boolean, "known_track"),
                ColSpec(DataType.string, "data_source"),
            ]
        ),
    )


class RegisteredModel:
    """The version of a registered model that an alias points to (``serving.follow.Source``)."""

    def __init__(self, tracking_uri: str, *, name: str = MODEL_NAME, alias: str = CHAMPION) -> None:
        """Remember where to ask; nothing is asked yet."""
        self._uri = tracking_uri
        self.name = name
        self.alias = alias

    def current(self) -> str:
        """Number of the version that the alias points to now.

        Raises:
            MissingInputError: there is no such model or alias, or the registry does not answer.
        """
        with self._asking():
            return str(self._client().get_model_version_by_alias(self.name, self.alias).version)

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        """Folder of a version's served model, while its files are being opened.

        One that is not on this machine is downloaded, and removed afterwards: an opened file stays readable.

        Raises:
            MissingInputError: the version is no served model, or the registry does not answer.
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

        try:
            yield
        except MlflowException as failure:
            raise (UnreachableError if is_outage(failure) else MissingInputError)(
                f"no version of {self.name} called {self.alias} could be had from "
                f"{without_credentials(self._uri)} ({without_credentials(failure.message)}); expected the "
                "alias on a version that is to be served. Set it in MLflow, or serve a folder instead"
            ) from failure
