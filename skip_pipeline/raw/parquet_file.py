"""Reading columns of a parquet file that somebody made, or refusing the file."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.diagnosis import listed, other_format, unreadable

_MAGIC: Final = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Whether a file is called parquet, or begins as parquet under another name."""
    return path.suffix.lower() == ".parquet" or _start(path, len(_MAGIC)) == _MAGIC


def read_parquet(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> pa.Table:
    """Some columns of a file, of whatever types it has.

    A text column with a value that is no UTF-8 comes as bytes, so that ``spelling.refused_rows`` finds its
    rows.

    Args:
        choose: the names of the columns to read, given those of the file; it may refuse these.

    Raises:
        MissingInputError: the file is not there.
        BadInputError: it is no parquet file or a damaged one, or has a chosen column more than once.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            chosen = list(dict.fromkeys(choose(names)))
            if twice := [name for name in chosen if names.count(name) > 1]:
                raise BadInputError(
                    f"{path} has the columns {listed(twice)} more than once; expected each once. Write "
                    "the file without the others"
                )
            table = file.read(columns=chosen)
            return pa.table([_checked(table[name]) for name in chosen], names=chosen)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there; expected a parquet file") from None
    # Of a damaged file Arrow may want any amount of memory, and names of its columns may be no text.
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as refusal:
        raise _damaged(path, refusal) from refusal


def _checked(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return column.cast(pa.large_binary())
    return column


def _damaged(path: Path, refusal: Exception) -> BadInputError:
    if isinstance(refusal, OSError) and (refusal.errno is not None or not path.is_file()):
        return unreadable(path, refusal)
    start = _start(path, 1 << 9)
    if not _MAGIC.startswith(start[: len(_MAGIC)]):
        return BadInputError(
            f"{path} {other_format(start) or 'is no parquet file, as its name says. Rename it'}"
        )
    return BadInputError(
        f"{path} is a damaged parquet file ({refusal}); expected one that can be read to its end. Write or "
        "copy the file again"
    )


def _start(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:  # said where the file is read
        return b""
