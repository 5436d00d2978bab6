"""What an asset can record about its materialization in MLflow; all of it harmless without a server."""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skip_pipeline.defs.tracking_guard import Guard

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class DatasetFacts:
    """What identifies a set of files to MLflow."""

    name: str
    digest: str  # SHA-256 in hex
    rows: int
    bytes: int


class TrackedMaterialization:
    """The MLflow run of one materialization.

    Attributes:
        started: ``time.perf_counter()`` at which the materialization began.
        link: address of the run in the MLflow UI, or None when nothing is recorded.
    """

    def __init__(self, run: "Run | None", link: str | None, guard: Guard) -> None:
        self._run = run
        self._guard = guard
        self.link = link
        self.started = time.perf_counter()

    @property
    def run_id(self) -> str | None:
        """Id of the MLflow run, or None when nothing is recorded."""
        return self._run.info.run_id if self._run else None

    @property
    def parent_run_id(self) -> str | None:
        """Id of the parent run, or None when nothing is recorded."""
        return self._run.data.tags.get("mlflow.parentRunId") if self._run else None

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters."""
        self.attempt(lambda mlflow: mlflow.log_params(dict(values)))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, at a step of training if one is given."""
        self.attempt(lambda mlflow: mlflow.log_metrics(dict(values), step=step))

    def headline(self, values: Mapping[str, float]) -> None:
        """Log metrics on this run and on the parent, where nights chart against each other."""
        self.metrics(values)
        parent = self.parent_run_id
        if parent:
            self.attempt(lambda mlflow: mlflow.log_metrics(dict(values), run_id=parent))

    def parent_tags(self, values: Mapping[str, str]) -> None:
        """Tag the parent run."""
        parent = self.parent_run_id
        if parent:
            self.attempt(
                lambda mlflow: [mlflow.MlflowClient().set_tag(parent, k, v) for k, v in values.items()]
            )

    def tags(self, values: Mapping[str, str]) -> None:
        """Tag the run."""
        self.attempt(lambda mlflow: mlflow.set_tags(dict(values)))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy one file to the run's artifacts."""
        self.attempt(lambda mlflow: mlflow.log_artifact(str(path), folder))

    def json(self, content: Mapping[str, object], name: str) -> None:
        """Store a mapping among the run's artifacts, as a JSON file."""
        self.attempt(lambda mlflow: mlflow.log_dict(dict(content), name))

    def image(self, png: bytes, name: str) -> None:
        """Store a PNG among the run's artifacts, under ``plots/``."""

        def log(mlflow: Any) -> None:
            from PIL import Image

            mlflow.log_image(Image.open(io.BytesIO(png)), f"plots/{name}.png")

        self.attempt(log)

    def dataset(self, facts: DatasetFacts, folder: Path, columns: dict[str, str], context: str) -> None:
        """Record which data the run read.

        Args:
            facts: name, digest, rows and bytes of the data.
            folder: where the files are.
            columns: MLflow's type by column name.
            context: what the run used them for, such as ``training``.
        """

        def log(mlflow: Any) -> None:
            from skip_pipeline.defs.dataset import FingerprintedDataset

            mlflow.log_input(FingerprintedDataset(facts, folder, columns), context=context)

        self.attempt(log)

    def attempt(self, log: Callable[[Any], object]) -> None:
        """Call ``log`` with the ``mlflow`` module, unless nothing is being recorded."""
        if self._run is None or self._guard.suspended:
            return
        import mlflow

        with self._guard:
            log(mlflow)
