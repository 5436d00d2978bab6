"""Several workers in processes of their own: TensorFlow joins a cluster only at a process's start."""

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import PRESETS, TrainingSettings
from skip_pipeline.training.cluster import Cluster
from skip_pipeline.training.history import EpochReport
from skip_pipeline.training.train import Trained, train
from skip_pipeline.training.worker_processes import _free_addresses, train_in_processes
from skip_pipeline.training.workers import open_strategy
from skip_pipeline_tests.stages.shard_builders import shard, write

SECONDS = 120
"""A worker that has not ended by then never will: the test fails."""

# 92 training sessions in batches of 13 leave a last batch of one session, whose second share is empty.
SETTINGS = dataclasses.replace(PRESETS["fast"], max_epochs=2, batch_size=13, dropout=0.0)

QUICK = dataclasses.replace(SETTINGS, preset="single_input")
"""The preset that is traced fastest, for what does not hang on it."""

TOLERANCE = 1e-5
"""On losses near 0.7, on weights near 0.3, after 16 steps of Adam at 3e-3."""

WORKER = """
import dataclasses, json, os, signal, sys, time
import numpy as np
from skip_pipeline.errors import TrainingError
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.training.train import take_part, train
from skip_pipeline.settings import TrainingSettings

bundles, out, settings, role = sys.argv[1:]
splits = [open_bundle(bundles, split) for split in ("train", "validation")]

def on_epoch(report):
    if role != "stays":
        os.kill(os.getpid(), getattr(signal, role))

began = time.monotonic()
try:
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
        trained = take_part(*splits, on_epoch)
    else:
        trained = train(*splits, TrainingSettings(**json.loads(settings)), on_epoch)
except TrainingError as refusal:
    raise SystemExit(str(refusal))
np.savez(out, *trained.network.get_weights())
print(json.dumps([dataclasses.asdict(report) for report in trained.history]))
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """92 training and 28 validation sessions in two shards."""
    folder = tmp_path_factory.mktemp("bundles")
    splits = (["train"] * 4 + ["validation"]) * 11 + ["validation"] * 3 + ["train"] * 2
    write(
        folder,
        a=shard([10 + i % 11 for i in range(60)], splits, seed=1, ids=[f"a{i}" for i in range(60)]),
        b=shard([20 - i % 11 for i in range(60)], splits, seed=2, ids=[f"b{i}" for i in range(60)]),
    )
    return folder


@pytest.fixture(scope="module")
def alone(bundles: Path) -> Trained:
    return train(open_bundle(bundles, "train"), open_bundle(bundles, "validation"), SETTINGS, lambda _: None)


def workers(
    bundles: Path, folder: Path, roles: Sequence[str], settings: TrainingSettings = QUICK
) -> list[subprocess.CompletedProcess[str]]:
    """How processes end that train together, the chief first."""
    addresses = _free_addresses(len(roles))
    arguments = [str(bundles), json.dumps(dataclasses.asdict(settings))]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, arguments[0], str(folder / f"{index}.npz"), arguments[1], role],
            env=dict(os.environ)
            | {"TF_CONFIG": Cluster(addresses, index).to_json(), "TF_NUM_INTRAOP_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, role in enumerate(roles)
    ]
    ended = []
    try:
        for process in processes:
            said, complained = process.communicate(timeout=SECONDS)
            ended.append(subprocess.CompletedProcess([], process.returncode, said, complained))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return ended


def weights_in(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def test_two_workers_train_what_one_trains(bundles: Path, alone: Trained, tmp_path: Path) -> None:
    """Between one and two workers only the order of float32 sums differs, which is worth 1e-7 a step."""
    assert len(open_bundle(bundles, "train").not_skipped) % SETTINGS.batch_size == 1
    ended = workers(bundles, tmp_path, ["stays", "stays"], SETTINGS)
    assert [process.returncode for process in ended] == [0, 0], [process.stderr[-2000:] for process in ended]

    histories = [json.loads(process.stdout) for process in ended]
    for history in histories:
        assert len(history) == len(alone.history) == 2
        for report, of_one in zip(history, alone.history, strict=True):
            for name in ("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate"):
                assert report[name] == pytest.approx(getattr(of_one, name), abs=TOLERANCE), name
            for name in ("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate"):
                assert report[name] == histories[0][report["epoch"] - 1][name]
    first, second = (weights_in(tmp_path / f"{index}.npz") for index in (0, 1))
    for one, two, by_itself in zip(first, second, alone.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, by_itself, rtol=0, atol=TOLERANCE)


def test_workers_that_lose_another_say_so(bundles: Path, tmp_path: Path) -> None:
    ended = workers(bundles, tmp_path, ["stays", "SIGKILL"])

    assert [process.returncode for process in ended] == [1, -signal.SIGKILL]
    assert "worker 0 of 2 has lost the others: " in ended[0].stderr
    assert "Expected all of them to stay until training ends" in ended[0].stderr


def test_workers_that_lose_the_chief_say_so(bundles: Path, tmp_path: Path) -> None:
    ended = workers(bundles, tmp_path, ["SIGTERM", "stays"])

    assert [process.returncode for process in ended] == [-signal.SIGTERM, 1]
    assert "worker 1 of 2 has lost the others: " in ended[1].stderr


def test_local_workers_give_the_network_of_their_chief(
    bundles: Path, alone: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[EpochReport] = []
    with caplog.at_level(logging.INFO, logger="skip_pipeline.train"):
        trained = train_in_processes(bundles, SETTINGS, heard.append, workers=2)

    assert tuple(heard) == trained.history
    assert [record.__dict__["epoch_report"] for record in caplog.records] == heard
    assert trained.best_epoch == alone.best_epoch
    assert trained.parameters == alone.parameters
    for ours, by_itself in zip(trained.network.get_weights(), alone.network.get_weights(), strict=True):
        np.testing.assert_allclose(ours, by_itself, rtol=0, atol=TOLERANCE)


def test_a_local_worker_that_dies_ends_the_others(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))  # type: ignore[call-overload]
        if len(started) == 2:
            started[1].kill()
        return started[-1]

    monkeypatch.setattr("skip_pipeline.training.worker_processes.subprocess.Popen", start)
    with pytest.raises(
        TrainingError, match="the process of worker 1 ended with SIGKILL, expected it to stay"
    ):
        train_in_processes(bundles, SETTINGS, lambda _: None, workers=2)
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_a_refusal_in_a_worker_is_passed_on(bundles: Path) -> None:
    settings = dataclasses.replace(SETTINGS, max_epochs=0)
    with pytest.raises(
        TrainingError, match=r"^max_epochs is 0, not at least 1; correct the training settings$"
    ):
        train_in_processes(bundles, settings, lambda _: None)


@pytest.mark.parametrize(
    ("number", "index", "words"),
    [
        (0, None, "workers is 0, expected at least 1"),
        (2, 0, r"workers is 2, .* and 1 where \$TF_CONFIG names the workers"),
        (1, 1, r"\$TF_CONFIG makes this task 1, expected 0, the chief"),
    ],
)
def test_workers_that_make_no_sense_are_refused(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, number: int, index: int | None, words: str
) -> None:
    if index is not None:
        monkeypatch.setenv("TF_CONFIG", Cluster(("a:1", "b:2"), index).to_json())
    with pytest.raises(TrainingError, match=words):
        train_in_processes(bundles, SETTINGS, lambda _: None, workers=number)


def test_a_process_that_has_used_tensorflow_cannot_join(
    alone: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alone.history
    cluster = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0)
    monkeypatch.setenv("TF_CONFIG", cluster.to_json())
    with pytest.raises(TrainingError, match="need a process that has not used TensorFlow yet"):
        open_strategy(cluster)
