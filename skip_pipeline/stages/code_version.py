"""Which code made a result: a digest that changes whenever the stages, their contracts or Arrow do."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from skip_pipeline.storage import digest_of

_PACKAGE: Final = Path(__file__).parents[1]
_DECISIVE: Final = (
    "raw/*.py", "stages/*.py", "bundles/*.py", "serving/*.py", "storage/*.py", "schema.py", "settings.py",
)  # fmt: skip
"""Sources that can change what a stage makes of a shard. One digest for all: a shard too many that is made
again costs seconds, a shard too few would be wrong."""


@cache
def stages_version() -> str:
    """SHA-256 over the sources of the stages and the versions of Arrow and NumPy, in hex."""
    sources = sorted(path for pattern in _DECISIVE for path in _PACKAGE.glob(pattern))
    texts = [
        f"{path.relative_to(_PACKAGE).as_posix()}\0{path.read_text(encoding='utf-8')}" for path in sources
    ]
    return digest_of(pa.__version__, np.__version__, *texts)
