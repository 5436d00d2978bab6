"""The record of one materialization: its MLflow run, and its metadata in Dagster."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.defs import metadata
from skip_pipeline.defs.mlflow_runs import DESCRIPTION, MLFLOW_PARENT
from skip_pipeline.defs.mlflow_store import Guard
from skip_pipeline.defs.served_model import describe_version, log_scores
from skip_pipeline.defs.undelivered import Entry, now
from skip_pipeline.raw.description import Description, describe
from skip_pipeline.settings import FILES_SHOWN, MODEL_SECONDS, QUESTION_SECONDS, DataLayout, DataSource
from skip_pipeline.stages.shards import UNKNOWN
from skip_pipeline.storage import FATES, Manifest, Staging, read_manifest

if TYPE_CHECKING:
    from mlflow.entities import Run

# MLflow's types of Arrow columns that have another name there.
_MLFLOW_TYPES = {"bool": "boolean", "int8": "integer", "int16": "integer", "int32": "integer"}

# Asset and columns of the stages that others read, by folder; a branch of the bundles counts as one column.
_STAGES = {
    "merged": ("merged_table", schema.MERGED),
    "encoded": ("encoded_table", schema.ENCODED),
    "scaled": ("scaled_table", schema.SCALED),
    "bundles": (
        "tensor_bundles",
        pa.schema([(name, pa.float32()) for name in (*schema.BRANCH_SHAPES, schema.LABEL)]),
    ),
}


class Record:
    """What one materialization records; without an MLflow run, only ``metadata`` for Dagster."""

    def __init__(self, run: "Run | None", link: str | None, guard: Guard) -> None:
        self._run = run
        self._guard = guard
        self._lost_before = len(guard.lost)
        self.link = link  # to the run in MLflow's UI
        self.run_id = run.info.run_id if run else None
        self._parent_run_id = run.data.tags[MLFLOW_PARENT] if run else None
        self.started = time.perf_counter()
        self.unsent: list[Entry] = []  # what the store has not taken, and may take later
        self.metadata: dict[str, Any] = {}
        self.description = Description()  # of the data, see ``describe``

    # --- In MLflow and in Dagster ---------------------------------------------------------------------

    def made(self, manifest: Manifest, folder: Path, columns: pa.Schema | None = None) -> None:
        """Record the files of a stage: rows, bytes, seconds, digest, source and columns."""
        described = {"data": self.description.mark} if self.description.mark else {}
        self.tags({"data_source": manifest.data_source, "sha256": manifest.fingerprint} | described)
        self.metrics({"rows": manifest.rows, "bytes": manifest.bytes, "seconds": manifest.seconds})
        files = [{"file": f.name, "bytes": f.bytes, "sha256": f.sha256} for f in manifest.files[:FILES_SHOWN]]
        self.show(
            {
                "dagster/row_count": manifest.rows,
                "dagster/uri": folder.as_uri(),
                "path": dg.MetadataValue.path(str(folder)),
                "sha256": manifest.fingerprint,
                "bytes": manifest.bytes,
                "seconds": float(manifest.seconds),
                "data_source": manifest.data_source,
                "files": metadata.table(files, {"file": "string", "bytes": "int", "sha256": "string"}),
            }
            | ({"data": self.description.banner} if self.description.mark else {})
        )
        if columns is not None:
            types = {column.name: str(column.type) for column in columns}
            self.json(types, "schema.json")
            unknown = manifest.details.get(UNKNOWN, ())
            shown = [
                dg.TableColumn(name, type_, constraints=dg.TableColumnConstraints(nullable=name in unknown))
                for name, type_ in types.items()
            ]
            self.show({"dagster/column_schema": dg.TableSchema(columns=shown)})

    def shards(self, staging: Staging) -> None:
        """Record the shards of a stage: how many, and which were made in this run, removed and kept."""
        fates = staging.fates()
        counts = {fate: sum(found == fate for found in fates.values()) for fate in FATES}
        self.numbers(
            {
                "shards": counts["made"] + counts["kept"],
                "shards_made": counts["made"],
                "shards_removed": counts["removed"],
            }
        )
        if fates:
            rows = [{"shard": name, "in this run": fate} for name, fate in fates.items()]
            rows.sort(key=lambda row: FATES.index(row["in this run"]))
            self.show({"shards_of_this_run": metadata.table(rows[:FILES_SHOWN])})

    def numbers(self, values: Mapping[str, float]) -> None:
        """Record numbers."""
        self.metrics(values)
        self.show(values)

    def headline(self, values: Mapping[str, float]) -> None:
        """Record numbers, in MLflow also on the parent run, where they chart night after night."""
        self.numbers(values)
        content = {"values": dict(values), "time": now()}
        self._log(Entry("headline of the parent run", "parent_metrics", content))

    def picture(self, name: str, png: bytes, title: str = "", *, shown: bool = True) -> None:
        """Record a PNG, in MLflow under ``plots/``; in Dagster only if ``shown``."""
        sent = self._log(Entry(f"picture {name}", "file", {"name": f"plots/{name}.png"}, png))
        title = title or name.replace("_", " ")
        if shown and sent and self.link:
            server, _, _ = self.link.partition("/#/")
            address = f"{server}/get-artifact?path=plots/{name}.png&run_uuid={self.run_id}"
            page = f"{self.link}/artifacts/plots/{name}.png"
            self.show({name: metadata.linked_picture(address, title, page)})
        elif shown:
            self.show({name: metadata.picture(png, title)})

    def describe(self, layout: DataLayout, source: DataSource) -> None:
        """Say with the files of ``made`` what data they come from, where these are not the public ones."""
        self.description = describe(layout.raw, source)

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
            if self.unsent or self._guard.suspended or len(self._guard.lost) > self._lost_before:
                self.show({"mlflow_run_incomplete": lost or "the tracking store is too slow"})
        if self.unsent:
            self.show({"mlflow_later": f"{len(self.unsent)} entries are kept, and delivered by a later run"})
        return dg.MaterializeResult(
            metadata=self.metadata,
            data_version=dg.DataVersion(self.metadata["sha256"]),
            check_results=list(checks),
        )

    # --- In MLflow ------------------------------------------------------------------------------------

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters."""
        self._log(Entry("parameters", "params", {name: str(value) for name, value in values.items()}))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, at a step of training if one is given."""
        content = {"values": dict(values), "step": step, "time": now()}
        self._log(Entry(f"metrics {', '.join(values)}", "metrics", content))

    def tags(self, values: Mapping[str, str]) -> None:
        """Tag the run."""
        self._log(Entry(f"tags {', '.join(values)}", "tags", dict(values)))

    def parent_tags(self, values: Mapping[str, str]) -> None:
        """Tag the parent run."""
        self._log(Entry("tags of the parent run", "parent_tags", dict(values)))

    def outcome(self, text: str) -> None:
        """Say behind the name of the parent run, after a comma, what came of it."""

        def rename(mlflow: Any) -> None:
            client = mlflow.MlflowClient()
            name = client.get_run(self._parent_run_id).info.run_name.partition(", ")[0]
            client.set_tag(self._parent_run_id, "mlflow.runName", f"{name}, {text}")

        self.attempt("name of the parent run", rename)

    def page(self, title: str, path: Path) -> None:
        """Copy a page to the run's artifacts, and link to it in the description of the parent run."""
        self.artifact(path)

        def link(mlflow: Any) -> None:
            client = mlflow.MlflowClient()
            said = client.get_run(self._parent_run_id).data.tags.get(DESCRIPTION, "")
            line = f"[{title}]({self.link}/artifacts/{path.name})"
            client.set_tag(self._parent_run_id, DESCRIPTION, f"{said}\n\n{line}".strip())

        self.attempt(f"link to {path.name}", link)

    def artifact(self, path: Path) -> None:
        """Copy one file of this machine to the run's artifacts."""
        self._log(Entry(f"artifact {path.name}", "file", {"name": path.name}, path))

    def json(self, content: Mapping[str, object], name: str) -> None:
        """Store a mapping among the run's artifacts, as a JSON file."""
        text = json.dumps(dict(content), indent=2, default=str)
        self._log(Entry(f"artifact {name}", "file", {"name": name}, text.encode()))

    def read(self, manifest: Manifest, folder: Path, columns: pa.Schema, context: str = "input") -> None:
        """Record which data the run read, and what for, such as ``training``."""
        dataset = _dataset(manifest, folder, columns).to_dict()
        self._log(Entry(f"input {manifest.stage}", "input", {"dataset": dataset, "context": context}))

    def judged(self, version: str, folder: Path, judgement: str) -> None:
        """Describe a registered version, which holds the served model of a folder, with its judgement."""
        self.attempt(
            f"description of version {version}",
            lambda mlflow: describe_version(mlflow, folder, version, judgement),
        )

    def scored(self, fingerprint: str, scores: Mapping[str, float], bundles: Manifest) -> None:
        """Link the scores of a served model on bundles to its version, see ``log_scores``."""
        dataset = partial(_dataset, bundles, bundles.folder, _STAGES["bundles"][1])
        self.attempt(
            "scores of the version", lambda mlflow: log_scores(mlflow, fingerprint, scores, dataset())
        )

    def read_stage(self, layout: DataLayout, folder: str, context: str = "input") -> Manifest:
        """Record that the run read a published stage (a field of the layout); returns its manifest."""
        asset, columns = _STAGES[folder]
        manifest = read_manifest(getattr(layout, folder), made_by=asset)
        self.read(manifest, getattr(layout, folder), columns, context)
        self.describe(layout, manifest.data_source)
        return manifest

    def attempt(self, record: str, log: Callable[[Any], object], least: float = MODEL_SECONDS) -> bool:
        """Call ``log`` with the ``mlflow`` module if there is a run; lose ``record`` if the store fails.

        ``least`` is that of ``Guard.may_lose``.

        Returns whether it was recorded.
        """
        if self._run is None or self._guard.suspended:
            return False
        import mlflow

        lost_before = len(self._guard.lost)
        with self._guard.may_lose(record, least):
            log(mlflow)
        return len(self._guard.lost) == lost_before

    def _log(self, entry: Entry) -> bool:
        """Send an entry; keep it if there is no run, or the store does not answer or is too slow.

        Returns whether it was recorded.
        """
        late = self._guard.late
        sent = not late and self.attempt(
            entry.what, lambda mlflow: entry.send(mlflow, self._parent_run_id), QUESTION_SECONDS
        )
        if late or self._run is None or self._guard.suspended:
            self.unsent.append(entry)
        return sent


def _dataset(manifest: Manifest, folder: Path, columns: pa.Schema) -> Any:
    from skip_pipeline.defs.dataset import FingerprintedDataset

    types = {c.name: _MLFLOW_TYPES.get(str(c.type), str(c.type)) for c in columns}
    return FingerprintedDataset(manifest, folder, types)
