"""A split's sessions in batches, and the share of each batch that one worker trains on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle

Split = Mapping[str, Any]
"""The branches of ``schema.BRANCH_SHAPES`` and ``not_skipped`` (n,), all float32: a ``Bundle``, or arrays in
memory or memory-mapped."""


class Share(NamedTuple):
    """One worker's share of each batch: every ``workers``-th session, from number ``worker`` on."""

    worker: int
    workers: int


EVERYTHING: Final = Share(0, 1)


class Batch(NamedTuple):
    """The m sessions of one share of a batch.

    Attributes:
        inputs: float32 (m, …) by name, ``schema.BRANCH_SHAPES``.
        targets: float32 (m, 20), ``not_skipped`` of every track, the predicted one last; 0 in padding.
        weights: float32 (m, 20), of each target in the loss: 1 for a track, 0 in padding and in an empty
            share's placeholder.
    """

    inputs: dict[str, np.ndarray]
    targets: np.ndarray
    weights: np.ndarray


def epoch_order(sessions: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, counted from 0: a permutation of all sessions, int64 (sessions,)."""
    return np.random.default_rng([seed, epoch]).permutation(sessions)


def batches(
    split: Split, batch_size: int, *, order: np.ndarray | None = None, share: Share = EVERYTHING
) -> Iterator[Batch]:
    """One share of each batch of a split; the last batch may be smaller.

    A thread gathers the next batch while the caller uses this one. All workers get as many batches: if the
    last batch has no session for a share, the share has one of the batch's sessions, with weight 0.

    Args:
        batch_size: sessions of all shares together.
        order: of the split's sessions, int64 (n,); None for the split's own order.
    """
    sessions = len(split[schema.LABEL])

    def gathered(start: int) -> Batch:
        stop = min(start + batch_size, sessions)
        whole = np.arange(start, stop) if order is None else order[start:stop]
        own = whole[share.worker :: share.workers]
        arrays = gather(split, own if len(own) else whole[:1], labels=True)
        outcomes = np.column_stack([arrays["skip_sequence"][:, :, 0], arrays[schema.LABEL]])  # (m, 20)
        real = (outcomes != schema.SKIP_PADDING).astype(np.float32)
        inputs = {name: arrays[name] for name in schema.BRANCH_SHAPES}
        return Batch(inputs, outcomes * real, real if len(own) else np.zeros_like(real))

    with ThreadPoolExecutor(1, thread_name_prefix="skip_pipeline.batches") as thread:
        ahead = None
        for start in range(0, sessions, batch_size):
            this, ahead = ahead, thread.submit(gathered, start)
            if this is not None:
                yield this.result()
        if ahead is not None:
            yield ahead.result()


def gather(split: Split, index: np.ndarray | slice, *, labels: bool) -> dict[str, np.ndarray]:
    """Some sessions' arrays by name, in memory.

    Args:
        labels: whether to take the labels; a ``Bundle`` always gives them.
    """
    if isinstance(split, Bundle):
        return split.batch(index)
    names = (*schema.BRANCH_SHAPES, schema.LABEL) if labels else tuple(schema.BRANCH_SHAPES)
    return {name: split[name][index] for name in names}
