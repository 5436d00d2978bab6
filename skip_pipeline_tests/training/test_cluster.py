"""Several workers: whom TF_CONFIG names, what they agree on, and two real processes."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import PRESETS
from skip_pipeline.training.batches import EVERYTHING, Share
from skip_pipeline.training.cluster import agreed, check_publishes, joined, own_share, several_workers
from skip_pipeline.training.train import train
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.tiny_bundle import tiny_bundle
from skip_pipeline_tests.training.small_network import BUILD_NETWORK, small_network

BUNDLE = tiny_bundle(27)
SETTINGS = dataclasses.replace(PRESETS["fast"], max_epochs=2, batch_size=13, least_steps=0)
"""27 sessions in batches of 13 leave a last batch of one session, of which worker 1 gets none."""

WORKER = """
import dataclasses, json, sys
import numpy as np
from skip_pipeline.training import train as module
from skip_pipeline_tests.training.small_network import small_network
from skip_pipeline_tests.training.test_cluster import BUNDLE, SETTINGS

module.build_network = small_network
trained = module.train(BUNDLE, BUNDLE, dataclasses.replace(SETTINGS, seed=int(sys.argv[2])), lambda _: None)
np.savez(sys.argv[1], *trained.network.get_weights())
print(json.dumps([report.validation_loss for report in trained.history]))
"""


def config(*addresses: str, index: Any = 0, job: str = "worker", **more: Any) -> str:
    task = {"type": job, "index": index}
    return json.dumps({"cluster": {"worker": addresses, **more}, "task": task})


@pytest.mark.parametrize(
    ("text", "share"),
    [(config("a:1", "[::1]:2", "c:3", index=1), Share(1, 3)), (config("a:1"), EVERYTHING), ("", EVERYTHING)],
)
def test_tf_config_gives_each_worker_its_share(
    text: str, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert own_share() == share


@pytest.mark.parametrize(
    "text",
    [
        "workers",
        "[]",
        '{"cluster": {}}',
        config("a:1", "b:2", index=2),
        config("a:1", "b:2", index=-1),
        config("a:1", "b:2", index="first"),
        config("a:1", "b"),
        config("a:1", 2),  # type: ignore[arg-type]
        config("a:1", "a:1"),
        config("a:1", "b:2", job="chief"),
        config("a:1", "b:2", ps=["c:3"]),
    ],
)
def test_another_tf_config_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    message = refusal(TrainingError, own_share)
    assert_says(message, f"$TF_CONFIG is {text!r}", 'expected {"cluster": {"worker": [', "another index")


def test_the_first_of_several_workers_alone_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    check_publishes()
    assert_says(refusal(TrainingError, several_workers), "$TF_CONFIG names no other worker")

    monkeypatch.setenv("TF_CONFIG", config("a:1", "b:2", index=0))
    check_publishes()
    monkeypatch.setenv("TF_CONFIG", config("a:1", "b:2", index=1))
    assert several_workers() == Share(1, 2)
    assert_says(refusal(TrainingError, check_publishes), "this worker 1, expected 0", "train-worker")


class Strategy:
    """A strategy of two workers, of which worker 0 sends what worker 1 does but for one change."""

    num_replicas_in_sync = 2

    def __init__(self, before: str = "", after: str = "") -> None:
        self._change = before.encode(), after.encode()

    def gather(self, own: Any, axis: int) -> Any:
        assert axis == 0
        sent = own.numpy().astype(np.uint8).tobytes()
        other = sent.replace(*self._change).ljust(own.shape[1])[: own.shape[1]]
        return tf.constant(np.stack([np.frombuffer(text, np.uint8) for text in (other, sent)]), tf.int32)


def join(monkeypatch: pytest.MonkeyPatch, strategy: Any, meanwhile: Callable[[], Any] = lambda: None) -> None:
    """Be worker 1 of 2 while something happens."""

    def make(communication_options: Any) -> Any:
        if isinstance(strategy, Exception):
            raise strategy
        return strategy

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", make)
    with joined(Share(1, 2)) as found:
        assert found is strategy
        meanwhile()


def lose() -> None:
    raise tf.errors.UnavailableError(None, None, "/job:worker/task:0 is gone")


def test_a_lost_worker_is_reported_by_several_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(TrainingError, lambda: join(monkeypatch, Strategy(), lose))
    assert_says(message, "worker 1 of 2 has lost another", "task:0 is gone", "start all again")
    with pytest.raises(tf.errors.UnavailableError), joined(EVERYTHING):
        lose()


def test_sigterm_ends_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        join(monkeypatch, Strategy(), lambda: os.kill(os.getpid(), signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)

    assert received == [signal.SIGTERM]


def test_worker_0_decides_the_settings() -> None:
    strategy: Any = Strategy('"seed": 0', '"seed": 7')
    assert agreed(strategy, BUNDLE, BUNDLE, SETTINGS) == dataclasses.replace(SETTINGS, seed=7)


@pytest.mark.parametrize("fact", ["'training sessions': 2", "'TensorFlow': '"])
def test_a_worker_with_other_data_or_another_tensorflow_is_refused(fact: str) -> None:
    strategy: Any = Strategy(fact.replace("'", '"'), fact.replace("'", '"') + "1")
    message = refusal(TrainingError, lambda: agreed(strategy, BUNDLE, BUNDLE, SETTINGS))
    assert_says(message, "worker 1 has {", fact, "worker 0 {", f"{fact}1", "expected the same", "bundles")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (RuntimeError("used before"), ["worker 1 cannot join the 2", "used before", "new process"]),
        (tf.errors.UnknownError(None, None, "port taken"), ["port taken", "another port on all machines"]),
        (
            SimpleNamespace(num_replicas_in_sync=4),
            ["4 devices take part in 2 workers", "CUDA_VISIBLE_DEVICES"],
        ),
    ],
)
def test_a_worker_that_cannot_join_the_others_is_refused(
    monkeypatch: pytest.MonkeyPatch, strategy: Any, words: list[str]
) -> None:
    assert_says(refusal(TrainingError, lambda: join(monkeypatch, strategy)), *words)


@pytest.mark.slow
def test_two_processes_train_the_network_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker 1 asks for another seed, which worker 0 overrules. Only the order of float32 sums differs."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / f"{index}.npz"), str(index)],
            env=os.environ | {"TF_CONFIG": config(*addresses, index=index), "TF_NUM_INTRAOP_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in (0, 1)
    ]
    monkeypatch.setattr(BUILD_NETWORK, small_network)
    try:
        alone = train(BUNDLE, BUNDLE, SETTINGS, lambda _: None)
        losses = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    assert losses[0] == losses[1] == pytest.approx([r.validation_loss for r in alone.history], abs=1e-5)
    with np.load(tmp_path / "0.npz") as first, np.load(tmp_path / "1.npz") as second:
        for name, by_itself in zip(first.files, alone.network.get_weights(), strict=True):
            np.testing.assert_array_equal(first[name], second[name])
            np.testing.assert_allclose(first[name], by_itself, rtol=0, atol=1e-5)
