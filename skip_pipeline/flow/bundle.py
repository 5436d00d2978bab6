"""The model's inputs: four float32 arrays and the label per split, as ``.npy`` files opened in place.

Every sequence is padded in front, so that step t is the same track in every branch and the last step is
always the track before the predicted one. Of the predicted position only its track gets in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.storage import finish_publication

ARRAYS: Final = (*schema.BRANCH_SHAPES, schema.LABEL, schema.SESSION_ID)
"""Names of a bundle's arrays, which are also the names of its files."""


class Bundle(Mapping[str, np.ndarray]):
    """One split's arrays, by name or as attributes; n sessions, in order of shard and session.

    Attributes:
        session_log: float32 (n, 19, 35), zeros in front.
        previous_tracks: float32 (n, 19, 31), zeros in front.
        skip_sequence: float32 (n, 19, 1), ``not_skipped`` of each step, 9 in front.
        last_track: float32 (n, 31), the track to predict.
        not_skipped: float32 (n,), the label: 1 played to the end, 0 skipped.
        session_id: str (n,).
    """

    session_log: np.ndarray
    previous_tracks: np.ndarray
    skip_sequence: np.ndarray
    last_track: np.ndarray
    not_skipped: np.ndarray
    session_id: np.ndarray

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {name: arrays[name] for name in ARRAYS}
        self.__dict__.update(self._arrays)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def sessions(self) -> int:
        """Number of sessions, n."""
        return len(self.not_skipped)


def open_bundle(bundles_dir: Path | str, split: str) -> Bundle:
    """Open one split's arrays, memory-mapped and read-only; nothing is copied.

    Args:
        bundles_dir: the folder ``05_bundles`` of a data directory.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        RefusedError: no such split.
        MissingInputError: the bundle has not been made.
        ContractError: an array is not readable, or has another shape or dtype than the schema says.
    """
    if split not in schema.SPLITS:
        raise RefusedError(f"there is no split {split!r}; choose one of {', '.join(schema.SPLITS)}")
    finish_publication(Path(bundles_dir))
    folder = Path(bundles_dir) / split
    bundle = Bundle({name: _open_array(folder / f"{name}.npy") for name in ARRAYS})
    check_bundle(bundle, what=str(folder))
    return bundle


def _open_array(path: Path) -> np.ndarray:
    try:
        try:
            return cast(np.ndarray, np.load(path, mmap_mode="r", allow_pickle=False))
        except ValueError:  # an array without elements cannot be mapped; any other stays unreadable
            return cast(np.ndarray, np.load(path, allow_pickle=False))
    except FileNotFoundError:
        raise MissingInputError(
            f"{path.parent} holds no {path.name}; materialize tensor_bundles first"
        ) from None
    except (ValueError, EOFError) as refusal:
        raise ContractError(
            f"{path} is not a readable array ({refusal}); materialize tensor_bundles again"
        ) from refusal


def check_bundle(bundle: Mapping[str, np.ndarray], *, what: str) -> None:
    """Compare shapes and dtypes with ``schema.BRANCH_SHAPES``.

    Raises:
        ContractError: naming each array that differs.
    """
    n = bundle[schema.LABEL].size
    wanted = {name: (n, *shape) for name, shape in schema.BRANCH_SHAPES.items()} | {schema.LABEL: (n,)}
    faults = [
        f"{name} is {bundle[name].dtype} {bundle[name].shape}, not float32 {shape}"
        for name, shape in wanted.items()
        if bundle[name].shape != shape or bundle[name].dtype != np.float32
    ]
    ids = bundle[schema.SESSION_ID]
    if ids.shape != (n,) or ids.dtype.kind != "U":
        faults.append(f"{schema.SESSION_ID} is {ids.dtype} {ids.shape}, not text ({n},)")
    if faults:
        raise ContractError(f"{what}: {'; '.join(faults)}; materialize tensor_bundles again")


