"""The registered versions of the model in MLflow: aliases, tags and files, for promotion and rollback.

Unlike a lost record, a registry that does not answer is an error here: a decision that is not written down
is no decision.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from skip_pipeline.defs.mlflow_client import mlflow_client
from skip_pipeline.defs.record import Record
from skip_pipeline.defs.served_model import RegisteredModel, log_served_model
from skip_pipeline.defs.tracking_guard import is_outage, without_credentials
from skip_pipeline.errors import MissingInputError, UnreachableError
from skip_pipeline.nightly.promotion_record import (
    DATA_SOURCE,
    DECISION,
    FINGERPRINT,
    NO_VERSION,
    OPPONENT,
    REASONS,
    JudgedVersion,
)
from skip_pipeline.serving import read_description
from skip_pipeline.settings import MODEL_NAME, VERSIONS_SHOWN

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class Registry:
    """Versions of one registered model (``nightly.champion.VersionRegistry``).

    Every method raises ``UnreachableError`` if the registry does not answer, and ``MissingInputError`` if it
    refuses.
    """

    def __init__(self, uri: str, *, name: str = MODEL_NAME) -> None:
        """Keep the address; no request is made yet."""
        self._uri = uri
        self.name = name

    @cached_property
    def _client(self) -> "MlflowClient":
        with self._asking():
            return mlflow_client(self._uri)

    def newest(self) -> str | None:
        """The version registered last; None if there is none."""
        with self._asking():
            found = self._client.search_model_versions(f"name = '{self.name}'")
        return str(max(int(version.version) for version in found)) if found else None

    def aliases(self) -> dict[str, str]:
        """Version by alias; empty if there is no such model."""
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

        with self._asking():
            try:
                model = self._client.get_registered_model(self.name)
            except MlflowException as refusal:
                if refusal.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                    return {}
                raise
        return {alias: str(version) for alias, version in model.aliases.items()}

    def point(self, alias: str, version: str) -> None:
        """Set an alias."""
        with self._asking():
            self._client.set_registered_model_alias(self.name, alias, version)

    def drop(self, alias: str) -> None:
        """Remove an alias."""
        with self._asking():
            self._client.delete_registered_model_alias(self.name, alias)

    def tags(self, version: str) -> dict[str, str]:
        """Tags of a version."""
        with self._asking():
            return dict(self._client.get_model_version(self.name, version).tags)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with self._asking():
            for name, value in tags.items():
                self._client.set_model_version_tag(self.name, version, name, value)

    def history(self) -> tuple[JudgedVersion, ...]:
        """The versions registered last, the newest first."""
        aliases = self.aliases()
        with self._asking():
            found = self._client.search_model_versions(
                f"name = '{self.name}'", max_results=VERSIONS_SHOWN, order_by=["version_number DESC"]
            )
        return tuple(
            JudgedVersion(
                version=str(entry.version),
                registered=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
                data_source=entry.tags.get(DATA_SOURCE, ""),
                decision=entry.tags.get(DECISION, ""),
                opponent=entry.tags.get(OPPONENT, "").removeprefix(NO_VERSION),
                reasons=entry.tags.get(REASONS, ""),
                aliases=tuple(sorted(a for a, v in aliases.items() if v == str(entry.version))),
            )
            for entry in found
        )

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        """Folder of a version's served model; files opened in the block stay readable after it.

        Raises:
            MissingInputError: the version holds no served model.
        """
        with RegisteredModel(self._uri, name=self.name).fetched(version) as folder:
            yield folder

    def check_reachable(self, version: str) -> None:
        """Raise ``UnreachableError`` if the store of a version's files does not answer.

        This tells a version whose files were removed from a store that is down.
        """
        from mlflow.artifacts import list_artifacts

        with self._asking():
            uri = self._client.get_model_version_download_uri(self.name, version)
            if not uri.startswith("file:"):
                list_artifacts(artifact_uri=uri, tracking_uri=self._uri)

    def registered(self, record: Record, folder: Path, fingerprint: str) -> str:
        """Version of the served model in a folder, which is registered now if it is not the newest version.

        Training registers what it has made; a model that it could not register, because the store was down,
        is registered here.

        Raises:
            MissingInputError: the model has to be registered, and there is no run to log it into.
        """
        import mlflow

        newest = self.newest()
        if newest is not None and self._fingerprint(newest) == fingerprint:
            return newest
        if record.run_id is None:
            raise MissingInputError(
                f"the model in {folder} is not registered, and no MLflow run could be opened to register it "
                "(Dagster's log of this run has the reason); expected a tracking store that takes runs. The "
                "model is kept: materialize champion_model when the store does, or wait for the next night"
            )
        with self._asking():
            logged = log_served_model(mlflow, folder, params={}, tags={"registered_by": "champion_model"})
        return str(logged.registered_model_version)

    def _fingerprint(self, version: str) -> str | None:
        """Fingerprint of a version's served model; None if it holds none."""
        known = self.tags(version).get(FINGERPRINT)
        if known:
            return known
        try:
            with self.fetched(version) as folder:
                return read_description(folder).fingerprint
        except UnreachableError:
            raise
        except MissingInputError:
            self.check_reachable(version)
            return None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError  # MLflow does not wrap what a damaged database raises

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as failure:
            down = is_outage(failure)
            raise (UnreachableError if down else MissingInputError)(
                f"the model registry at {without_credentials(self._uri)} "
                f"{'did not answer' if down else 'refused'} ({without_credentials(str(failure))}); expected "
                f"to read and set versions of {self.name}. The model is kept: when the registry answers, "
                "materialize champion_model, or wait for the next night"
            ) from failure
