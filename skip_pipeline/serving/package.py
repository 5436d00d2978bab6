"""A served model: a folder of plain files with everything between a raw log row and a probability.

    skip_model.onnx      the network
    calibration.json     the correction of its probabilities; not there if there is none
    scaler.json          ranges of the track features in training
    tracks.npy           float32 (tracks, 31), every track's scaled features
    track_ids.npy        UTF-8 bytes (tracks,), sorted; row i is track i
    neutral_track.npy    float32 (31,), stands for a track that is not among them
    vocabulary.json      levels, columns and shapes that the network was trained with
    served_model.json    where it comes from, and the size and digest of every file

Nothing in it is code or a pickle, and the arrays are mapped, not read.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS, open_array, open_parts, open_tracks
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving.model import ServedModel
from skip_pipeline.serving.tracks import KnownTracks, neutral_track, sorted_ids
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    ONNX_FILE,
    SCALER_FILE,
    TRACK_TABLE,
    DataLayout,
    DataSource,
)
from skip_pipeline.stages.scale import Scaler
from skip_pipeline.storage import (
    FileRecord,
    fingerprint,
    on_this_machine,
    read_json,
    read_manifest,
    read_table,
    record_file,
    record_files,
    write_array,
    write_json,
)
from skip_pipeline.training.onnx_model import open_onnx

SERVED_MODEL: Final = "served_model"
"""Name of such a folder: below ``06_model``, and among the artifacts of a registered model."""

DESCRIPTION: Final = "served_model.json"
VOCABULARY: Final = "vocabulary.json"
TRACK_IDS: Final = "track_ids.npy"
NEUTRAL_TRACK: Final = "neutral_track.npy"
ARRAYS: Final = (TRACKS, TRACK_IDS, NEUTRAL_TRACK)

FORMAT: Final = 1
"""Number of this layout, in ``served_model.json``; another number is another layout."""

_REMEDY: Final = (
    "materialize trained_model again, or serve a model that this version of skip_pipeline has made"
)


@dataclass(frozen=True)
class Description:
    """Where a served model comes from.

    Attributes:
        preset: of the network.
        data_source: of what it was trained on.
        bundles: fingerprint of the bundles that it was trained on.
        tracks: that it knows.
        versions: of the packages that made it.
        files: all others of the folder.
    """

    preset: str
    data_source: DataSource
    bundles: str
    tracks: int
    versions: Mapping[str, str]
    files: tuple[FileRecord, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and digests of the files, in hex."""
        return fingerprint(self.files)


def vocabulary() -> dict[str, Any]:
    """What a network and the code around it must agree on, as JSON values."""
    return {
        "levels": {name: list(levels) for name, levels in schema.LEVELS.items()},
        "session_log": list(schema.SESSION_LOG_BRANCH),
        "track": list(schema.TRACK_BRANCH),
        "shapes": {name: list(shape) for name, shape in schema.BRANCH_SHAPES.items()},
        "skip_padding": schema.SKIP_PADDING,
        "row": {"flags": [*FLAGS, SHUFFLE], "seeks": list(SEEKS), "categories": list(CATEGORIES)},
    }


