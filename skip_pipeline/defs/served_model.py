"""Log the served model in MLflow. This module imports MLflow only when a function needs it."""

import json
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd

from skip_pipeline import schema
from skip_pipeline.nightly.model_card import MODEL_CARD, NOT_JUDGED, version_card
from skip_pipeline.nightly.promotion_record import FINGERPRINT
from skip_pipeline.nightly.reference import REFERENCE_FILE, read_reference
from skip_pipeline.serving.examples import EXAMPLE_OF_LAST_TRACK
from skip_pipeline.serving.model_folder import SERVED_MODEL, read_description
from skip_pipeline.settings import MODEL_NAME

_PACKAGE: Final = Path(__file__).parents[1]
_MODEL_CODE: Final = _PACKAGE / "serving" / "pyfunc_model.py"
_LOGGED_MODEL: Final = "models:/"  # and the id of a logged model: the source of a version made from it
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
    about = {"data_source": described.data_source, "kind": described.kind}
    search_path = list(sys.path)
    with TemporaryDirectory() as temporary:
        try:
            return mlflow.pyfunc.log_model(
                name=MODEL_NAME,
                python_model=str(_MODEL_CODE),
                artifacts={SERVED_MODEL: str(folder)},
                code_paths=[str(_copy_serving_code(Path(temporary)))],
                signature=_signature(),
                input_example=pd.DataFrame([EXAMPLE_OF_LAST_TRACK]),
                pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
                registered_model_name=MODEL_NAME,
                params=params,
                tags=about | {"preset": described.preset, FINGERPRINT: described.fingerprint} | tags,
                metadata=about | {"fingerprint": described.fingerprint},
            )
        finally:
            # MLflow has run the example with the copied code first on the search path, and has left it there.
            sys.path[:] = search_path


def describe_version(mlflow: Any, folder: Path, version: str, judged: str = NOT_JUDGED) -> None:
    """Write the description of a version, and that of the registered model unless it has one.

    Args:
        mlflow: the module.
        folder: the served model that the version holds.
        version: of ``MODEL_NAME``.
        judged: the decision and its reasons, in words.
    """
    client = mlflow.MlflowClient()
    if not client.get_registered_model(MODEL_NAME).description:
        client.update_registered_model(MODEL_NAME, MODEL_CARD)
    reference = read_reference(folder) if (folder / REFERENCE_FILE).is_file() else None
    client.update_model_version(
        MODEL_NAME, version, version_card(read_description(folder), reference, judged)
    )


def log_scores(mlflow: Any, fingerprint: str, scores: Mapping[str, float], dataset: Any) -> None:
    """Link scores to the newest version of ``MODEL_NAME``: to its logged model and to the run that logged it.

    MLflow compares logged models by the former, and versions of a registered model by the latter.

    Args:
        mlflow: the module.
        fingerprint: of the served model that has these scores.
        scores: by name.
        dataset: that the model was scored on.

    Raises:
        MlflowException: that version is of another model, or was not made from a logged model.
    """
    client = mlflow.MlflowClient()
    newest = client.search_model_versions(
        f"name = '{MODEL_NAME}'", max_results=1, order_by=["version_number DESC"]
    )
    for found in newest:
        known = found.tags.get(FINGERPRINT) == fingerprint
        if known and found.source.startswith(_LOGGED_MODEL):  # MLflow 3.17 leaves found.model_id empty
            model_id = found.source.removeprefix(_LOGGED_MODEL)
            mlflow.log_metrics(dict(scores), run_id=found.run_id, model_id=model_id, dataset=dataset)
            return
    raise mlflow.MlflowException(
        f"the newest version of {MODEL_NAME} is not the model with fingerprint {fingerprint[:12]}, expected "
        "the one that was trained last; materialize trained_model and evaluation_report again"
    )


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
        # One of the three, row by row. A map would refuse the NaN that pandas puts for a missing value.
        {"name": "next_track_id", "type": "string", "required": False},
        {"name": "next_track", "type": "any", "required": False},
        {"name": "candidates", "type": "any", "required": False},
    ]
    outputs = [
        {"name": schema.SESSION_ID, "type": "string"},
        {"name": "p_skip", "type": "double"},
        {"name": "known_track", "type": "boolean"},
        {"name": "data_source", "type": "string"},
        {"name": schema.TRACK_ID, "type": "string"},
        *({"name": f"p_{flag}", "type": "double"} for flag in schema.OUTCOME_FLAGS[:-1]),
    ]
    return ModelSignature.from_dict({"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)})
