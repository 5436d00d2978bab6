"""The registered versions of the model, their aliases and tags: promotion's and rollback's way to MLflow.

Unlike a record, a decision that cannot be written down is no decision: a registry that does not answer is an
error here, where ``tracking`` would go on without it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skip_pipeline.defs.served_model import CHAMPION, RegisteredModel
from skip_pipeline.defs.tracking_guard import without_credentials
from skip_pipeline.errors import MissingInputError, RefusedError
from skip_pipeline.nightly.promotion_record import JudgedVersion
from skip_pipeline.settings import MODEL_NAME, VERSIONS_SHOWN

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHALLENGER: Final = "challenger"
"""Alias of the version that was judged last."""

PREVIOUS_CHAMPION: Final = "previous_champion"
"""Alias of the version that served before the champion; a rollback puts it back."""

OPPONENT: Final = "promotion.opponent"
"""Tag of a version: whom it was judged against. Written before anything is decided, so that judging again
after a crash, or after a rollback, compares the same two."""

DECISION: Final = "promotion.decision"
"""Tag of a version: ``promoted`` or ``refused``. Written last, when the aliases have been set."""

REASONS: Final = "promotion.reasons"
DATA_SOURCE: Final = "data_source"
FINGERPRINT: Final = "fingerprint"
NOBODY: Final = "none"  # MLflow takes no empty tag


class Registry:
    """Versions of one registered model.

    Every method raises ``MissingInputError`` where the registry does not answer.
    """

    def __init__(self, client: "MlflowClient", uri: str, *, name: str = MODEL_NAME) -> None:
        """Remember whom to ask; nothing is asked yet."""
        self._client = client
        self._uri = uri
        self.name = name

    def newest(self) -> str | None:
        """The version registered last; None where there is none."""
        with self._asking():
            found = self._client.search_model_versions(f"name = '{self.name}'")
        return str(max(int(version.version) for version in found)) if found else None

    def aliases(self) -> dict[str, str]:
        """Version by alias; none where there is no such model."""
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
                opponent=entry.tags.get(OPPONENT, "").removeprefix(NOBODY),
                reasons=entry.tags.get(REASONS, ""),
                aliases=tuple(sorted(a for a, v in aliases.items() if v == str(entry.version))),
            )
            for entry in found
        )

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        """Folder of a version's served model, as ``RegisteredModel.fetched`` gives it.

        Raises:
            MissingInputError: the version holds no served model; or nobody answers, see ``answers``.
        """
        with RegisteredModel(self._uri, name=self.name).fetched(version) as folder:
            yield folder

    def check_reachable(self, version: str) -> None:
        """Make sure that the files of a version can be asked for, whether they are there or not.

        To tell a version whose files are gone from a store that is down.
        """
        from mlflow.artifacts import list_artifacts

        with self._asking():
            uri = self._client.get_model_version_download_uri(self.name, version)
            if not uri.startswith("file:"):
                list_artifacts(artifact_uri=uri, tracking_uri=self._uri)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as failure:
            said = without_credentials(str(failure))
            raise MissingInputError(
                f"the model registry at {without_credentials(self._uri)} did not answer ({said}); expected "
                f"to read and set versions of {self.name}. The model is kept: when the registry answers, "
                "materialize champion_model, or wait for the next night"
            ) from failure


def registered(client: "MlflowClient", uri: str, mlflow: Any, folder: Path, fingerprint: str) -> str:
    """Version of the served model in a folder, which is registered now if it has not been.

    Only the newest version is looked at: training registers what it has just made, and what it could not
    register while the store was down is made up for here.

    Args:
        mlflow: the module, with a run open to log into.

    Raises:
        MissingInputError: the registry does not answer.
    """
    from skip_pipeline.defs.served_model import log_served_model

    registry = Registry(client, uri)
    newest = registry.newest()
    if newest is not None and _fingerprint(registry, newest) == fingerprint:
        return newest
    with registry._asking():
        logged = log_served_model(mlflow, folder, params={}, tags={"registered_by": "champion_model"})
    return str(logged.registered_model_version)


def _fingerprint(registry: Registry, version: str) -> str | None:
    """Of a version's served model; None where it holds none."""
    from skip_pipeline.serving.model_folder import read_description

    known = registry.tags(version).get(FINGERPRINT)
    if known:
        return known
    try:
        with registry.fetched(version) as folder:
            return read_description(folder).fingerprint
    except MissingInputError:
        registry.check_reachable(version)
        return None


def roll_back(registry: Registry) -> tuple[str | None, str]:
    """Put the previous champion back: the two change places, so that a second rollback undoes the first.

    Returns:
        The version that served until now, if any, and the one that serves from now on.

    Raises:
        RefusedError: there is no previous champion.
        MissingInputError: the registry does not answer.
    """
    aliases = registry.aliases()
    champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS_CHAMPION)
    if previous is None or previous == champion:
        raise RefusedError(
            f"{registry.name} has no {PREVIOUS_CHAMPION} (champion: {champion or 'none'}), expected one that "
            "a promotion has replaced; set the alias champion in MLflow on the version that is to serve"
        )
    registry.point(CHAMPION, previous)
    if champion is None:
        registry.drop(PREVIOUS_CHAMPION)
    else:
        registry.point(PREVIOUS_CHAMPION, champion)
    return champion, previous