def pack(
    folder: Path, layout: DataLayout, *, network: Path, calibration: Path | None, preset: str
) -> Description:
    """Write a served model from what the stages have published.

    Args:
        folder: gets the files; made if it is not there.
        layout: its merged, scaled and bundles folders are read.
        network: the ONNX file (``training.export``).
        calibration: ``Calibration.to_json`` as a file; None to serve the network's own probabilities.
        preset: of the network.

    Raises:
        MissingInputError: a stage, or the network, is not there.
        ContractError: a file is not readable, or they do not fit one another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    table = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES, columns=[schema.TRACK_ID])
    ids = sorted_ids(table[schema.TRACK_ID])
    with on_this_machine(layout.bundles, made_by="tensor_bundles") as bundles:
        matrix, parts = open_parts(bundles)
        if len(ids) != len(matrix):
            raise ContractError(
                f"{layout.merged / TRACK_TABLE} has {len(ids)} tracks and {layout.bundles / TRACKS} has "
                f"{len(matrix)}; materialize encoded_table and all that follows it again"
            )
        write_array(folder / TRACKS, matrix)
        write_array(folder / NEUTRAL_TRACK, neutral_track(matrix, parts["train"]))
    write_array(folder / TRACK_IDS, ids)
    scaler = Scaler.from_json(read_json(layout.scaled / SCALER_FILE))
    write_json(folder / SCALER_FILE, scaler.to_json())
    write_json(folder / VOCABULARY, vocabulary())
    open_onnx(network)
    shutil.copyfile(network, folder / ONNX_FILE)
    if calibration is not None:
        write_json(folder / CALIBRATION_FILE, Calibration.from_json(read_json(calibration)).to_json())
    names = [
        ONNX_FILE,
        SCALER_FILE,
        VOCABULARY,
        *ARRAYS,
        *([] if calibration is None else [CALIBRATION_FILE]),
    ]
    description = Description(
        preset=preset,
        data_source=before.data_source,
        bundles=before.fingerprint,
        tracks=len(ids),
        versions={name: version(name) for name in ("skip-pipeline", "numpy", "onnxruntime")},
        files=record_files(folder / name for name in sorted(names)),
    )
    write_json(folder / DESCRIPTION, asdict(description) | {"format": FORMAT})
    return description


def describe(folder: Path) -> Description:
    """Where the served model in a folder comes from.

    Raises:
        MissingInputError: the folder holds no served model.
        ContractError: its description is damaged, or of another version.
    """
    path = folder / DESCRIPTION
    try:
        fields = read_json(path)
        if (found := fields.pop("format")) != FORMAT:
            raise ValueError(f"format {found}, not {FORMAT}")
        files = tuple(FileRecord(**record) for record in fields.pop("files"))
        return Description(**fields, files=files)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInputError(
            f"{folder} holds no served model (no {DESCRIPTION}); materialize trained_model first"
        ) from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(f"{path} is damaged or of another version ({damage!r}); {_REMEDY}") from damage


def load(folder: Path, *, threads: int | None = None) -> ServedModel:
    """Open a served model; its arrays are mapped, so the folder has to stay while it is used.

    Args:
        folder: as ``pack`` wrote it.
        threads: that one prediction of the network may use; None for all cores.

    Raises:
        MissingInputError: the folder holds no served model, or lacks a file of it.
        ContractError: a file is not readable, is not the one described (all are read once for that), or was
            made for other levels, columns or shapes than this version of the code knows.
    """
    described = describe(folder)
    for record in described.files:
        _check_file(folder, record)
    names = {record.name for record in described.files}
    if missing := {ONNX_FILE, SCALER_FILE, VOCABULARY, *ARRAYS} - names:
        raise ContractError(f"{folder / DESCRIPTION} names no {sorted(missing)[0]}; {_REMEDY}")
    _check_vocabulary(folder / VOCABULARY)
    calibrated = CALIBRATION_FILE in names
    return ServedModel(
        network=open_onnx(folder / ONNX_FILE, threads=threads),
        tracks=_known_tracks(folder),
        calibration=Calibration.from_json(_json(folder / CALIBRATION_FILE)) if calibrated else None,
        data_source=described.data_source,
        fingerprint=described.fingerprint,
    )


def _check_file(folder: Path, record: FileRecord) -> None:
    """Refuse a file that is not the one described: cut, or left from a model that is being replaced."""
    path = folder / record.name
    if not path.is_file():
        raise MissingInputError(f"{folder} lacks {record.name}, which {DESCRIPTION} names; {_REMEDY}")
    found = record_file(path, record.name)
    if found != record:
        raise ContractError(
            f"{path} has {found.bytes} bytes and SHA-256 {found.sha256}, not {record.bytes} and "
            f"{record.sha256} as {DESCRIPTION} says; {_REMEDY}"
        )


def _check_vocabulary(path: Path) -> None:
    served, known = _json(path), vocabulary()
    for name, expected in known.items():
        if served.get(name) != expected:
            raise ContractError(
                f"the model in {path.parent} was trained with other {name.replace('_', ' ')} "
                f"({_difference(served.get(name), expected)}) than this version of skip_pipeline knows; "
                f"{_REMEDY}"
            )


def _difference(served: object, known: object) -> str:
    """The first thing that differs between JSON values, in words."""
    if isinstance(served, dict) and isinstance(known, dict):
        for name in sorted({*served, *known}):
            if served.get(name) != known.get(name):
                return f"{name}: {_difference(served.get(name), known.get(name))}"
    if isinstance(served, list) and isinstance(known, list):
        for thing in (*served, *known):
            if (thing in served) != (thing in known):
                return f"{thing!r} is only in the {'model' if thing in served else 'code'}"
        return "another order"
    return f"{served!r} in the model, {known!r} in the code"


def _known_tracks(folder: Path) -> KnownTracks:
    matrix, ids = open_tracks(folder / TRACKS), open_array(folder / TRACK_IDS)
    neutral = open_array(folder / NEUTRAL_TRACK)
    width = len(schema.TRACK_BRANCH)
    if ids.dtype.kind != "S" or ids.shape != (len(matrix),) or len(matrix) == 0:
        raise ContractError(
            f"{folder / TRACK_IDS} is {ids.dtype} {ids.shape}, not bytes ({len(matrix)},); {_REMEDY}"
        )
    if neutral.dtype != np.float32 or neutral.shape != (width,):
        raise ContractError(
            f"{folder / NEUTRAL_TRACK} is {neutral.dtype} {neutral.shape}, not float32 ({width},); {_REMEDY}"
        )
    return KnownTracks(ids, matrix, np.array(neutral), Scaler.from_json(_json(folder / SCALER_FILE)))


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ValueError as damage:
        raise ContractError(f"{path} is not readable JSON ({damage}); {_REMEDY}") from damage
