"""Train a network, export and calibrate it, and write its files: the part of ``06_model`` that trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.metrics import calibration
from skip_pipeline.metrics.scores import need_both_outcomes
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    HISTORY_FILE,
    NETWORK_FILE,
    ONNX_FILE,
    TRAINING_FILE,
    TrainingSettings,
)
from skip_pipeline.storage import write_json
from skip_pipeline.training import export
from skip_pipeline.training.cluster import cluster_from
from skip_pipeline.training.history import EpochReport, history_to_json
from skip_pipeline.training.onnx_model import predict_onnx
from skip_pipeline.training.train import Trained, save_network, train
from skip_pipeline.training.worker_processes import train_in_processes


class Workers(NamedTuple):
    """Processes that train together.

    Attributes:
        processes: on this machine; 1 for this process alone, unless ``TF_CONFIG`` names a cluster.
        bundles_dir: folder of the bundles, which each process opens itself.
        shards: names of the shards to learn from; None for all.
    """

    processes: int
    bundles_dir: Path
    shards: frozenset[str] | None


def train_and_export(
    bundles: Mapping[str, Bundle],
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
    folder: Path,
    workers: Workers,
) -> tuple[Trained, float]:
    """Train on the split ``train``; stop and calibrate by ``validation``; write every file of the network.

    Args:
        bundles: every split.
        settings: hyper-parameters.
        on_epoch: called after each epoch.
        folder: receives the Keras network, the ONNX network, calibration, history and settings.
        workers: processes that train.

    Returns:
        What was trained, and the largest difference between a probability of the Keras network and of the
        ONNX network on the validation sessions.

    Raises:
        TrainingError: a split has no session, all sessions of a split end alike, or training fails.
        ContractError: the ONNX network differs from the Keras network.
    """
    for split, bundle in bundles.items():  # before training, so that no training is wasted
        need_both_outcomes(bundle.not_skipped, f"the {split} split")
    validation = bundles["validation"]
    if workers.processes == 1 and cluster_from() is None:
        trained = train(bundles["train"], validation, settings, on_epoch)
    else:
        trained = train_in_processes(
            workers.bundles_dir, settings, on_epoch, workers.processes, workers.shards
        )
    save_network(trained.network, folder / NETWORK_FILE)
    network = export.to_onnx(trained.network)
    (folder / ONNX_FILE).write_bytes(network)
    p_validation = predict_onnx(network, validation)
    difference = export.check_exported(trained.network, p_validation, validation)
    write_json(folder / CALIBRATION_FILE, calibration.fit(validation.not_skipped, p_validation).to_json())
    write_json(folder / HISTORY_FILE, history_to_json(trained.history, trained.best_epoch))
    write_json(folder / TRAINING_FILE, asdict(settings))
    return trained, difference
