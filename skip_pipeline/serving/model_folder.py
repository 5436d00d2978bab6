"""The folder of a served model: written by ``pack``, opened by ``load``.

    skip_model.onnx      the network
    calibration.json     correction of the network's probabilities; optional
    decision_rule.json   how second halves are decided; optional
    blend.json           weights of the network and of the models on hand-made features; optional
    handmade_models.onnx these models: regression and trees; there if a blend is
    scaler.json          ranges of the track features in training
    tracks.npy           float32 (tracks, 31), scaled features of every track
    track_ids.npy        UTF-8 bytes (tracks,), sorted; row i is track i
    neutral_track.npy    float32 (31,), features of a track that is not in the table
    track_memory.npy     float16 (tracks, 98), the memory of tracks; optional
    vocabulary.json      levels, columns and shapes that the network was trained with
    served_model.json    origin of the model; size and digest of every other file

No file is code or a pickle. The arrays are memory-mapped.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from skip_pipeline import schema, storage
from skip_pipeline.baselines.handmade import HandmadeModels
from skip_pipeline.bundles.parts import TRACKS, open_array, open_parts, open_tracks
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE
from skip_pipeline.bundles.track_memory import MEMORY_FILES, open_memory
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.metrics.blend import NETWORK, Blend
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.decision_rule import THRESHOLD, DecisionRule
from skip_pipeline.serving.blended import Blended
from skip_pipeline.serving.model import ServedModel
from skip_pipeline.serving.tracks import KnownTracks, neutral_track, sorted_ids
from skip_pipeline.settings import (
    BLEND_FILE,
    CALIBRATION_FILE,
    DECISION_RULE_FILE,
    HANDMADE_FILE,
    ONNX_FILE,
    SCALER_FILE,
    TRACK_TABLE,
    DataLayout,
    DataSource,
)
from skip_pipeline.stages.scale import Scaler
from skip_pipeline.storage import FileRecord
from skip_pipeline.training.onnx_model import answers_candidates, open_onnx, open_session

SERVED_MODEL: Final = "served_model"
"""Name of such a folder in ``06_best`` and among the artifacts of a registered model."""

DESCRIPTION: Final = "served_model.json"
FORMAT: Final = 2  # version of this layout, in the description

_PLAIN_NAME: Final = re.compile(r"\w[\w.]*", re.ASCII)
_VOCABULARY: Final = "vocabulary.json"
_TRACK_IDS: Final = "track_ids.npy"
_NEUTRAL_TRACK: Final = "neutral_track.npy"
_REQUIRED: Final = (ONNX_FILE, SCALER_FILE, _VOCABULARY, TRACKS, _TRACK_IDS, _NEUTRAL_TRACK)
_REMEDY: Final = "materialize best_model again, or serve a model that this version of skip_pipeline has made"


Form = TypeVar("Form", Scaler, Calibration, DecisionRule, Blend)


@dataclass(frozen=True)
class Description:
    """Contents of ``served_model.json``."""

    preset: str  # of the network
    data_source: DataSource  # of the training data
    bundles: str  # fingerprint of the bundles that the model was trained on
    tracks: int  # number in its table
    versions: Mapping[str, str]  # of the packages that made it
    files: tuple[FileRecord, ...]  # every other file of the folder
    kind: str = NETWORK  # what answers for the next track (``ServedModel.kind``)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and digests of the files, in hex."""
        return storage.fingerprint(self.files)


def vocabulary() -> dict[str, Any]:
    """What the network and this code must agree on, as JSON values."""
    return {
        "levels": {name: list(levels) for name, levels in schema.LEVELS.items()},
        "session_log": list(schema.SESSION_LOG_BRANCH),
        "track": list(schema.TRACK_BRANCH),
        "shapes": {name: list(shape) for name, shape in schema.INPUT_SHAPES.items()},
        "skip_padding": schema.SKIP_PADDING,
        "row": {"flags": [*FLAGS, SHUFFLE], "seeks": list(SEEKS), "categories": list(CATEGORIES)},
    }


# --- Writing ------------------------------------------------------------------------------------------------