def bundle_shard(scaled: pa.Table, sessions: pa.Table) -> dict[str, Bundle]:
    """Arrange one shard's rows as the inputs of its sessions, per split.

    Args:
        scaled: 69 columns (``schema.SCALED``), rows ordered by session code and position.
        sessions: the shard's ``schema.SESSIONS``, one row per session code.

    Returns:
        A bundle for every split, some perhaps of no sessions.
    """
    whole = _arrange(scaled, sessions[schema.SESSION_ID].to_numpy())
    splits = sessions["split"].to_numpy()
    return {
        name: Bundle({array: values[splits == name] for array, values in whole.items()})
        for name in schema.SPLITS
    }


def _arrange(scaled: pa.Table, ids: np.ndarray) -> dict[str, np.ndarray]:
    codes = scaled[schema.SESSION_ID].to_numpy()
    positions = scaled[schema.POSITION].to_numpy().astype(np.int64)
    n = len(ids)
    rows_per_session = np.bincount(codes, minlength=n)
    last = np.cumsum(rows_per_session) - 1
    label = scaled[schema.LABEL].to_numpy().astype(np.float32)
    log = _matrix(scaled, schema.SESSION_LOG_BRANCH)  # (rows, 35)
    tracks = _matrix(scaled, schema.TRACK_BRANCH)  # (rows, 31)

    earlier = np.ones(len(codes), bool)
    earlier[last] = False
    session = codes[earlier]
    # The track before the predicted one, position L - 1, goes to the last step.
    step = schema.STEPS - 1 - (rows_per_session[session] - 1 - positions[earlier])

    session_log = np.zeros((n, *schema.BRANCH_SHAPES["session_log"]), np.float32)
    previous_tracks = np.zeros((n, *schema.BRANCH_SHAPES["previous_tracks"]), np.float32)
    skip_sequence = np.full((n, *schema.BRANCH_SHAPES["skip_sequence"]), schema.SKIP_PADDING, np.float32)
    session_log[session, step] = log[earlier]
    previous_tracks[session, step] = tracks[earlier]
    skip_sequence[session, step, 0] = label[earlier]
    return {
        "session_log": session_log,
        "previous_tracks": previous_tracks,
        "skip_sequence": skip_sequence,
        "last_track": tracks[last],
        schema.LABEL: label[last],
        schema.SESSION_ID: ids.astype(str),
    }


def _matrix(table: pa.Table, columns: tuple[str, ...]) -> np.ndarray:
    """Columns side by side as float32 (rows, len(columns))."""
    matrix = np.empty((table.num_rows, len(columns)), np.float32)
    for i, name in enumerate(columns):
        matrix[:, i] = table[name].to_numpy()
    return matrix


class BundleWriter:
    """Writes shard after shard into the files of one bundle per split, whose sizes are known beforehand.

    Memory stays bounded by a shard: the files are mapped and filled slice by slice.
    """

    def __init__(self, bundles_dir: Path, shards: Sequence[pa.Table]) -> None:
        """Create the files.

        Args:
            bundles_dir: gets a folder per split.
            shards: the ``schema.SESSIONS`` of every shard that will be added.
        """
        splits = np.concatenate([s["split"].to_numpy() for s in shards])
        self.sessions = {name: int(np.count_nonzero(splits == name)) for name in schema.SPLITS}
        id_length = max(pc.max(pc.utf8_length(s[schema.SESSION_ID])).as_py() for s in shards)
        layout = {name: (shape, np.dtype(np.float32)) for name, shape in schema.BRANCH_SHAPES.items()}
        layout[schema.LABEL] = ((), np.dtype(np.float32))
        layout[schema.SESSION_ID] = ((), np.dtype(f"<U{id_length}"))
        self._filled = dict.fromkeys(schema.SPLITS, 0)
        self._arrays = {}
        for split, n in self.sessions.items():
            folder = bundles_dir / split
            folder.mkdir(parents=True, exist_ok=True)
            for name, (shape, dtype) in layout.items():
                self._arrays[split, name] = _new_array(folder / f"{name}.npy", (n, *shape), dtype)

    def add(self, shard: Mapping[str, Bundle]) -> None:
        """Append one shard's bundles.

        Raises:
            ContractError: more sessions come than announced.
        """
        for split, bundle in shard.items():
            start = self._filled[split]
            stop = start + bundle.sessions
            if stop > self.sessions[split]:
                raise ContractError(
                    f"bundles get {stop} sessions of {split}, announced were {self.sessions[split]}"
                )
            for name in ARRAYS:
                self._arrays[split, name][start:stop] = bundle[name]
            self._filled[split] = stop

    def close(self) -> None:
        """Flush the files.

        Raises:
            ContractError: fewer sessions came than announced.
        """
        if self._filled != self.sessions:
            raise ContractError(f"bundles hold {self._filled} sessions, announced were {self.sessions}")
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        self._arrays.clear()


