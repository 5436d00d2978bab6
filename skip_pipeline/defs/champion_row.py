"""The champion of a registry, read from the registry's database without MLflow, whose import takes seconds.

Only ``skip-pipeline status`` reads it so. A registry behind a server is asked through MLflow.
"""

from dataclasses import dataclass

from skip_pipeline.defs.mlflow_store import without_credentials
from skip_pipeline.errors import MissingInputError, NoChampionError, UnreachableError
from skip_pipeline.nightly.promotion_record import CHAMPION, DATA_SOURCE, KIND
from skip_pipeline.settings import MODEL_NAME

_SCHEMES = ("sqlite:", "postgresql", "mysql", "mssql")
_ALIAS = "SELECT version FROM registered_model_aliases WHERE name = :model AND alias = :alias"
_TAGS = "SELECT key, value FROM model_version_tags WHERE name = :model AND version = :version"


@dataclass(frozen=True)
class Champion:
    """The champion's version, and values of its tags; empty if there is no such tag."""

    version: str
    kind: str
    data_source: str


def champion(uri: str) -> Champion:
    """The champion of the registry at an address.

    Raises:
        UnreachableError: the registry does not answer.
        MissingInputError: the registry has no champion, or no tables of MLflow.
    """
    if not uri.startswith(_SCHEMES):
        from skip_pipeline.defs.registry import Registry

        registry = Registry(uri)
        version = registry.current()
        return _champion(version, registry.tags(version))

    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    shown = without_credentials(uri)
    try:
        with create_engine(uri).connect() as connection:
            named = connection.execute(text(_ALIAS), {"model": MODEL_NAME, "alias": CHAMPION}).scalar()
            tags = connection.execute(text(_TAGS), {"model": MODEL_NAME, "version": named}).all()
    except (OperationalError, OSError) as failure:
        raise UnreachableError(
            f"the model registry at {shown} did not answer ({without_credentials(str(failure))}); expected a "
            f"database of MLflow. Start it, or correct the address"
        ) from failure
    except (SQLAlchemyError, ImportError) as failure:
        raise MissingInputError(
            f"the model registry at {shown} cannot be read ({without_credentials(str(failure))}); expected a "
            "database of MLflow whose driver is installed. Correct the address, or install the driver"
        ) from failure
    if named is None:
        raise NoChampionError(
            f"no version of {MODEL_NAME} is {CHAMPION} at {shown}; expected the alias on the version that "
            "is to be served. Run `skip-pipeline run`, whose gate promotes a version"
        )
    return _champion(str(named), {str(key): str(value) for key, value in tags})


def _champion(version: str, tags: dict[str, str]) -> Champion:
    return Champion(version, tags.get(KIND, ""), tags.get(DATA_SOURCE, ""))
