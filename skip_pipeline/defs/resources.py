"""The data directory and the engine for work on shards, as Dagster resources."""

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
    """The data directory."""

    path: str = Field(description="Absolute path of the data directory that holds 01_raw to 07_report")
    shared: str = Field(
        default="",
        description="Path, or fsspec URL without credentials, of the folder that holds 01_raw to 05_bundles, "
        "if it is not the data directory",
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
    workers: int | None = Field(
        default=_DEFAULT.workers, description="Number of processes; by default one per core"
    )
    address: str = Field(
        default=_DEFAULT.address,
        description="Address of a Dask scheduler whose workers find 01_raw to 05_bundles under the same path "
        "or URL; by default a cluster is started on this machine",
    )

    @contextmanager
    def applying(self, label: str) -> Iterator[Apply]:
        """A function that applies another function to every shard, for use in the block.

        Args:
            label: asset of the shards, for errors and a cluster's own pages.
        """
        kind = cast(EngineKind, self.kind)  # Dagster's config has no Literal; open_engine refuses others
        settings = EngineSettings(kind=kind, workers=self.workers, address=self.address)
        with open_engine(settings) as engine:

            def apply(function: Callable[[T], R], shards: Sequence[T], /) -> Iterator[R]:
                return engine.map(function, shards, label=label)

            yield apply
