"""Training on several machines: which worker this process is, and what all workers agree on.

The workers are those of ``TF_CONFIG``, TensorFlow's own variable, and TensorFlow's own
``MultiWorkerMirroredStrategy`` connects them. Whatever starts the machines starts one worker on each.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Final

import numpy as np
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import TF_CONFIG_VARIABLE, WORKER_ANSWER_SECONDS, TrainingSettings
from skip_pipeline.training.batches import EVERYTHING, Share, Split

logger: Final = logging.getLogger("skip_pipeline.train")

_EXPECTED: Final = (
    'expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}} with the '
    "same cluster and another index on each machine"
)

_MESSAGE_BYTES: Final = 4096
"""Length of each worker's facts and settings as JSON, some 700 bytes; TensorFlow gathers equal lengths."""

_LOST: Final = (
    tf.errors.UnavailableError,  # a worker, its machine or its network is gone
    tf.errors.DeadlineExceededError,  # it does not answer
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,  # it has been started again
)


def own_share(environment: Mapping[str, str] = os.environ) -> Share:
    """This worker's share of every batch by ``TF_CONFIG``; everything if that names no other worker.

    Raises:
        TrainingError: it does not have the form that TensorFlow prescribes for workers.
    """
    text = environment.get(TF_CONFIG_VARIABLE)
    if not text:
        return EVERYTHING
    try:
        content = json.loads(text)
        jobs, task = content["cluster"], content["task"]
        workers, share = jobs["worker"], Share(int(task["index"]), len(set(jobs["worker"])))
        ports = [address.rpartition(":")[2].isdigit() for address in workers]
        good = list(jobs) == ["worker"] and task["type"] == "worker" and all(ports)
        good = good and 0 <= share.worker < share.workers == len(workers)
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise TrainingError(f"${TF_CONFIG_VARIABLE} is {text!r}; {_EXPECTED}")
    return share


def several_workers() -> Share:
    """This worker's share where ``TF_CONFIG`` has to name others; a ``TrainingError`` where it does not."""
    if (share := own_share()) == EVERYTHING:
        raise TrainingError(f"${TF_CONFIG_VARIABLE} names no other worker; {_EXPECTED}")
    return share


def check_publishes() -> None:
    """Refuse to publish a network from a worker that is not the first; a ``TrainingError``."""
    if worker := own_share().worker:
        raise TrainingError(
            f"${TF_CONFIG_VARIABLE} makes this worker {worker}, expected 0, which alone publishes a network; "
            "run `skip-pipeline train-worker` here, and materialize trained_model on the first machine"
        )


def join(
    share: Share, train: Split, validation: Split, settings: TrainingSettings
) -> tuple[tf.distribute.Strategy, TrainingSettings]:
    """Wait for all workers, once a process; how they train together, and worker 0's settings for all.

    Raises:
        TrainingError: this process cannot join, or a worker has other data or another TensorFlow.
    """
    if share == EVERYTHING:
        return tf.distribute.get_strategy(), settings
    logger.info("worker %d waits until all %d of $%s are there", *share, TF_CONFIG_VARIABLE)
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=WORKER_ANSWER_SECONDS)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except (RuntimeError, tf.errors.OpError) as failure:
        raise TrainingError(
            f"worker {share.worker} cannot join the {share.workers} of ${TF_CONFIG_VARIABLE} ({failure}), "
            "expected a new process and a free port; start it again, or name another port on all machines"
        ) from failure
    if strategy.num_replicas_in_sync != share.workers:
        raise TrainingError(
            f"{strategy.num_replicas_in_sync} devices take part in {share.workers} workers, expected one "
            "each; start a worker per GPU, and show each its own with CUDA_VISIBLE_DEVICES"
        )
    settings = _agree(strategy, train, validation, settings)
    with suppress(ValueError):  # raised outside of the main thread
        # TensorFlow has just set a handler that ignores SIGTERM; the one before is set again.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy, settings


def _agree(
    strategy: tf.distribute.Strategy, train: Split, validation: Split, settings: TrainingSettings
) -> TrainingSettings:
    learnt, watched = train[schema.LABEL], validation[schema.LABEL]
    facts = {
        "training sessions": len(learnt),
        "validation sessions": len(watched),
        "checksum of the labels": zlib.crc32(watched, zlib.crc32(learnt)),
        "TensorFlow": str(tf.__version__),
    }
    message = json.dumps([facts, asdict(settings)]).encode().ljust(_MESSAGE_BYTES)
    own = np.frombuffer(message, np.uint8).astype(np.int32)[None]  # (1, _MESSAGE_BYTES)
    of_all = strategy.gather(tf.constant(own), axis=0).numpy().astype(np.uint8)  # (workers, _MESSAGE_BYTES)
    (expected, chosen), *others = [json.loads(row.tobytes()) for row in of_all]
    differences = [
        f"worker {worker} has {name} {found[name]!r}, worker 0 {value!r}"
        for worker, (found, _) in enumerate(others, 1)
        for name, value in expected.items()
        if found[name] != value
    ]
    if differences:
        raise TrainingError(
            f"{'; '.join(differences)}; expected the same on all. Give every worker the same installation, "
            "bundles and days to learn from"
        )
    return TrainingSettings(**chosen)


@contextmanager
def losses_reported(share: Share) -> Iterator[None]:
    """Turn TensorFlow's errors about lost workers into a ``TrainingError``.

    A worker that dies is missed after some ten seconds, a silent one after ``WORKER_ANSWER_SECONDS``.
    """
    try:
        yield
    except _LOST as failure:
        if share == EVERYTHING:
            raise
        raise TrainingError(
            f"worker {share.worker} of {share.workers} has lost another, expected all to stay until training "
            f"ends; see its messages, and start all again. TensorFlow's error: {failure.message}"
        ) from failure
