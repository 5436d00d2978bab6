"""A split's sessions in batches, and the share of each batch that one worker trains on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import Remembered
from skip_pipeline.networks.listening import outcome_depths
from skip_pipeline.settings import PREDICTION_BATCH_SIZE

Split = Mapping[str, Any]
"""Inputs of ``schema.INPUT_SHAPES``, the label (n,) and ``last_flags`` (n, 3), float32: a ``Bundle``, with a
memory (``Remembered``) or without, or arrays."""

CUT_SESSIONS: Final = 0.5
"""Share of training sessions whose outcomes are hidden from a random step on, so that the network also learns
to predict several tracks ahead."""


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


def epoch_cuts(sessions: int, seed: int, epoch: int) -> np.ndarray:
    """A random number from 0 to 1 for each session, which decides its cut: float64 (sessions,)."""
    return np.random.default_rng([seed, epoch, 1]).random(sessions)


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
        arrays = _gather(split, index, names)
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

    Of the sessions that are cut, 1 to all of the earlier tracks are visible, each number as likely.
    """
    earlier = real.sum(axis=1) - 1.0  # (m,)
    visible = np.minimum(1.0 + np.floor(cuts / CUT_SESSIONS * earlier), earlier)
    hidden = np.where(cuts < CUT_SESSIONS, earlier - visible, 0.0)
    return (schema.STEPS - hidden)[:, None].astype(np.float32)


def parts(split: Split, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of ``PREDICTION_BATCH_SIZE`` sessions at a time, in the split's order, in memory."""
    for start in range(0, len(split["last_track"]), PREDICTION_BATCH_SIZE):
        yield _gather(split, slice(start, start + PREDICTION_BATCH_SIZE), names)


def _gather(split: Split, index: np.ndarray | slice, names: Sequence[str]) -> dict[str, np.ndarray]:
    if isinstance(split, Remembered):
        own = [name for name in (*names, "track_numbers") if name != "track_memory"]
        arrays = _gather(split.split, index, own)
        if "track_memory" in names:
            arrays["track_memory"] = split.of(arrays["track_numbers"])
        return arrays
    wanted = sorted({*names, "session_log", "skip_sequence"})
    if isinstance(split, Bundle):
        return split.batch(index, wanted)
    return {name: split[name][index] for name in (*wanted, schema.LABEL, "last_flags") if name in split}
