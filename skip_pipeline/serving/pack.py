"""Writing a served model's folder from what the stages have published."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS, open_parts
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving.model_folder import (
    DESCRIPTION,
    FORMAT,
    NEUTRAL_TRACK,
    TRACK_IDS,
    VOCABULARY,
    Description,
    vocabulary,
)
from skip_pipeline.serving.tracks import neutral_track, sorted_ids
from skip_pipeline.settings import CALIBRATION_FILE, ONNX_FILE, SCALER_FILE, TRACK_TABLE, DataLayout
from skip_pipeline.stages.scale import Scaler
from skip_pipeline.storage import (
    on_this_machine,
    read_json,
    read_manifest,
    read_table,
    record_files,
    write_array,
    write_json,
)
from skip_pipeline.training.onnx_model import open_onnx


def pack(
    folder: Path, layout: DataLayout, *, network: Path, calibration: Path | None, preset: str
) -> Description:
    """Write a served model.

    Args:
        folder: is made if it does not exist.
        layout: of the merged table, the scaled table and the bundles.
        network: the ONNX file (``training.export``).
        calibration: ``Calibration.to_json`` as a file; None to serve the network's own probabilities.
        preset: of the network.

    Raises:
        MissingInputError: a stage or the network is missing.
        ContractError: a file is not readable, or two files contradict each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(layout.bundles, made_by="tensor_bundles")
    ids = track_table_ids(layout)
    matrix, parts = open_parts(layout.bundles, on_this_machine(manifest).path)
    if len(ids) != len(matrix):
        raise ContractError(
            f"{layout.merged / TRACK_TABLE} has {len(ids)} tracks and {layout.bundles / TRACKS} has "
            f"{len(matrix)}; materialize encoded_table and all that follows it again"
        )
    write_array(folder / TRACKS, matrix)
    write_array(folder / NEUTRAL_TRACK, neutral_track(matrix, parts["train"]))
    write_array(folder / TRACK_IDS, ids)
    scaled = read_manifest(layout.scaled, made_by="scaled_table")
    write_json(folder / SCALER_FILE, Scaler.from_json(read_json(scaled.path(SCALER_FILE))).to_json())
    write_json(folder / VOCABULARY, vocabulary())
    open_onnx(network)
    shutil.copyfile(network, folder / ONNX_FILE)
    names = [ONNX_FILE, SCALER_FILE, VOCABULARY, TRACKS, TRACK_IDS, NEUTRAL_TRACK]
    if calibration is not None:
        write_json(folder / CALIBRATION_FILE, Calibration.from_json(read_json(calibration)).to_json())
        names.append(CALIBRATION_FILE)
    description = Description(
        preset=preset,
        data_source=manifest.data_source,
        bundles=manifest.fingerprint,
        tracks=len(ids),
        versions={name: version(name) for name in ("skip-pipeline", "numpy", "onnxruntime")},
        files=record_files(folder / name for name in sorted(names)),
    )
    write_json(folder / DESCRIPTION, asdict(description) | {"format": FORMAT})
    return description


def track_table_ids(layout: DataLayout) -> np.ndarray:
    """Ids of the track table in its order, UTF-8 bytes (tracks,).

    Raises:
        MissingInputError, ContractError: see ``storage.read_table``.
    """
    merged = read_manifest(layout.merged, made_by="merged_table")
    table = read_table(merged.path(TRACK_TABLE), schema.TRACK_FEATURES, columns=[schema.TRACK_ID])
    return sorted_ids(table[schema.TRACK_ID])
