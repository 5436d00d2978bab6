"""The data directory and where work on shards runs, as Dagster resources that hand out plain objects."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import dagster as dg
from pydantic import Field

from skip_pipeline.engine import open_engine
from skip_pipeline.locations import location
from skip_pipeline.settings import DataLayout, EngineKind, EngineSettings
from skip_pipeline.storage import Apply

T = TypeVar("T")
R = TypeVar("R")


class DataDirectory(dg.ConfigurableResource):
    """The data directory of this code location."""

    path: str = Field(description="Absolute path of the data directory that holds 01_raw to 07_report")
    shared: str = Field(
        default="",
        description="Path, or fsspec URL without credentials, of what holds 01_raw to 05_bundles, if that is "
        "not the data directory",
    )

    def layout(self) -> DataLayout:
        """The numbered folders below it.

        Raises:
            RefusedError: see ``locations.location``.
        """
        return DataLayout(Path(self.path), location(self.shared) if self.shared else None)


_DEFAULT = EngineSettings()


class ShardEngine(dg.ConfigurableResource):
    """Where the work on shards runs; the results are the same everywhere."""

    kind: str = Field(
        default=_DEFAULT.kind, description="in_process, processes (on this machine) or dask (a cluster)"
    )
    workers: int | None = Field(default=_DEFAULT.workers, description="Processes; else one per core")
    address: str = Field(
        default=_DEFAULT.address,
        description="Of a Dask scheduler whose workers see the files of 01_raw to 05_bundles under the same "
        "path or URL; else a cluster is started on this machine",
    )

    @contextmanager
    def applying(self, label: str) -> Iterator[Apply]:
        """What applies a function to every shard while the block lasts.

        Args:
            label: whose shards they are, for errors and a cluster's own pages.
        """
        kind = cast(EngineKind, self.kind)  # Dagster's config knows no Literal; open_engine refuses others
        settings = EngineSettings(kind=kind, workers=self.workers, address=self.address)
        with open_engine(settings) as engine:

            def apply(function: Callable[[T], R], shards: Sequence[T], /) -> Iterator[R]:
                return engine.map(function, shards, label=label)

            yield apply
