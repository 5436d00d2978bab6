"""The shard of one session log: its name in every table, and the hashes of its session ids."""

from pathlib import Path
from typing import Final

import numpy as np

from skip_pipeline.raw.folder import shard_name
from skip_pipeline.storage import write_array

UNKNOWN: Final = "unknown"
"""Detail of a table's manifest: columns in which values of own listening may be missing."""


def table_file(raw: Path) -> str:
    """Name of a session log's shard in every table.

    >>> table_file(Path("training_set/log_0.csv.gz"))
    'log_0.parquet'
    """
    return f"{shard_name(raw)}.parquet"


def hashes_file(shard: str) -> str:
    """Name of the hashes of a shard's session ids, from which a session in two logs is found."""
    return f"_session_hashes/{Path(shard).stem}.npy"


def write_hashes(out: Path, shard: str, hashes: np.ndarray) -> str:
    """Write the hashes of a shard's session ids below ``out``, and give the file's name."""
    name = hashes_file(shard)
    (out / name).parent.mkdir(exist_ok=True)
    write_array(out / name, hashes)
    return name
