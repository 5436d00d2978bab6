"""What the engines of these tests are asked to do. In a module of its own, as work on a cluster has to be."""

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

FOREVER = 60.0  # s; a test that waits it out fails


class UnreadableError(Exception):
    """Pickles, and cannot be read back: its constructor wants more than its message."""

    def __init__(self, file: str, row: int):
        super().__init__(f"{file}: row {row}")


def double(shard: int) -> int:
    return 2 * shard


def later_first(shard: int) -> int:
    time.sleep(0.05 * (4 - shard % 4))
    return shard


def write_table(shard: Path) -> bytes:
    """Writes a parquet file of random rows, and gives its bytes."""
    rows = np.random.default_rng(int(shard.stem)).standard_normal((3, 1000))
    part = shard.with_suffix(f".{os.getpid()}")
    pq.write_table(pa.table(dict(zip("abc", rows, strict=True))).sort_by("a"), part)
    part.rename(shard)
    return shard.read_bytes()


def note_start(shard: Path) -> int:
    shard.write_text(str(os.getpid()), encoding="utf-8")
    return int(shard.name)


def fail_on_two(shard: int) -> int:
    if shard == 2:
        raise BadInputError("log_2.csv: column session_id has no values; expected one in every row")
    return shard


def fail_on_zero(shard: Path) -> int:
    """Once others are at work, shard 0 fails; the others take forever."""
    if shard.name == "0":
        while not any(other.name != "0" for other in shard.parent.iterdir()):
            time.sleep(0.01)
        raise BadInputError("log_0.csv is empty")
    note_start(shard)
    time.sleep(FOREVER)
    return int(shard.name)


def raise_key_error(shard: int) -> int:
    return {"a": 1}[f"no key {shard}"]


def raise_unreadable(shard: int) -> int:
    raise UnreadableError("log_1.csv", shard)


def give_a_generator(shard: int) -> object:
    return (number for number in range(shard))


def die_once(shard: Path) -> int:
    """Killed the first time, in the middle of its work."""
    if not shard.exists():
        note_start(shard)
        os.kill(os.getpid(), signal.SIGKILL)
    return int(shard.name)


def die(shard: Path) -> int:
    with shard.open("a", encoding="utf-8") as attempts:
        attempts.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def leave(shard: int) -> int:
    sys.exit(3)


def process_and_threads(shard: int) -> tuple[int, int]:
    return os.getpid(), pa.cpu_count()


def imported(shard: int) -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def addresses_listened_at(shard: int) -> set[str]:
    import psutil

    return {at.laddr.ip for at in psutil.Process().net_connections() if at.status == psutil.CONN_LISTEN}
