"""A bundle, opened: small integers on disk, float32 inputs in the hand, made when they are asked for.

Nothing but the index of an opened split lies in memory; a batch of any sessions, in any order, is gathered
from the mapped files in one vectorised pass. Every sequence is padded in front, so that step t is the same
track in every branch and the last step is always the track before the predicted one.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.decode import DECODERS
from skip_pipeline.bundles.parts import Part, open_parts
from skip_pipeline.bundles.records import ROW_TYPES, SESSION, padding_record
from skip_pipeline.errors import RefusedError
from skip_pipeline.locations import is_local, location
from skip_pipeline.storage import Manifest, is_published, on_this_machine, read_manifest

ARRAYS: Final = (*schema.BRANCH_SHAPES, schema.LABEL, schema.SESSION_ID)
"""Names of a bundle's arrays."""

_AT_ONCE: Final = 1024
"""Sessions decoded together: 5.4 MB of inputs. Half and twice as many are slower on two cores."""


class Gathered:
    """One array of a bundle, not in memory: indexing gathers the sessions asked for, and those alone.

    It takes an integer, a slice, or a one-dimensional array of integers or booleans on the first axis, and
    integers or slices on the others, as numpy does. ``np.asarray`` gathers everything.

    Attributes:
        shape: n sessions, then ``schema.BRANCH_SHAPES``.
        dtype: float32, or text for the ids.
    """

    def __init__(self, bundle: Bundle, name: str, dtype: np.dtype) -> None:
        self._bundle = bundle
        self._name = name
        self.shape = (bundle.sessions, *schema.BRANCH_SHAPES.get(name, ()))
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            return np.asarray(self)[key]
        for part in rest:
            if not isinstance(part, int | np.integer | slice):
                raise IndexError(f"{self._name} takes integers and slices after the first axis, not {part!r}")
        if len(rest) >= self.ndim:
            raise IndexError(f"{self._name} has {self.ndim} axes, but {len(rest) + 1} were indexed")
        gathered = self._bundle.gather(self._name, positions(first, len(self)))
        if isinstance(first, int | np.integer):
            return gathered[(0, *rest)]
        return gathered[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self._name} is not in memory, so it cannot be had without a copy")
        whole: np.ndarray = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def tolist(self) -> list[Any]:
        """Everything, as numpy's ``tolist``."""
        return list(np.asarray(self).tolist())

    def __repr__(self) -> str:
        return f"<{self._name}: {self.dtype} {self.shape}, gathered when indexed>"


