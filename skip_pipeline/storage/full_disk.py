"""The error for a disk that is full."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from skip_pipeline.errors import FullDiskError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, no file as large as this


@contextmanager
def saying_when_full(folder: Path) -> Iterator[None]:
    """Turn the system's error about a lack of space, in the block, into one that names the remedy.

    Args:
        folder: where the block writes, for the message.

    Raises:
        FullDiskError: there is no space for what the block writes.
    """
    try:
        yield
    except OSError as failure:
        if failure.errno not in _FULL:
            raise
        raise FullDiskError(
            f"{folder} cannot take what is being written to it ({failure}). What was published before is "
            "whole, and shards that are complete are kept; free some space and run again"
        ) from failure
