"""Seeded ids spelled as in the published files: a prefix and a lower-case UUID."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_HEX_DIGITS = 32
_DASHES_AFTER = (8, 12, 16, 20)
_UUID_LENGTH = _HEX_DIGITS + len(_DASHES_AFTER)


def uuid_strings(rng: np.random.Generator, count: int, *, prefix: str) -> pa.Array:
    """Draw ``count`` ids, string (count,): ``prefix`` and a version 4 UUID.

    Duplicates are not checked: with 122 random bits their chance is 1e-24 in four million ids.
    """
    return _spelt(_random_bytes(rng, count), prefix)


def ordered_uuid_strings(rng: np.random.Generator, numbers: range, *, of: int, prefix: str) -> pa.Array:
    """Ids of items that are numbered from 0 to ``of - 1``, ascending with the number: string (numbers,).

    The first 48 bits are drawn from the number's own part of their range, so ids of any range of numbers can
    be drawn alone. Neighbours with the same 48 bits (1e-8 of them at a million) still differ in the others.
    """
    raw = _random_bytes(rng, len(numbers))
    place = (np.arange(numbers.start, numbers.stop) + rng.random(len(numbers))) / of
    leading = (place * 2**48).astype(">u8")
    raw[:, :6] = leading.view(np.uint8).reshape(-1, 8)[:, 2:]
    return _spelt(raw, prefix)


def _random_bytes(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()


def _spelt(raw: npt.NDArray[np.uint8], prefix: str) -> pa.Array:
    """Bytes (count, 16) as text; version and variant bits are set in place."""
    count = len(raw)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40  # version 4
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80  # variant of RFC 4122
    digits = np.frombuffer(raw.tobytes().hex().encode("ascii"), dtype=np.uint8).reshape(count, _HEX_DIGITS)
    spelt = np.insert(digits, _DASHES_AFTER, ord("-"), axis=1)  # (count, 36)
    start = np.frombuffer(prefix.encode("ascii"), dtype=np.uint8)
    characters = np.concatenate([np.broadcast_to(start, (count, len(start))), spelt], axis=1)
    width = len(start) + _UUID_LENGTH
    offsets = np.arange(count + 1, dtype=np.int64) * width
    large = pa.LargeStringArray.from_buffers(
        count, pa.py_buffer(offsets.tobytes()), pa.py_buffer(np.ascontiguousarray(characters).tobytes())
    )
    return large.cast(pa.string())
