"""The folder of a served model, from which ``load`` opens it.

    skip_model.onnx      the network
    calibration.json     correction of the network's probabilities; optional
    scaler.json          ranges of the track features in training
    tracks.npy           float32 (tracks, 31), scaled features of every track
    track_ids.npy        UTF-8 bytes (tracks,), sorted; row i is track i
    neutral_track.npy    float32 (31,), features of a track that is not in the table
    vocabulary.json      levels, columns and shapes that the network was trained with
    served_model.json    origin of the model; size and digest of every other file

No file is code or a pickle. The arrays are memory-mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS, open_array, open_tracks
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving.model import ServedModel
from skip_pipeline.serving.tracks import KnownTracks
from skip_pipeline.settings import CALIBRATION_FILE, ONNX_FILE, SCALER_FILE, DataSource
from skip_pipeline.stages.scale import Scaler
from skip_pipeline.storage import FileRecord, fingerprint, read_json, record_file
from skip_pipeline.training.onnx_model import open_onnx

SERVED_MODEL: Final = "served_model"
"""Name of such a folder in ``06_model`` and among the artifacts of a registered model."""

DESCRIPTION: Final = "served_model.json"
VOCABULARY: Final = "vocabulary.json"
TRACK_IDS: Final = "track_ids.npy"
NEUTRAL_TRACK: Final = "neutral_track.npy"

FORMAT: Final = 1
"""Version of this layout, in ``served_model.json``."""

_REQUIRED: Final = (ONNX_FILE, SCALER_FILE, VOCABULARY, TRACKS, TRACK_IDS, NEUTRAL_TRACK)
_REMEDY: Final = (
    "materialize trained_model again, or serve a model that this version of skip_pipeline has made"
)


@dataclass(frozen=True)
class Description:
    """Contents of ``served_model.json``.

    Attributes:
        preset: of the network.
        data_source: of the training data.
        bundles: fingerprint of the bundles that the model was trained on.
        tracks: number of tracks in its table.
        versions: of the packages that made it.
        files: every other file of the folder.
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
    """What the network and this code must agree on, as JSON values."""
    return {
        "levels": {name: list(levels) for name, levels in schema.LEVELS.items()},
        "session_log": list(schema.SESSION_LOG_BRANCH),
        "track": list(schema.TRACK_BRANCH),
        "shapes": {name: list(shape) for name, shape in schema.BRANCH_SHAPES.items()},
        "skip_padding": schema.SKIP_PADDING,
        "row": {"flags": [*FLAGS, SHUFFLE], "seeks": list(SEEKS), "categories": list(CATEGORIES)},
    }


def read_description(folder: Path) -> Description:
    """The description of the served model in a folder.

    Raises:
        MissingInputError: the folder holds no served model.
        ContractError: the description is damaged, or of another version.
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
    """Open a served model. Its arrays are mapped, so the folder must stay while the model is used.

    Args:
        folder: written by ``pack``.
        threads: number of threads for one prediction of the network; None for all cores.

    Raises:
        MissingInputError: the folder holds no served model, or one of its files is missing.
        ContractError: a file is not readable, differs from its recorded digest (every file is read once for
            that), or was made for other levels, columns or shapes than this code knows.
    """
    described = read_description(folder)
    for record in described.files:
        _check_file(folder, record)
    names = {record.name for record in described.files}
    if missing := sorted(set(_REQUIRED) - names):
        raise ContractError(f"{folder / DESCRIPTION} names no {missing[0]}; {_REMEDY}")
    _check_vocabulary(folder / VOCABULARY)
    calibrated = CALIBRATION_FILE in names
    return ServedModel(
        network=open_onnx(folder / ONNX_FILE, threads=threads),
        tracks=_known_tracks(folder),
        calibration=Calibration.from_json(_json(folder / CALIBRATION_FILE)) if calibrated else None,
        data_source=described.data_source,
        fingerprint=described.fingerprint,
        bundles=described.bundles,
    )


def _check_file(folder: Path, record: FileRecord) -> None:
    """Refuse a file that is cut, or belongs to another model that is being replaced."""
    path = folder / record.name
    if not path.is_file():
        raise MissingInputError(f"{folder} lacks {record.name}, which {DESCRIPTION} names; {_REMEDY}")
    found = record_file(path, record.name)
    if found != record:
        raise ContractError(
            f"{path} has {found.bytes} bytes and SHA-256 {found.sha256}, not {record.bytes} and "
            f"{record.sha256} as in {DESCRIPTION}; {_REMEDY}"
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
    """The first difference between two JSON values, in words."""
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
