"""Random numbers: a seeded stream for each part of the world, exact shares, evenly spread draws, ids."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skip_pipeline.world.arrays import FloatArray, IntArray

_GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2
_PLASTIC = 1.324717957244746  # the real root of x ** 3 = x + 1
_OTHER = 1_000  # spawn key of other seeds; no part has this number


class Part(IntEnum):
    """What a stream is for. The numbers must not change: every world depends on them."""

    CATALOGUE = 0
    PLAYS = 1
    LENGTHS = 2
    LISTENERS = 3
    DEALING = 4
    BEHAVIOUR = 5
    PLAYBACK = 6
    IDENTIFIERS = 7
    DRIFT_PLAYS = 8
    DRIFT_LEVELS = 9
    PLAYLISTS = 10
    APPEAL = 11
    LAW = 20


def stream(seed: int, part: Part, block: int = 0) -> np.random.Generator:
    """The stream of one part of one block of sessions; its draws do not change those of any other stream."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(part), block)))


def other_seed(seed: int) -> int:
    """Another seed, for sessions that share only the catalogue with the sessions of ``seed``."""
    return int(np.random.SeedSequence(seed, spawn_key=(_OTHER,)).generate_state(1, np.uint32)[0])


def apportion(total: int, weights: FloatArray) -> IntArray:
    """Split ``total`` in proportion to ``weights`` into whole numbers, int64, whose sum is ``total``.

    The largest remainders are rounded up; of equal remainders, the earlier.

    >>> apportion(10, np.array([1.0, 1.0, 1.0])).tolist()
    [4, 3, 3]
    """
    quotas = total * (weights / weights.sum())
    counts: IntArray = np.floor(quotas).astype(np.int64)
    missing = total - int(counts.sum())
    counts[np.argsort(counts - quotas, kind="stable")[:missing]] += 1
    return counts


def cumulative(weights: FloatArray) -> FloatArray:
    """Cumulative shares along the last axis, each row ending at exactly 1."""
    sums = np.cumsum(weights, axis=-1, dtype=np.float64)
    return np.asarray(sums / sums[..., -1:], dtype=np.float64)


def draw_categories(rng: np.random.Generator, cumulative_rows: FloatArray) -> IntArray:
    """One category for each row of cumulative shares (n, categories): int64 (n,)."""
    return choose(cumulative_rows, rng.random(len(cumulative_rows)))


def choose(cumulative_rows: FloatArray, uniform: FloatArray) -> IntArray:
    """Category into which each uniform number (n,) falls in its row (n, categories): int64 (n,)."""
    return np.asarray((uniform[:, None] >= cumulative_rows).sum(axis=1), dtype=np.int64)


def even_uniforms(rng: np.random.Generator, order: IntArray, step: float = _GOLDEN) -> FloatArray:
    """Numbers in [0, 1), (n,), evenly spread over any stretch of ``order`` (n,).

    So the shares in small groups do not depend on chance. The numbers are multiples of ``step`` modulo 1,
    from a random start; multiples of the golden ratio have the lowest discrepancy.
    """
    numbers = np.empty(len(order))
    numbers[order] = (rng.random() + step * np.arange(len(order))) % 1.0
    return numbers


def even_pairs(rng: np.random.Generator, order: IntArray) -> tuple[FloatArray, FloatArray]:
    """Pairs of such numbers, (n,) and (n,), evenly spread over the unit square (Roberts' R2 sequence)."""
    return even_uniforms(rng, order, 1.0 / _PLASTIC), even_uniforms(rng, order, 1.0 / _PLASTIC**2)


def uuid_strings(rng: np.random.Generator, count: int, *, prefix: str) -> pa.Array:
    """Draw ``count`` ids as in the published files, string (count,): ``prefix`` and a version 4 UUID.

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
    raw[:, :6] = (place * 2**48).astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    return _spelt(raw, prefix)


def _random_bytes(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()


def _spelt(raw: npt.NDArray[np.uint8], prefix: str) -> pa.Array:
    """Bytes (count, 16) as text; version and variant bits are set in place."""
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40  # version 4
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80  # variant of RFC 4122
    digits = np.frombuffer(raw.tobytes().hex().encode("ascii"), dtype=np.uint8).reshape(len(raw), 32)
    text = np.insert(digits, (8, 12, 16, 20), ord("-"), axis=1)  # (count, 36)
    text = np.insert(text, [0] * len(prefix), list(prefix.encode("ascii")), axis=1)
    return pa.array(text.view(f"S{text.shape[1]}").ravel()).cast(pa.string())
