"""Bounds on what a packed file may unpack to: a megabyte of gzip can hold a gigabyte."""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from skip_pipeline.errors import BadInputError
from skip_pipeline.locations import is_local
from skip_pipeline.raw.diagnosis import is_gzip_name

_RATIO: Final = 50  # unpacked bytes for each packed one; of the published logs there are 5 to 10
_ALWAYS: Final = 1 << 28  # bytes that any file may unpack to, as small tests with few values need


def most_unpacked(packed: int) -> int:
    """Bytes that a file of so many packed ones may unpack to.

    >>> most_unpacked(1), most_unpacked(100_000_000)
    (268435456, 5000000000)
    """
    return max(_ALWAYS, _RATIO * packed)


def refusal(place: object, packed: int) -> BadInputError:
    """Refuse a file that unpacks to more."""
    return BadInputError(
        f"{place} has {packed:,} bytes and unpacks to more than {most_unpacked(packed):,}; expected at most "
        f"{_RATIO} times as many, as tables of real values have. Deliver the file again, or unpack it first "
        "if it is right"
    )


class _Bounded:
    """A stream of unpacked bytes that refuses to go on beyond a bound; as ``pyarrow.PythonFile`` takes it."""

    def __init__(self, unpacked: pa.NativeFile, path: Path, packed: int) -> None:
        self._unpacked, self._path, self._packed = unpacked, path, packed
        self._left = most_unpacked(packed)
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Read; raises BadInputError beyond the bound."""
        piece: bytes = self._unpacked.read(size if 0 <= size <= self._left else self._left + 1)
        self._left -= len(piece)
        if self._left < 0:
            raise refusal(self._path, self._packed)
        return piece

    def close(self) -> None:
        """Close the stream."""
        self._unpacked.close()
        self.closed = True


def open_table(path: Path) -> pa.NativeFile:
    """Open a delivered table as bytes, unpacked if its name is that of a gzipped one.

    Reading raises BadInputError where it unpacks to more than ``most_unpacked``.
    """
    source: Any = path if is_local(path) else path.open("rb")
    if not is_gzip_name(path):
        return pa.input_stream(source, compression=None)
    packed = path.stat().st_size
    return pa.PythonFile(_Bounded(pa.input_stream(source, compression="gzip"), path, packed), mode="r")
