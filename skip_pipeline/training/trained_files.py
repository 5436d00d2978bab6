"""Train a network, export and calibrate it, and write its files: the part of ``06_model`` that trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

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
from skip_pipeline.training.cluster import check_publishes
from skip_pipeline.training.history import EpochReport, history_to_json
from skip_pipeline.training.onnx_model import predict_onnx
from skip_pipeline.training.train import Trained, save_network, train


def train_and_export(
    bundles: Mapping[str, Bundle],
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
    folder: Path,
) -> tuple[Trained, float]:
    """Train on the split ``train``; stop and calibrate by ``validation``; write every file of the network.

    Args:
        bundles: every split.
        settings: hyper-parameters.
        on_epoch: called after each epoch.
        folder: receives the Keras network, the ONNX network, calibration, history and settings.

    Returns:
        What was trained, and the largest difference between a probability of the Keras network and of the
        ONNX network on the validation sessions.

    Raises:
        TrainingError: a split has no session, all sessions of a split end alike, training fails, or
            ``TF_CONFIG`` makes this process a worker that does not publish.
        ContractError: the ONNX network differs from the Keras network.
    """
    check_publishes()
    for split, bundle in bundles.items():  # before training, so that no training is wasted
        need_both_outcomes(bundle.not_skipped, f"the {split} split")
    validation = bundles["validation"]
    trained = train(bundles["train"], validation, settings, on_epoch)
    save_network(trained.network, folder / NETWORK_FILE)
    network = export.to_onnx(trained.network)
    (folder / ONNX_FILE).write_bytes(network)
    p_validation = predict_onnx(network, validation)
    difference = export.check_export(trained.network, p_validation, validation)
    write_json(folder / CALIBRATION_FILE, calibration.fit(validation.not_skipped, p_validation).to_json())
    write_json(folder / HISTORY_FILE, history_to_json(trained.history, trained.best_epoch))
    write_json(folder / TRAINING_FILE, asdict(settings))
    return trained, difference
