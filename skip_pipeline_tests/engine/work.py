"""Functions that the tests send to workers; in a module of their own, so that workers can import them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skip_pipeline.errors import BadInputError


class UnreadableError(Exception):
    """Can be pickled but not read back: its constructor needs two arguments."""

    def __init__(self, file: str, row: int):
        super().__init__(f"{file}: row {row}")


def double(shard: int) -> int:
    return 2 * shard


def later_first(shard: int) -> int:
    time.sleep(0.02 * (4 - shard % 4))
    return shard


def write_table(shard: Path) -> bytes:
    rows = np.random.default_rng(int(shard.stem)).standard_normal((3, 1000))
    pq.write_table(pa.table(dict(zip("abc", rows, strict=True))).sort_by("a"), shard)
    return shard.read_bytes()


def note_start(shard: Path) -> int:
    shard.touch()
    return int(shard.name)


def fail_on_two(shard: int) -> int:
    if shard == 2:
        raise BadInputError("log_2.csv: column session_id has no values; expected one in every row")
    return shard


def raise_key_error(shard: int) -> int:
    return {"a": 1}[f"no key {shard}"]


def raise_unreadable(shard: int) -> int:
    raise UnreadableError("log_1.csv", shard)


def die_of(shard: tuple[str, int]) -> int:
    name, status = shard
    if name == "log_3.csv":
        if status < 0:
            os.kill(os.getpid(), -status)
        os._exit(status)
    return 0


def die_once(shard: Path) -> int:
    if not shard.exists():
        shard.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return int(shard.name)


def process_and_threads(_shard: int) -> tuple[int, int]:
    return os.getpid(), pa.cpu_count()


def imported(_shard: int) -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def addresses_listened_at(_shard: int) -> set[str]:
    import psutil

    return {at.laddr.ip for at in psutil.Process().net_connections() if at.status == psutil.CONN_LISTEN}
