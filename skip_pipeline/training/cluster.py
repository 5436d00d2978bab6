"""Training on several machines by TensorFlow's strategy: one worker on each, as ``TF_CONFIG`` names them."""

import json
import logging
import os
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Final

import numpy as np
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import TF_CONFIG_VARIABLE, WORKER_ANSWER_SECONDS, TrainingSettings
from skip_pipeline.training.batches import EVERYTHING, Share
from skip_pipeline.training.splits import Split

_EXPECTED: Final = (
    'expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}} with the '
    "same cluster and another index on each machine"
)


def own_share() -> Share:
    """This worker's share of every batch by ``TF_CONFIG``; everything if that names no other worker."""
    text = os.environ.get(TF_CONFIG_VARIABLE)
    if not text:
        return EVERYTHING
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(text)
        ((job, workers),) = content["cluster"].items()
        ports = [int(address.rpartition(":")[2]) for address in workers]
        share = Share(int(content["task"]["index"]), len(set(workers)))
        if job == content["task"]["type"] == "worker" and 0 <= share.worker < share.workers == len(ports):
            return share
    raise TrainingError(f"${TF_CONFIG_VARIABLE} is {text!r}; {_EXPECTED}")


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


@contextmanager
def joined(share: Share) -> Iterator[tf.distribute.Strategy]:
    """Wait for all workers, once a process; one that dies later is missed after some ten seconds."""
    if share == EVERYTHING:
        yield tf.distribute.get_strategy()
        return
    waiting = "worker %d waits until all %d of $%s are there"
    logging.getLogger("skip_pipeline.train").info(waiting, *share, TF_CONFIG_VARIABLE)
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=WORKER_ANSWER_SECONDS)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except (RuntimeError, tf.errors.OpError) as failure:
        raise TrainingError(
            f"worker {share.worker} cannot join the {share.workers} of ${TF_CONFIG_VARIABLE} ({failure}), "
            "expected a new process and a free port; start it again, or name another port on all machines"
        ) from failure
    if (devices := strategy.num_replicas_in_sync) != share.workers:
        remedy = "expected one each; start a worker per GPU, and show each its own with CUDA_VISIBLE_DEVICES"
        raise TrainingError(f"{devices} devices take part in {share.workers} workers, {remedy}")
    # TensorFlow has just set a handler that ignores SIGTERM; the one before is set again.
    with suppress(ValueError):  # raised outside of the main thread
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    try:
        yield strategy
    except tf.errors.OpError as failure:
        raise TrainingError(
            f"worker {share.worker} of {share.workers} has lost another, or failed; expected all to train to "
            f"the end. See their messages, and start all again. TensorFlow's error: {failure.message}"
        ) from failure


def agreed(
    strategy: tf.distribute.Strategy, train: Split, validation: Split, settings: TrainingSettings
) -> TrainingSettings:
    """Worker 0's settings; a ``TrainingError`` if a worker has other data or another TensorFlow."""
    learnt, watched = train[schema.LABEL], validation[schema.LABEL]
    facts = {"training sessions": len(learnt), "validation sessions": len(watched)}
    facts["checksum of the labels"] = zlib.crc32(watched, zlib.crc32(learnt))
    message = json.dumps([facts | {"TensorFlow": str(tf.__version__)}, asdict(settings)])  # some 700 bytes
    message = message.ljust(4096)  # TensorFlow gathers equal lengths
    own = np.frombuffer(message.encode(), np.uint8).astype(np.int32)[None]  # (1, 4096)
    of_all = strategy.gather(tf.constant(own), axis=0).numpy().astype(np.uint8)  # (workers, 4096)
    (expected, chosen), *others = [json.loads(row.tobytes()) for row in of_all]
    for worker, (found, _) in enumerate(others, 1):
        if found != expected:
            raise TrainingError(
                f"worker {worker} has {found}, worker 0 {expected}, expected the same on all; give every "
                "worker the same installation, bundles and days to learn from"
            )
    return TrainingSettings(**chosen)
