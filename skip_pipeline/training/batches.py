"""A split's sessions in batches, and the share of each batch that one worker trains on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.networks.listening import outcome_depths
from skip_pipeline.training.splits import Split, gather


class Share(NamedTuple):
    """One worker's share of each batch: every ``workers``-th session, from number ``worker`` on."""

    worker: int
    workers: int


EVERYTHING: Final = Share(0, 1)


class Batch(NamedTuple):
    """The m sessions of one share of a batch; all float32."""

    inputs: dict[str, np.ndarray]  # (m, …) by name, ``schema.INPUT_SHAPES``
    depths: np.ndarray  # (m, 20), index into ``listening.OUTCOMES`` of every track; 0 in padding
    weights: np.ndarray  # (m, 20), 1 for a track, 0 in padding and in an empty share's placeholder


def epoch_order(sessions: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, counted from 0: a permutation of all sessions, int64 (sessions,)."""
    return np.random.default_rng([seed, epoch]).permutation(sessions)


def epoch_cuts(sessions: int, seed: int, epoch: int, share: float) -> np.ndarray:
    """How much of each session's history may be seen, float64 (sessions,): 0 to 1, and 1 for all of it.

    A random ``share`` of the sessions is cut, each at a fraction that is uniform from 0 to 1.
    """
    drawn = np.random.default_rng([seed, epoch, 1]).random(sessions)
    return np.minimum(drawn / share, 1.0) if share else np.ones(sessions)


def batches(
    split: Split,
    batch_size: int,
    names: Sequence[str],
    *,
    order: np.ndarray | None = None,
    cuts: np.ndarray | None = None,
    share: Share = EVERYTHING,
) -> Iterator[Batch]:
    """One share of each batch of a split; the last batch may be smaller.

    A thread gathers the next batch while the caller uses this one. All workers get as many batches: if the
    last batch has no session for a share, the share has one of the batch's sessions, with weight 0.

    Args:
        split: see ``Split``.
        batch_size: sessions of all shares.
        names: of the inputs.
        order: int64 (n,); None for the split's own.
        cuts: ``epoch_cuts``; None if every target may see all steps before it.
        share: of the batch.
    """
    sessions = len(split[schema.LABEL])

    def gathered(start: int) -> Batch:
        stop = min(start + batch_size, sessions)
        whole = np.arange(start, stop) if order is None else order[start:stop]
        own = whole[share.worker :: share.workers]
        index = own if len(own) else whole[:1]
        arrays = gather(split, index, names)
        depths = outcome_depths(arrays)
        real = (depths >= 0).astype(np.float32)
        depths = np.maximum(depths, 0).astype(np.float32)
        if cuts is not None and "visible_steps" in names:
            arrays["visible_steps"] = _visible_steps(real, cuts[index])
        inputs = {name: arrays[name] for name in names}
        return Batch(inputs, depths, real if len(own) else np.zeros_like(real))

    with ThreadPoolExecutor(1, thread_name_prefix="skip_pipeline.batches") as thread:
        ahead = None
        for start in range(0, sessions, batch_size):
            this, ahead = ahead, thread.submit(gathered, start)
            if this is not None:
                yield this.result()
        if ahead is not None:
            yield ahead.result()


def _visible_steps(real: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Steps that the targets of each session may see, padding included: float32 (m, 1).

    Of a session that is cut, 1 to all of the earlier tracks are visible, each number as likely.
    """
    earlier = real.sum(axis=1) - 1.0  # (m,)
    visible = np.minimum(1.0 + np.floor(cuts * earlier), earlier)
    steps: np.ndarray = (schema.STEPS - earlier + visible)[:, None]
    return steps.astype(np.float32)
