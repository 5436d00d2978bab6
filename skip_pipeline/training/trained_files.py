"""Train a network, export and calibrate it, and write its files: the part of ``06_model`` that trains."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import TrackMemory, remember, write_memory
from skip_pipeline.metrics import calibration
from skip_pipeline.metrics.scores import need_both_outcomes
from skip_pipeline.networks.listening import all_played
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    DECISION_RULE_FILE,
    HISTORY_FILE,
    NETWORK_FILE,
    ONNX_FILE,
    TRAINING_FILE,
    WITH_MEMORY,
    TrainingSettings,
)
from skip_pipeline.storage import write_json
from skip_pipeline.training import export
from skip_pipeline.training.cluster import check_publishes
from skip_pipeline.training.history import EpochReport, history_to_json
from skip_pipeline.training.onnx_model import open_onnx, predict_tracks
from skip_pipeline.training.second_half import fit_rule
from skip_pipeline.training.splits import Split
from skip_pipeline.training.train import Trained, save_network, train


def train_and_export(
    bundles: Mapping[str, Bundle],
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
    folder: Path,
) -> tuple[Trained, float]:
    """Train on the split ``train``; stop and calibrate by ``validation``; write every file of the network.

    Returns:
        What was trained, and the largest difference between a probability of the Keras network and of the
        ONNX network on the validation sessions.
    """
    check_publishes()
    for split, bundle in bundles.items():  # before training, so that no training is wasted
        need_both_outcomes(bundle.not_skipped, f"the {split} split")
    splits = dict[str, Split](bundles)
    if settings.preset in WITH_MEMORY:
        memory = TrackMemory.fit(bundles["train"], bundles["train"].tracks, bundles["train"].groups)
        write_memory(folder, memory)
        splits |= remember(bundles, memory)
    validation = splits["validation"]
    trained = train(splits["train"], validation, settings, on_epoch)
    save_network(trained.network, folder / NETWORK_FILE)
    network = export.to_onnx(trained.network)
    (folder / ONNX_FILE).write_bytes(network)
    p_tracks = predict_tracks(network, validation)  # (n, 20)
    difference = export.check_export(trained.network, p_tracks[:, -1], validation)
    played = all_played(bundles["validation"])
    session, track = np.nonzero(~np.isnan(played) & ~np.isnan(p_tracks))
    calibrated = calibration.fit(played[session, track], p_tracks[session, track], session)
    write_json(folder / CALIBRATION_FILE, calibrated.to_json())
    if settings.preset in WITH_MEMORY:
        rule = fit_rule(open_onnx(network), validation, calibrated)
        write_json(folder / DECISION_RULE_FILE, rule.to_json())
    write_json(folder / HISTORY_FILE, history_to_json(trained.history, trained.best_epoch))
    write_json(folder / TRAINING_FILE, asdict(settings))
    return trained, difference
