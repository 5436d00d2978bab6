"""A published stage as an MLflow data set. This module imports MLflow, so import it only to record."""

import json
from pathlib import Path
from typing import Any

from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made at import
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, Schema

from skip_pipeline.locations import is_local
from skip_pipeline.storage import Manifest

_DIGEST_LENGTH = 36  # MLflow's limit for a dataset digest; the full one is a tag of the run that wrote it


class FingerprintedDataset(MetaDataset):
    """Place, columns (MLflow's type by name), size and digest of a stage, without reading its files.

    ``mlflow.data.from_pandas`` would read them, and make a digest of its own.
    """

    def __init__(self, stage: Manifest, folder: Path, columns: dict[str, str]) -> None:
        self._stage = stage
        super().__init__(
            source=_source_of(folder),
            name=stage.stage,
            digest=stage.fingerprint[:_DIGEST_LENGTH],
            schema=Schema([ColSpec(type=kind, name=column) for column, kind in columns.items()]),
        )

    @property
    def profile(self) -> dict[str, int]:
        """Rows and bytes."""
        return {"num_rows": self._stage.rows, "bytes": self._stage.bytes}

    def to_dict(self) -> dict[str, str]:
        """As MLflow stores it."""
        return super().to_dict() | {"profile": json.dumps(self.profile)}


def _source_of(folder: Path) -> Any:
    """Place of a folder as MLflow names it; for object stores that MLflow does not know, the plain URL."""
    if not is_local(folder):
        try:
            return resolve_dataset_source(str(folder))
        except MlflowException:
            pass
    return LocalArtifactDatasetSource(uri=str(folder))