def _new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if 0 in shape:  # cannot be mapped
        empty = np.empty(shape, dtype)
        np.save(path, empty, allow_pickle=False)
        return empty
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


# --- What a person would rather look at ----------------------------------------------------------------


def class_balance(bundles_dir: Path) -> dict[str, tuple[int, int]]:
    """Per split, how many last tracks were skipped and how many were not."""
    balance = {}
    for split in schema.SPLITS:
        label = open_bundle(bundles_dir, split).not_skipped
        not_skipped = int(np.count_nonzero(label))
        balance[split] = (len(label) - not_skipped, not_skipped)
    return balance


def session_lengths(bundles_dir: Path) -> dict[int, int]:
    """Sessions of all splits by length, which is one more than the steps that are not padding."""
    steps = np.concatenate(
        [
            np.count_nonzero(
                open_bundle(bundles_dir, s).skip_sequence[:, :, 0] != schema.SKIP_PADDING, axis=1
            )
            for s in schema.SPLITS
        ]
    )
    lengths, counts = np.unique(steps + 1, return_counts=True)
    return dict(zip(lengths.tolist(), counts.tolist(), strict=True))


# --- Leak ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeakReport:
    """Which arrays changed when values that no model may see were changed."""

    sessions: int
    leaking: tuple[str, ...]


def find_leaks(scaled: pa.Table, sessions: pa.Table, published: Mapping[str, Bundle]) -> LeakReport:
    """Overwrite everything at each predicted position but its track, and compare with what was published.

    The session code and the two columns that say where a row stands are left, since they are the row's
    address and not an observation of it.

    Args:
        scaled: 69 columns (``schema.SCALED``) of one shard.
        sessions: the shard's ``schema.SESSIONS``.
        published: the shard's part of the bundles, per split (``shard_parts``).

    Returns:
        The inputs that are not the same without those values: they have seen one, or come from another
        table.
    """
    untouched = {schema.SESSION_ID, schema.POSITION, schema.LENGTH, *schema.TRACK_BRANCH}
    codes = scaled[schema.SESSION_ID].to_numpy()
    last = np.cumsum(np.bincount(codes, minlength=sessions.num_rows)) - 1
    tampered = scaled
    for i, field in enumerate(schema.SCALED):
        if field.name not in untouched:
            values = scaled[field.name].to_numpy().copy()
            values[last] = values[last] + 1
            tampered = tampered.set_column(i, field, pa.array(values, field.type))
    again = bundle_shard(tampered, sessions)
    leaking = tuple(
        name
        for name in schema.BRANCH_SHAPES
        if not all(np.array_equal(published[split][name], again[split][name]) for split in schema.SPLITS)
    )
    return LeakReport(sessions=sessions.num_rows, leaking=leaking)


def shard_parts(
    bundles: Mapping[str, Bundle], shards: Mapping[str, pa.Table]
) -> Iterator[tuple[str, dict[str, Bundle]]]:
    """Each shard's part of the bundles, per split, in the order in which the shards were added.

    Args:
        bundles: whole bundles, per split.
        shards: ``schema.SESSIONS`` by shard name, in that order.
    """
    filled = dict.fromkeys(schema.SPLITS, 0)
    for shard, sessions in shards.items():
        splits = sessions["split"].to_numpy()
        parts = {}
        for split in schema.SPLITS:
            start, stop = filled[split], filled[split] + int(np.count_nonzero(splits == split))
            parts[split] = Bundle({name: array[start:stop] for name, array in bundles[split].items()})
            filled[split] = stop
        yield shard, parts
