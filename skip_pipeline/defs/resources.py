"""Where one data directory is, as a Dagster resource that hands out plain objects."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from skip_pipeline.settings import DataLayout


class DataDirectory(dg.ConfigurableResource):
    """The data directory of this code location."""

    path: str = Field(description="Absolute path of the data directory that holds 01_raw to 07_report")

    def layout(self) -> DataLayout:
        """The numbered folders below it."""
        return DataLayout(Path(self.path))
