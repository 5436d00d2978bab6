"""The shard of one session log: its name in every table, and the hashes of its session ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skip_pipeline.raw.folder import shard_name
from skip_pipeline.raw.session_log import SessionLogSummary
from skip_pipeline.storage import map_array, write_array


def table_file(raw: Path) -> str:
    """Name of a session log's shard in every table.

    >>> table_file(Path("training_set/log_0.csv.gz"))
    'log_0.parquet'
    """
    return f"{shard_name(raw)}.parquet"


def hashes_file(shard: str) -> str:
    """Name of the hashes of a shard's session ids, from which a session in two logs is found.

    >>> hashes_file("log_0.parquet")
    '_session_hashes/log_0.npy'
    """
    return f"_session_hashes/{Path(shard).stem}.npy"


def write_hashes(out: Path, shard: str, summary: SessionLogSummary) -> str:
    """Write the hashes of a shard's session ids below ``out``, and give the file's name."""
    hashes = out / hashes_file(shard)
    hashes.parent.mkdir(exist_ok=True)
    write_array(hashes, summary.session_hashes)
    return hashes_file(shard)


def summary_of(summary: Mapping[str, Any], hashes: Path) -> SessionLogSummary:
    """The summary of one session log, from its JSON values and the file of its session hashes."""
    return SessionLogSummary.from_json(summary, map_array(hashes))
