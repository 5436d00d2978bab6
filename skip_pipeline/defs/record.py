"""The record of one materialization: its MLflow run, and its metadata in Dagster.

Without an MLflow run every method still collects metadata, and records nothing.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.defs import metadata
from skip_pipeline.defs.tracking_guard import Guard
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import Manifest, Staging, read_manifest

if TYPE_CHECKING:
    from mlflow.entities import Run

_MLFLOW_TYPES: Mapping[str, str] = {
    "string": "string",
    "bool": "boolean",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "float": "float",
    "double": "double",
}
"""MLflow's type of an Arrow column."""

BUNDLES = pa.schema([(name, pa.float32()) for name in (*schema.BRANCH_SHAPES, schema.LABEL)])
"""Columns of the bundles as MLflow records them; a branch counts as one."""


class Record:
    """What one materialization records.

    Attributes:
        started: ``time.perf_counter()`` at which the materialization began.
        link: address of the run in MLflow's UI; None if there is no run.
        metadata: what Dagster shows, in the order in which it was recorded.
    """

    def __init__(self, run: "Run | None", link: str | None, guard: Guard) -> None:
        self._run = run
        self._guard = guard
        self._lost_before = len(guard.lost)
        self.link = link
        self.started = time.perf_counter()
        self.metadata: dict[str, Any] = {}

    @property
    def run_id(self) -> str | None:
        """Id of the MLflow run; None if there is none."""
        return self._run.info.run_id if self._run else None

    # --- In MLflow and in Dagster ---------------------------------------------------------------------

    def made(self, manifest: Manifest, folder: Path, columns: pa.Schema | None = None) -> None:
        """Record the files of a stage: rows, bytes, seconds, digest, source and columns."""
        self.tags({"data_source": manifest.data_source, "sha256": manifest.fingerprint})
        self.metrics({"rows": manifest.rows, "bytes": manifest.bytes, "seconds": manifest.seconds})
        self.show(
            {
                "dagster/row_count": manifest.rows,
                "dagster/uri": folder.as_uri(),
                "path": dg.MetadataValue.path(str(folder)),
                "sha256": manifest.fingerprint,
                "bytes": manifest.bytes,
                "seconds": float(manifest.seconds),
                "data_source": manifest.data_source,
                "files": metadata.file_table(manifest.files),
            }
        )
        if columns is not None:
            self.json({column.name: str(column.type) for column in columns}, "schema.json")
            self.show({"dagster/column_schema": metadata.column_schema(columns)})

    def shards(self, staging: Staging) -> None:
        """Record how many shards a stage has, and how many of them were made in this run."""
        # A name with a leading underscore is a lookup table, not a shard.
        self.numbers(
            {
                "shards": sum(not name.startswith("_") for name in staging.shards),
                "shards_made": sum(not name.startswith("_") for name in staging.made),
            }
        )

    def numbers(self, values: Mapping[str, float]) -> None:
        """Record numbers."""
        self.metrics(values)
        self.show(values)

    def headline(self, values: Mapping[str, float]) -> None:
        """Record numbers, in MLflow also on the parent run, where they chart night after night."""
        self.numbers(values)
        self.attempt(
            "headline of the parent run",
            lambda mlflow: mlflow.log_metrics(dict(values), run_id=self._parent_run_id),
        )

    def picture(self, name: str, png: bytes, title: str = "") -> None:
        """Record a PNG; in MLflow under ``plots/``."""
        self.image(name, png)
        self.show({name: metadata.picture(png, title or name.replace("_", " "))})

    # --- In Dagster -----------------------------------------------------------------------------------

    def show(self, values: Mapping[str, Any]) -> None:
        """Add metadata."""
        self.metadata |= values

    def result(self, checks: Iterable[dg.AssetCheckResult] = ()) -> dg.MaterializeResult:
        """The materialization, whose data version is the digest of its files."""
        lost = "; ".join(self._guard.lost[self._lost_before :] or self._guard.lost[-1:])
        if self.link is None:
            self.show({"mlflow_run": f"not recorded: {lost or 'no tracking configured'}"})
        else:
            self.show({"mlflow_run": dg.MetadataValue.url(self.link)})
            if self._guard.suspended or len(self._guard.lost) > self._lost_before:
                self.show({"mlflow_run_incomplete": lost})
        return dg.MaterializeResult(
            metadata=self.metadata,
            data_version=dg.DataVersion(self.metadata["sha256"]),
            check_results=list(checks),
        )

    # --- In MLflow ------------------------------------------------------------------------------------

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters."""
        self.attempt("parameters", lambda mlflow: mlflow.log_params(dict(values)))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, at a step of training if one is given."""
        self.attempt(
            f"metrics {', '.join(values)}", lambda mlflow: mlflow.log_metrics(dict(values), step=step)
        )

    def tags(self, values: Mapping[str, str]) -> None:
        """Tag the run."""
        self.attempt(f"tags {', '.join(values)}", lambda mlflow: mlflow.set_tags(dict(values)))

    def parent_tags(self, values: Mapping[str, str]) -> None:
        """Tag the parent run."""

        def log(mlflow: Any) -> None:
            for name, value in values.items():
                mlflow.MlflowClient().set_tag(self._parent_run_id, name, value)

        self.attempt("tags of the parent run", log)

    def artifact(self, path: Path) -> None:
        """Copy one file of this machine to the run's artifacts."""
        self.attempt(f"artifact {path.name}", lambda mlflow: mlflow.log_artifact(str(path)))

    def json(self, content: Mapping[str, object], name: str) -> None:
        """Store a mapping among the run's artifacts, as a JSON file."""
        self.attempt(f"artifact {name}", lambda mlflow: mlflow.log_dict(dict(content), name))

    def image(self, name: str, png: bytes) -> None:
        """Store a PNG among the run's artifacts, under ``plots/``."""

        def log(mlflow: Any) -> None:
            from PIL import Image

            mlflow.log_image(Image.open(io.BytesIO(png)), f"plots/{name}.png")

        self.attempt(f"picture {name}", log)

    def read(
        self, manifest: Manifest, folder: Path, columns: pa.Schema = BUNDLES, context: str = "input"
    ) -> None:
        """Record which data the run read.

        Args:
            manifest: of the data.
            folder: of the files.
            columns: of the data.
            context: what the run used them for, such as ``training``.
        """
        types = {column.name: _MLFLOW_TYPES[str(column.type)] for column in columns}

        def log(mlflow: Any) -> None:
            from skip_pipeline.defs.dataset import FingerprintedDataset

            mlflow.log_input(FingerprintedDataset(manifest, folder, types), context=context)

        self.attempt(f"input {manifest.stage}", log)

    def read_bundles(self, layout: DataLayout, context: str) -> Manifest:
        """Record that the run read the bundles, whose manifest is returned.

        Raises:
            MissingInputError, ContractError: see ``storage.read_manifest``.
        """
        manifest = read_manifest(layout.bundles, made_by="tensor_bundles")
        self.read(manifest, layout.bundles, context=context)
        return manifest

    def attempt(self, record: str, log: Callable[[Any], object]) -> None:
        """Call ``log`` with the ``mlflow`` module if there is a run; lose ``record`` if the store fails."""
        if self._run is None or self._guard.suspended:
            return
        import mlflow

        with self._guard.may_lose(record):
            log(mlflow)

    @property
    def _parent_run_id(self) -> str | None:
        return self._run.data.tags["mlflow.parentRunId"] if self._run else None
