"""TensorFlow's side of several workers: the strategy that joins them, and what it means when it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import TF_CONFIG_VARIABLE, WORKER_ANSWER_SECONDS
from skip_pipeline.training.cluster import Cluster

_LOST = (
    tf.errors.UnavailableError,  # a worker has died, or its machine or network is gone
    tf.errors.DeadlineExceededError,  # it is there and does not answer
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,  # it has been started again in the meantime
)


def open_strategy(cluster: Cluster | None) -> tf.distribute.Strategy:
    """The strategy of one process by itself, or of all workers together; once a process.

    Raises:
        TrainingError: this process has used TensorFlow before, or has several GPUs, or its port is taken.
    """
    if cluster is None:
        return tf.distribute.get_strategy()
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=WORKER_ANSWER_SECONDS)
    with sigterm_kept():
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        except RuntimeError as refusal:
            raise TrainingError(
                f"several workers need a process that has not used TensorFlow yet ({refusal}); start this "
                f"one again, or unset ${TF_CONFIG_VARIABLE} to train alone"
            ) from refusal
        except tf.errors.UnknownError as failure:
            raise TrainingError(
                f"worker {cluster.index} cannot serve on {cluster.addresses[cluster.index]} "
                f"({failure.message}); end whatever uses that port, or name another on all machines"
            ) from failure
    if strategy.num_replicas_in_sync != len(cluster.addresses):
        raise TrainingError(
            f"{strategy.num_replicas_in_sync} devices take part in {len(cluster.addresses)} workers, "
            "expected one each; start a worker per GPU, and show each its own with CUDA_VISIBLE_DEVICES"
        )
    return strategy


@contextmanager
def losses_reported(cluster: Cluster | None) -> Iterator[None]:
    """Turn TensorFlow's report that another worker is lost into a refusal of ours.

    A death shows after some ten seconds without a heartbeat, silence after ``WORKER_ANSWER_SECONDS``.
    """
    try:
        yield
    except _LOST as failure:
        if cluster is None:
            raise
        raise TrainingError(
            f"worker {cluster.index} of {len(cluster.addresses)} has lost the others: {_cause(failure)}. "
            "Expected all of them to stay until training ends; see the messages of the one that left, and "
            "start all again"
        ) from failure


def _cause(failure: tf.errors.OpError) -> str:
    """The lines of a message that say which worker, without the place in the graph."""
    lines = [line.strip() for line in failure.message.splitlines()]
    about = [line for line in lines if line.startswith(("Collective", "/job:"))]
    return " ".join(about or lines[:1])


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """TensorFlow takes SIGTERM for a notice of preemption, and would go on; it is to end a worker.

    A thread of TensorFlow's sets its own handler when it gets to it: at some time after the strategy's start,
    mostly before the first answer of all workers, which the first variable waits for, and seldom during the
    first epoch. So all of these have to happen in here.
    """
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
