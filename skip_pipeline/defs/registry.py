"""The registered versions of the model in MLflow: aliases, tags and files, for promotion and serving.

Unlike a lost record, a registry that does not answer is an error here: a decision that is not written down
is no decision. This module imports no Dagster, and MLflow only when a method needs it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from skip_pipeline.defs.mlflow_store import interrupted_after, is_outage, mlflow_client, without_credentials
from skip_pipeline.defs.served_model import log_served_model
from skip_pipeline.errors import MissingInputError, NoChampionError, UnreachableError
from skip_pipeline.nightly.promotion_record import (
    CHAMPION,
    DATA_SOURCE,
    DECISION,
    FINGERPRINT,
    KIND,
    NO_VERSION,
    OPPONENT,
    REASONS,
    JudgedVersion,
)
from skip_pipeline.serving.model_folder import DESCRIPTION, SERVED_MODEL, read_description
from skip_pipeline.settings import MODEL_NAME, MODEL_SECONDS, VERSIONS_SHOWN, DataLayout

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


_LATEST = DataLayout(Path("DATA")).model / SERVED_MODEL


class Registry:
    """Versions of one registered model (``nightly.champion.VersionRegistry``, ``serving.follow.Source``).

    Every method raises ``UnreachableError`` if the registry does not answer, and ``MissingInputError`` if it
    refuses.
    """

    def __init__(self, uri: str, *, name: str = MODEL_NAME) -> None:
        """Keep the address; no request is made yet."""
        self._uri = uri
        self.name = name

    def __getstate__(self) -> dict[str, Any]:
        """Without the client, which another process makes for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_client"}

    @cached_property
    def _client(self) -> "MlflowClient":
        with self._asking():
            return mlflow_client(self._uri)

    def aliases(self) -> dict[str, str]:
        """Version by alias; empty if there is no such model."""
        with self._asking():
            found = self._client.search_registered_models(f"name = '{self.name}'")
        return {alias: str(version) for model in found for alias, version in model.aliases.items()}

    def current(self) -> str:
        """The champion's version."""
        version = self.aliases().get(CHAMPION)
        if version is None:
            raise NoChampionError(
                f"there is no version of {self.name} called {CHAMPION} at {without_credentials(self._uri)}; "
                "expected the alias on a version that is to be served. Set the alias in MLflow, or name the "
                f"folder of a served model with --model, such as that of the model trained last, {_LATEST}"
            )
        return version

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
                kind=entry.tags.get(KIND, ""),
            )
            for entry in found
        )

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        """Folder of a version's served model; files opened in the block stay readable after it.

        A version on another machine is downloaded, and deleted afterwards.

        Raises:
            MissingInputError: the version holds no served model.
        """
        from mlflow.artifacts import download_artifacts

        with TemporaryDirectory() as here:
            with self._asking():
                uri = self._client.get_model_version_download_uri(self.name, version)
                place = urlsplit(uri)
                model = Path(
                    unquote(place.path)
                    if place.scheme == "file"
                    else download_artifacts(artifact_uri=uri, dst_path=here, tracking_uri=self._uri)
                )
            descriptions = list((model / "artifacts").glob(f"*/{DESCRIPTION}"))
            if not descriptions:
                raise MissingInputError(
                    f"version {version} of {self.name} holds no served model (no {DESCRIPTION} among its "
                    "artifacts); expected one that best_model has logged. Set the alias on another version"
                )
            yield descriptions[0].parent

    def check_reachable(self, version: str) -> None:
        """Raise ``UnreachableError`` if the store of a version's files does not answer.

        This tells a version whose files were removed from a store that is down.
        """
        from mlflow.artifacts import list_artifacts

        with self._asking():
            uri = self._client.get_model_version_download_uri(self.name, version)
            if not uri.startswith("file:"):
                list_artifacts(artifact_uri=uri, tracking_uri=self._uri)

    def registered(self, run_id: str | None, folder: Path, fingerprint: str) -> str:
        """Version of the served model in a folder; registers it unless it is the newest version.

        Training registers what it has made; a model that it could not register, because the store was down,
        is registered here, in the open run ``run_id``.

        Raises:
            MissingInputError: the model has to be registered, and there is no run to log it into.
        """
        import mlflow

        versions = self.history()
        if versions and self._fingerprint(versions[0].version) == fingerprint:
            return versions[0].version
        if run_id is None:
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
            with interrupted_after(MODEL_SECONDS):
                yield
        except (MlflowException, SQLAlchemyError, OSError) as failure:
            down = is_outage(failure)
            # Another server may send a whole page.
            said = shorten(without_credentials(str(failure)), 400, placeholder=" …")
            raise (UnreachableError if down else MissingInputError)(
                f"the model registry at {without_credentials(self._uri)} "
                f"{'did not answer' if down else 'refused'} ({said}); expected "
                f"to read and set versions of {self.name}. The model is kept: when the registry answers, "
                "materialize champion_model, or wait for the next night; to serve without the registry, name "
                "the folder of a served model with --model"
            ) from failure