def positions(index: Any, n: int) -> np.ndarray:
    """What an index on an axis of length n selects: int64, one-dimensional, none negative.

    Raises:
        IndexError: it is out of range, of another length than a mask must have, or of no kind that selects.
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(n))
    chosen = np.atleast_1d(np.asarray(index))
    if chosen.dtype == bool and np.ndim(index) == 1:
        if len(chosen) != n:
            raise IndexError(f"a mask of {len(chosen)} for {n} sessions")
        return np.flatnonzero(chosen)
    if chosen.size == 0:
        chosen = chosen.astype(np.int64)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer):
        raise IndexError(
            "sessions are chosen by an integer, a slice or a one-dimensional array of integers or booleans, "
            f"not by {chosen.dtype} {np.shape(index)}"
        )
    if chosen.size and (chosen.min() < -n or chosen.max() >= n):
        raise IndexError(f"indices from {chosen.min()} to {chosen.max()} for {n} sessions")
    chosen = chosen.astype(np.int64)
    return np.where(chosen < 0, chosen + n, chosen)


class Bundle(Mapping[str, Any]):
    """One split's arrays, by name or as attributes; n sessions, in order of shard and session.

    Attributes:
        session_log: float32 (n, 19, 35), zeros in front; gathered when indexed, like all but the label.
        previous_tracks: float32 (n, 19, 31), zeros in front.
        skip_sequence: float32 (n, 19, 1), ``not_skipped`` of each step, 9 in front.
        last_track: float32 (n, 31), the track to predict.
        session_id: str (n,).
    """

    session_log: Gathered
    previous_tracks: Gathered
    skip_sequence: Gathered
    last_track: Gathered
    session_id: Gathered

    def __init__(self, tracks: np.ndarray, parts: Sequence[Part]) -> None:
        """Put parts behind one another.

        Args:
            tracks: float32 (tracks, 31).
            parts: of one split.
        """
        self._tracks = tracks
        self.parts = tuple(parts)
        self._bounds = np.cumsum([0, *(len(part.sessions) for part in parts)])
        self._row_type = max(
            (part.rows.dtype for part in parts),
            key=lambda dtype: dtype.itemsize,
            default=ROW_TYPES[0],
        )
        width = max((part.ids.dtype.itemsize for part in parts), default=1)
        for name in schema.BRANCH_SHAPES:
            setattr(self, name, Gathered(self, name, np.dtype(np.float32)))
        self.session_id = Gathered(self, schema.SESSION_ID, np.dtype(f"<U{width}"))

    def __getitem__(self, name: str) -> Any:
        if name not in ARRAYS:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(ARRAYS)

    def __len__(self) -> int:
        return len(ARRAYS)

    @property
    def sessions(self) -> int:
        """Number of sessions, n."""
        return int(self._bounds[-1])

    @cached_property
    def not_skipped(self) -> np.ndarray:
        """The label, float32 (n,), in memory from the first use on: 1 played to the end, 0 skipped."""
        labels = [part.sessions[schema.LABEL].astype(np.float32) for part in self.parts]
        return np.concatenate([np.empty(0, np.float32), *labels])

    def of_shards(self, names: Container[str] | None) -> Bundle:
        """The sessions of the shards of these names, in the same order; of all of them for None."""
        if names is None:
            return self
        return Bundle(self._tracks, [part for part in self.parts if part.name in names])

    def batch(self, index: Any) -> dict[str, np.ndarray]:
        """The four inputs and the label of some sessions, in one pass.

        Args:
            index: slice, or array of integers or booleans; any order, repetitions allowed.

        Returns:
            float32 arrays of their own, by name, m sessions each.
        """
        return self._decoded(positions(index, self.sessions), tuple(DECODERS))

    def gather(self, name: str, chosen: np.ndarray) -> np.ndarray:
        """One array of the sessions at some ``positions``."""
        if name == schema.SESSION_ID:
            return self._ids(chosen)
        return self._decoded(chosen, (name,))[name]

    def _ids(self, chosen: np.ndarray) -> np.ndarray:
        ids = np.zeros(len(chosen), f"S{self.session_id.dtype.itemsize // 4}")
        part_of = np.searchsorted(self._bounds, chosen, side="right") - 1
        for p in np.unique(part_of):
            own = part_of == p
            ids[own] = self.parts[p].ids[chosen[own] - self._bounds[p]]
        return np.strings.decode(ids, "utf-8").astype(self.session_id.dtype, copy=False)

    def _decoded(self, chosen: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        shapes = {name: (len(chosen), *schema.BRANCH_SHAPES.get(name, ())) for name in names}
        arrays = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        for start in range(0, len(chosen), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            records = self._records(chosen[some])
            for name, array in arrays.items():
                DECODERS[name](self._tracks, *records, array[some])
        return arrays

    def _records(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Session records (m,), row records (m, 19) and which of these are padding."""
        part_of = np.searchsorted(self._bounds, chosen, side="right") - 1
        order = np.argsort(part_of, kind="stable")  # part by part, so that each is read once
        inside = (chosen - self._bounds[part_of])[order]
        ends = np.append(np.flatnonzero(np.diff(part_of[order])) + 1, len(order))
        runs = [(self.parts[p], slice(a, b)) for p, a, b in self._runs(part_of[order], ends)]
        sessions = np.empty(len(chosen), SESSION)
        for part, own in runs:
            part.sessions.take(inside[own], out=sessions[own], mode="clip")
        history = sessions["length"].astype(np.int64) - 1
        first = sessions["first_row"] - (schema.STEPS - history)  # where step 0 is, or would be
        wanted = first[:, None] + np.arange(schema.STEPS)
        rows = np.empty(wanted.shape, self._row_type)
        for part, own in runs:
            if part.rows.dtype == rows.dtype:
                part.rows.take(wanted[own], out=rows[own], mode="clip")
            else:
                rows[own] = part.rows.take(wanted[own], mode="clip")
        padding = np.arange(schema.STEPS) < (schema.STEPS - history)[:, None]
        rows[padding] = padding_record(self._row_type)
        if len(runs) > 1:
            back = np.argsort(order)
            sessions, rows, padding = sessions[back], rows[back], padding[back]
        return sessions, rows, padding

    @staticmethod
    def _runs(parts: np.ndarray, ends: np.ndarray) -> Iterator[tuple[int, int, int]]:
        starts = np.append(0, ends[:-1])
        yield from zip(parts[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)


def open_bundle(bundles_dir: Path | str | Manifest, split: str) -> Bundle:
    """Open one split, memory-mapped and read-only; nothing is copied before it is asked for.

    A bundle in an object store is copied to this machine first, once for each publication (see
    ``storage.on_this_machine``).

    Args:
        bundles_dir: the folder ``05_bundles`` of a data directory, its URL, or one generation's manifest.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        RefusedError: no such split.
        MissingInputError: the bundle has not been made, or a file of it is gone.
        ContractError: a file is not readable, or does not fit the others.
    """
    if split not in schema.SPLITS:
        raise RefusedError(f"there is no split {split!r}; choose one of {', '.join(schema.SPLITS)}")
    tracks, parts = _opened(bundles_dir)
    return Bundle(tracks, [part.of_split(split) for part in parts])


def open_bundles(bundles_dir: Path | str | Manifest) -> dict[str, Bundle]:
    """Open every split, by name; each file is mapped once for all of them.

    Raises:
        MissingInputError, ContractError: see ``open_bundle``.
    """
    tracks, parts = _opened(bundles_dir)
    return {split: Bundle(tracks, [part.of_split(split) for part in parts]) for split in schema.SPLITS}


def _opened(bundles_dir: Path | str | Manifest) -> tuple[np.ndarray, tuple[Part, ...]]:
    if isinstance(bundles_dir, Manifest):
        return open_parts(bundles_dir.folder, on_this_machine(bundles_dir).path)
    folder = location(bundles_dir) if isinstance(bundles_dir, str) else bundles_dir
    if is_local(folder) and not is_published(folder):
        return open_parts(folder, folder.joinpath)
    return _opened(read_manifest(folder, made_by="tensor_bundles"))