def pack(
    folder: Path,
    layout: DataLayout,
    *,
    network: Path,
    calibration: Path | None,
    preset: str,
    memory: Path | None = None,
    rule: Path | None = None,
    blended: tuple[Path, Path] | None = None,
) -> Description:
    """Write a served model: a network, with the tracks and the scaling that the stages have published.

    Args:
        folder: to write to; may be missing.
        layout: of the merged table, the scaled table and the bundles.
        network: the ONNX file (``training.export``).
        calibration: ``Calibration.to_json`` as a file; None to serve the network's own probabilities.
        preset: of the network.
        memory: the values of a track memory (``bundles.track_memory``); None if the network has none.
        rule: ``DecisionRule.to_json`` as a file; None to decide by the threshold.
        blended: ``Blend.to_json`` as a file, and the other models that it weighs
            (``baselines.export.to_onnx``); None if the network answers alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = storage.read_manifest(layout.bundles, made_by="tensor_bundles")
    ids = track_table_ids(layout)
    matrix, parts = open_parts(layout.bundles, storage.on_this_machine(manifest).path)
    if len(ids) != len(matrix):
        raise ContractError(
            f"{layout.merged / TRACK_TABLE} has {len(ids)} tracks and {layout.bundles / TRACKS} has "
            f"{len(matrix)}; materialize encoded_table and all that follows it again"
        )
    storage.write_array(folder / TRACKS, matrix)
    storage.write_array(folder / _NEUTRAL_TRACK, neutral_track(matrix, parts["train"]))
    storage.write_array(folder / _TRACK_IDS, ids)
    scaled = storage.read_manifest(layout.scaled, made_by="scaled_table")
    _copy(scaled.path(SCALER_FILE), folder / SCALER_FILE, Scaler)
    storage.write_json(folder / _VOCABULARY, vocabulary())
    open_onnx(network)
    shutil.copyfile(network, folder / ONNX_FILE)
    names = list(_REQUIRED)
    if memory is not None:
        storage.write_array(folder / MEMORY_FILES[0], open_memory(memory, (len(matrix), schema.TRACK_MEMORY)))
        names.append(MEMORY_FILES[0])
    if calibration is not None:
        _copy(calibration, folder / CALIBRATION_FILE, Calibration)
        names.append(CALIBRATION_FILE)
    if rule is not None:
        _copy(rule, folder / DECISION_RULE_FILE, DecisionRule)
        names.append(DECISION_RULE_FILE)
    kind = NETWORK
    if blended is not None:
        blend, handmade = blended
        kind = _copy(blend, folder / BLEND_FILE, Blend).kind
        shutil.copyfile(handmade, folder / HANDMADE_FILE)
        names += [BLEND_FILE, HANDMADE_FILE]
    description = Description(
        preset=preset,
        data_source=manifest.data_source,
        bundles=manifest.fingerprint,
        tracks=len(ids),
        versions={name: version(name) for name in ("skip-pipeline", "numpy", "onnxruntime")},
        files=storage.record_files(folder / name for name in sorted(names)),
        kind=kind,
    )
    storage.write_json(folder / DESCRIPTION, asdict(description) | {"format": FORMAT})
    return description


def _copy(source: Path, target: Path, kind: type[Form]) -> Form:
    """Copy the JSON of a form, which is read in between; returns the form."""
    form = kind.from_json(storage.read_json(source))
    storage.write_json(target, form.to_json())
    return form


def track_table_ids(layout: DataLayout) -> np.ndarray:
    """Ids of the published track table in its order, UTF-8 bytes (tracks,)."""
    merged = storage.read_manifest(layout.merged, made_by="merged_table")
    table = storage.read_table(merged.path(TRACK_TABLE), schema.TRACK_FEATURES, columns=[schema.TRACK_ID])
    return sorted_ids(table[schema.TRACK_ID])


# --- Loading ------------------------------------------------------------------------------------------------


def read_description(folder: Path) -> Description:
    """The description of the served model in a folder.

    Raises:
        MissingInputError: the folder holds no served model.
        ContractError: the description is damaged, or of another version.
    """
    path = folder / DESCRIPTION
    try:
        fields = storage.read_json(path)
        if (found := fields.pop("format")) != FORMAT:
            raise ValueError(f"format {found}, not {FORMAT}")
        files = tuple(FileRecord(**record) for record in fields.pop("files"))
        if strange := [file.name for file in files if not _PLAIN_NAME.fullmatch(file.name)]:
            raise ValueError(f"{strange[0]!r} is no file of the folder")
        return Description(**fields, files=files)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingInputError(
            f"{folder} holds no served model (no {DESCRIPTION}); materialize best_model first"
        ) from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(f"{path} is damaged or of another version ({damage!r}); {_REMEDY}") from damage


def load(folder: Path, *, threads: int | None = None) -> ServedModel:
    """Open a served model for predictions with so many threads; None for all cores.

    Its arrays are mapped, so the folder must stay while the model is used.

    Raises:
        MissingInputError: the folder holds no served model, or one of its files is missing.
        ContractError: a file is not readable, differs from its recorded digest (every file is read once for
            that), changes before it is opened, or was made for other levels, columns or shapes than this code
            knows.
    """
    described = read_description(folder)
    marks = {}
    for record in described.files:  # one may be cut, or belong to another model that is being replaced
        path = folder / record.name
        if not path.is_file():
            raise MissingInputError(f"{folder} lacks {record.name}, which {DESCRIPTION} names; {_REMEDY}")
        marks[path] = storage.mark(path)
        if (found := storage.record_file(path, record.name)) != record:
            raise ContractError(
                f"{path} has {found.bytes} bytes and SHA-256 {found.sha256}, not {record.bytes} and "
                f"{record.sha256} as in {DESCRIPTION}; {_REMEDY}"
            )
    names = {record.name for record in described.files}
    if missing := sorted(set(_REQUIRED) - names):
        raise ContractError(f"{folder / DESCRIPTION} names no {missing[0]}; {_REMEDY}")
    served = _json(folder / _VOCABULARY)
    for name, known in vocabulary().items():
        if served.get(name) != known:
            raise ContractError(
                f"the model in {folder} was trained with other {name.replace('_', ' ')} "
                f"({_difference(served.get(name), known)}) than this version of skip_pipeline knows; "
                f"{_REMEDY}"
            )
    network = open_onnx(folder / ONNX_FILE, threads=threads)
    calibrated, remembers = CALIBRATION_FILE in names, MEMORY_FILES[0] in names
    if answers_candidates(network) and not remembers:
        raise ContractError(
            f"{folder / DESCRIPTION} names no {MEMORY_FILES[0]}, its network's input; {_REMEDY}"
        )
    model = ServedModel(
        network=network,
        tracks=_known_tracks(folder, remembers=remembers),
        calibration=Calibration.from_json(_json(folder / CALIBRATION_FILE)) if calibrated else None,
        data_source=described.data_source,
        fingerprint=described.fingerprint,
        bundles=described.bundles,
        rule=DecisionRule.from_json(_json(folder / DECISION_RULE_FILE))
        if DECISION_RULE_FILE in names
        else THRESHOLD,
        blended=_blended(folder, names, threads) if BLEND_FILE in names else None,
    )
    for path, before in marks.items():
        if storage.mark(path) != before:  # so what was opened need not be what was compared
            raise ContractError(
                f"{path} was changed while it was opened; leave the folder alone, and try again"
            )
    return model


def _blended(folder: Path, names: set[str], threads: int | None) -> Blended:
    if missing := sorted({HANDMADE_FILE, MEMORY_FILES[0]} - names):
        raise ContractError(
            f"{folder / DESCRIPTION} names no {missing[0]}, which the models need that {BLEND_FILE} weighs; "
            f"{_REMEDY}"
        )
    path = folder / HANDMADE_FILE
    models = HandmadeModels.of(open_session(path, threads=threads), str(path))
    return Blended(models, Blend.from_json(_json(folder / BLEND_FILE)))


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


def _known_tracks(folder: Path, *, remembers: bool) -> KnownTracks:
    matrix = open_tracks(folder / TRACKS)
    ids, neutral = open_array(folder / _TRACK_IDS), open_array(folder / _NEUTRAL_TRACK)
    for name, array, kind, shape in (
        (_TRACK_IDS, ids, np.bytes_, (len(matrix),)),
        (_NEUTRAL_TRACK, neutral, np.float32, matrix.shape[1:]),
    ):
        if array.dtype.type is not kind or array.shape != shape or not len(array):
            wanted = f"{kind.__name__.strip('_')} {shape}"
            raise ContractError(f"{folder / name} is {array.dtype} {array.shape}, not {wanted}; {_REMEDY}")
    memory = None
    if remembers:
        memory = open_memory(folder / MEMORY_FILES[0], (len(matrix), schema.TRACK_MEMORY))
    return KnownTracks(ids, matrix, np.array(neutral), Scaler.from_json(_json(folder / SCALER_FILE)), memory)


def _json(path: Path) -> dict[str, Any]:
    try:
        return storage.read_json(path)
    except ValueError as damage:
        raise ContractError(f"{path} is not readable JSON ({damage}); {_REMEDY}") from damage
