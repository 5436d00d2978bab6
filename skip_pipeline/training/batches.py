"""A split's sessions in batches, and the share of each batch that one worker trains on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.settings import PREDICTION_BATCH_SIZE

Split = Mapping[str, Any]  # ``schema.BRANCH_SHAPES`` and the label (n,), float32: a ``Bundle``, or arrays


class Share(NamedTuple):
    """One worker's share of each batch: every ``workers``-th session, from number ``worker`` on."""

    worker: int
    workers: int


EVERYTHING: Final = Share(0, 1)


class Batch(NamedTuple):
    """The m sessions of one share of a batch; all float32."""

    inputs: dict[str, np.ndarray]  # (m, …) by name, ``schema.BRANCH_SHAPES``
    targets: np.ndarray  # (m, 20), ``not_skipped`` of every track, the predicted one last; 0 in padding
    weights: np.ndarray  # (m, 20), 1 for a track, 0 in padding and in an empty share's placeholder


def epoch_order(sessions: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, counted from 0: a permutation of all sessions, int64 (sessions,)."""
    return np.random.default_rng([seed, epoch]).permutation(sessions)


def batches(
    split: Split, batch_size: int, *, order: np.ndarray | None = None, share: Share = EVERYTHING
) -> Iterator[Batch]:
    """One share of each batch of a split; the last batch may be smaller.

    A thread gathers the next batch while the caller uses this one. All workers get as many batches: if the
    last batch has no session for a share, the share has one of the batch's sessions, with weight 0.
    ``batch_size`` counts the sessions of all shares; ``order`` is int64 (n,), or None for the split's own.
    """
    sessions = len(split[schema.LABEL])

    def gathered(start: int) -> Batch:
        stop = min(start + batch_size, sessions)
        whole = np.arange(start, stop) if order is None else order[start:stop]
        own = whole[share.worker :: share.workers]
        arrays = _gather(split, own if len(own) else whole[:1])
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


def parts(split: Split) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of ``PREDICTION_BATCH_SIZE`` sessions at a time, in the split's order, in memory."""
    for start in range(0, len(split["last_track"]), PREDICTION_BATCH_SIZE):
        yield _gather(split, slice(start, start + PREDICTION_BATCH_SIZE))


def _gather(split: Split, index: np.ndarray | slice) -> dict[str, np.ndarray]:
    if isinstance(split, Bundle):
        return split.batch(index)
    return {name: split[name][index] for name in (*schema.BRANCH_SHAPES, schema.LABEL) if name in split}
