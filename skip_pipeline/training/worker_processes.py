"""Workers as processes of this machine: started, listened to, and ended together.

TensorFlow joins a cluster once in a process's life, before it does anything else; so whoever trains on
several workers does it in processes that do nothing else. One of them may be the chief of a cluster whose
other workers run on other machines.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import SkipPipelineError, TrainingError
from skip_pipeline.settings import NETWORK_FILE, TF_CONFIG_VARIABLE, TrainingSettings
from skip_pipeline.training.cluster import Cluster, cluster_from
from skip_pipeline.training.history import EpochReport
from skip_pipeline.training.train import Trained, load_network, logger, save_network, train

_CHIEF: Final = 0


class _Job(NamedTuple):
    bundles_dir: Path
    settings: TrainingSettings
    network: Path  # that the chief writes
    shards: frozenset[str] | None  # to learn from; None for all


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    pipe: Connection


def train_in_processes(
    bundles_dir: Path,
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
    workers: int = 1,
    shards: frozenset[str] | None = None,
) -> Trained:
    """Train as ``train`` does, on several workers.

    Args:
        bundles_dir: the folder ``05_bundles``; every worker reads it.
        on_epoch: called in this process after each epoch. What it raises ends training.
        workers: processes on this machine. 1 if ``TF_CONFIG`` names the workers: then a single process is
            started, the chief, and the others are started where they are, with ``skip-pipeline
            train-worker``.
        shards: names of those to learn from; None for all. Validation sessions are those of all shards.

    Returns:
        What the chief trained.

    Raises:
        TrainingError: as for ``train``; or a process died.
    """
    clusters = _clusters(workers)
    with TemporaryDirectory(prefix="skip_pipeline_") as folder, ExitStack() as processes:
        job = _Job(bundles_dir, settings, Path(folder) / NETWORK_FILE, shards)
        started = [processes.enter_context(_process(cluster, len(clusters))) for cluster in clusters]
        for index, worker in enumerate(started):
            try:
                worker.pipe.send(job)
            except BrokenPipeError:
                raise _death(index, worker.process) from None
        outcome = _listen(started, on_epoch)
        return Trained(network=load_network(job.network), **outcome)


def serve(handle: int) -> None:
    """Be one worker: what each process runs.

    Args:
        handle: file descriptor of a pipe, through which the job comes in. Reports of epochs go back from the
            chief, and from each worker how it ended.
    """
    # Ctrl-C in a terminal reaches the whole process group; the parent decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(handle) as pipe:
        job: _Job = pipe.recv()
        cluster = cluster_from()
        chief = cluster is None or cluster.chief

        def on_epoch(report: EpochReport) -> None:
            if chief:
                pipe.send(("epoch", report))

        try:
            bundles = open_bundles(job.bundles_dir)
            learnt = bundles["train"].of_shards(job.shards)
            trained = train(learnt, bundles["validation"], job.settings, on_epoch)
        except SkipPipelineError as refusal:
            pipe.send(("refused", str(refusal)))
            return
        if chief:
            save_network(trained.network, job.network)
        facts = {name: value for name, value in vars(trained).items() if name != "network"}
        pipe.send(("trained", facts))


def _clusters(workers: int) -> list[Cluster]:
    """The workers to start here."""
    named = cluster_from()
    if workers < 1 or (named is not None and workers != 1):
        raise TrainingError(
            f"workers is {workers}, expected at least 1, and 1 where ${TF_CONFIG_VARIABLE} names the workers"
            "; correct the run config, or unset the variable"
        )
    if named is None:
        addresses = _free_addresses(workers)
        return [Cluster(addresses, index) for index in range(workers)]
    if not named.chief:
        raise TrainingError(
            f"${TF_CONFIG_VARIABLE} makes this task {named.index}, expected 0, the chief, which alone "
            "publishes a network; run `skip-pipeline train-worker` here, and this on the first machine"
        )
    return [named]


def _free_addresses(count: int) -> tuple[str, ...]:
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


@contextmanager
def _process(cluster: Cluster, processes: int) -> Iterator[_Worker]:
    """A worker process that does not outlive the block."""
    pipe, theirs = Pipe()
    start = (
        f"import sys; sys.path[:] = {[entry for entry in sys.path if isinstance(entry, str)]!r}; "
        f"from skip_pipeline.training.worker_processes import serve; serve({theirs.fileno()})"
    )
    # TensorFlow's own variable: else every process would work with as many threads as there are cores.
    threads = {"TF_NUM_INTRAOP_THREADS": str(max((os.cpu_count() or 1) // processes, 1))}
    with pipe:
        with theirs:
            process = subprocess.Popen(  # noqa: S603  this interpreter, our own module
                [sys.executable, "-c", start],
                stdin=subprocess.DEVNULL,
                env=threads | dict(os.environ) | {TF_CONFIG_VARIABLE: cluster.to_json()},
                pass_fds=[theirs.fileno()],
            )
        try:
            yield _Worker(process, pipe)
        finally:
            process.kill()  # it has nothing left to do, or nobody left to do it with
            process.wait()


def _listen(workers: Sequence[_Worker], on_epoch: Callable[[EpochReport], None]) -> dict[str, Any]:
    """Pass on epochs until all workers have ended; how the chief's training came out."""
    listening = {worker.pipe: index for index, worker in enumerate(workers)}
    outcome: dict[str, Any] = {}
    while listening:
        for pipe in wait(list(listening)):
            if not isinstance(pipe, Connection):
                continue
            index = listening[pipe]
            try:
                kind, content = pipe.recv()
            except (EOFError, ConnectionResetError):
                raise _death(index, workers[index].process) from None
            if kind == "epoch":
                logger.info("%s", content, extra={"epoch_report": content})
                on_epoch(content)
            elif kind == "refused":
                raise TrainingError(content)
            else:
                del listening[pipe]
                outcome = content if index == _CHIEF else outcome
    return outcome


def _death(index: int, process: subprocess.Popen[bytes]) -> TrainingError:
    status = process.wait()
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return TrainingError(
        f"the process of worker {index} ended with {how}, expected it to stay until training ends; see its "
        "own messages above. SIGKILL is mostly the system's answer to a lack of memory: use fewer workers"
    )
