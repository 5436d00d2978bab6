"""An opened bundle: records memory-mapped on disk, float32 inputs gathered when they are indexed.

In memory are 23 bytes a session: its record, its first row and its number; and 16 of its outcomes, once they
are asked for. A batch of any sessions, in any order, is gathered from the mapped rows.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.parts import Find, Part, open_groups, open_parts
from skip_pipeline.bundles.records import ROW, SESSION, Steps, decode, outcome_bits, padding_of, premium_of
from skip_pipeline.errors import ContractError, RefusedError
from skip_pipeline.locations import is_local, location
from skip_pipeline.storage import Manifest, is_published, on_this_machine, read_manifest

INPUTS: Final = tuple(name for name in schema.INPUT_SHAPES if name != "track_memory")
"""Inputs that a bundle holds."""

ARRAYS: Final = (*INPUTS, schema.LABEL, "last_flags", schema.SESSION_ID)
"""Names of a bundle's arrays."""

_AT_ONCE: Final = 1024
"""Sessions decoded together: 5.4 MB of inputs. Half and twice as many are slower on two cores."""


class Gathered:
    """One array of a bundle, (n, …): indexing gathers the sessions asked for, and those alone.

    The first axis takes an integer, a slice, or a one-dimensional array of integers or booleans; the others
    take integers and slices. ``np.asarray`` gathers everything.
    """

    def __init__(self, bundle: Bundle, name: str, dtype: np.dtype) -> None:
        self._bundle, self._name, self.dtype = bundle, name, dtype
        self.shape = (bundle.sessions, *schema.INPUT_SHAPES.get(name, ()))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            return np.asarray(self)[key]
        if any(not isinstance(part, int | np.integer | slice) for part in rest):
            raise IndexError(f"{self._name} takes integers and slices after the first axis, not {rest}")
        gathered = self._bundle.gather(self._name, self._bundle.numbers(first))
        return gathered[(0 if isinstance(first, int | np.integer) else slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self._name} is not in memory: an array of it is a copy")
        return np.asarray(self[:], dtype)

    def tolist(self) -> list[Any]:
        """Everything, as numpy's ``tolist``."""
        return list(self[:].tolist())


class Bundle(Mapping[str, Any]):
    """The arrays of one split, by name or as attributes; n sessions, in order of shard and session."""

    session_log: Gathered  # float32 (n, 19, 35), zeros in front
    previous_tracks: Gathered  # float32 (n, 19, 31), zeros in front
    skip_sequence: Gathered  # float32 (n, 19, 1), ``not_skipped`` of each step, 9 in front
    last_track: Gathered  # float32 (n, 31), the track to predict
    circumstances: Gathered  # float32 (n, 5), see ``schema.INPUT_SHAPES``, and so on
    track_numbers: Gathered  # float32 (n, 20), rows of the track matrix, -1 in front
    visible_steps: Gathered  # float32 (n, 1), 19
    tracks_between: Gathered  # float32 (n, 1), 0
    session_id: Gathered  # str (n,)

    groups: np.ndarray | None
    """Numbers of each track's artist and album, int32 (tracks, 2); only of own listening."""

    def __init__(self, tracks: np.ndarray, parts: Sequence[Part], groups: np.ndarray | None = None) -> None:
        """Join parts of one split, in the order of the sessions, the track matrix and groups of tracks."""
        self._tracks, self.parts, self.groups = tracks, tuple(parts), groups
        self._bounds = np.cumsum([0, *(len(part.sessions) for part in parts)])
        for name in INPUTS:
            setattr(self, name, Gathered(self, name, np.dtype(np.float32)))
        width = max((part.ids.dtype.itemsize for part in parts), default=1)
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
        """The label, float32 (n,), in memory: 1 played to the end, 0 skipped."""
        return outcome_bits(self._records)[:, schema.OUTCOME_FLAGS.index(schema.LABEL)].astype(np.float32)

    @cached_property
    def last_flags(self) -> np.ndarray:
        """``skip_1``, ``skip_2`` and ``skip_3`` of the predicted track, float32 (n, 3), in memory."""
        return outcome_bits(self._records)[:, : len(schema.OUTCOME_FLAGS) - 1].astype(np.float32)

    @property
    def tracks(self) -> int:
        """Number of tracks."""
        return len(self._tracks)

    @cached_property
    def _all(self) -> np.ndarray:
        """Numbers of all sessions, int64 (n,)."""
        return np.arange(self.sessions)

    @cached_property
    def _records(self) -> np.ndarray:
        """``records.SESSION`` (n,), in memory."""
        return np.concatenate([np.empty(0, SESSION), *(p.sessions.astype(SESSION) for p in self.parts)])

    @cached_property
    def _first_rows(self) -> np.ndarray:
        """The first row of each session in its part, int64 (n,)."""
        starts = [np.empty(0, np.int64)]
        for part in self.parts:
            earlier = part.sessions["length"].astype(np.int64) - 1
            starts.append(np.cumsum(earlier) - earlier)
        return np.concatenate(starts)

    def of_shards(self, names: Container[str] | None) -> Bundle:
        """The sessions of the shards of these names, in the same order; of all of them for None."""
        if names is None:
            return self
        return Bundle(self._tracks, [part for part in self.parts if part.name in names], self.groups)

    def of_sessions(self, chosen: np.ndarray) -> Bundle:
        """The chosen sessions, bool (n,), in the same order; their records are in memory."""
        of_parts = zip(self.parts, pairwise(self._bounds.tolist()), strict=True)
        parts = [part.of_sessions(chosen[a:b]) for part, (a, b) in of_parts]
        return Bundle(self._tracks, parts, self.groups)

    def joined(self, other: Bundle) -> Bundle:
        """Its own sessions, then those of another split of the same bundles."""
        return Bundle(self._tracks, [*self.parts, *other.parts], self.groups)

    def batch(self, index: Any, names: Sequence[str] = tuple(schema.BRANCH_SHAPES)) -> dict[str, np.ndarray]:
        """Some inputs, the label and the last flags of some sessions (see ``numbers``): float32, by name."""
        chosen = self.numbers(index)
        outcomes = {name: self[name][chosen] for name in (schema.LABEL, "last_flags")}
        return self._decoded(chosen, tuple(names)) | outcomes

    def numbers(self, index: Any) -> np.ndarray:
        """Numbers of the sessions that an index selects, int64 (m,): any order, repetitions allowed."""
        chosen = np.asarray(self._all[index])
        if chosen.ndim > 1 or isinstance(index, bool | np.bool_):
            raise IndexError(
                "sessions are chosen by an integer, a slice or a one-dimensional array of integers or "
                f"booleans, not by {index!r}"
            )
        return np.atleast_1d(chosen)

    def gather(self, name: str, chosen: np.ndarray) -> np.ndarray:
        """One array of the sessions of these ``numbers``."""
        if name != schema.SESSION_ID:
            return self._decoded(chosen, (name,))[name]
        ids = np.zeros(len(chosen), f"S{self.session_id.dtype.itemsize // 4}")
        for part, own, numbers in self._by_part(chosen):
            ids[own] = part.ids[numbers]
        return np.strings.decode(ids, "utf-8").astype(self.session_id.dtype, copy=False)

    def _decoded(self, chosen: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        arrays = {n: np.empty((len(chosen), *schema.INPUT_SHAPES[n]), np.float32) for n in names}
        for start in range(0, len(chosen), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            steps = self._steps(chosen[some])
            for name, array in arrays.items():
                decode(name, steps, self._tracks, array[some])
        return arrays

    def _steps(self, chosen: np.ndarray) -> Steps:
        sessions = self._records[chosen]
        padding = padding_of(sessions["length"].astype(np.int64) - 1)
        # The row of step 0, which lies before the session's first row where there is padding.
        first = self._first_rows[chosen] - padding.sum(axis=1)
        wanted = first[:, None] + np.arange(schema.STEPS)
        rows = np.empty(wanted.shape, ROW)
        for part, own, _ in self._by_part(chosen):
            rows[own] = part.rows.take(wanted[own], mode="clip")
        rows[padding] = np.zeros((), ROW)
        length, last_track, hour = (sessions[name] for name in ("length", "last_track", "hour"))
        return Steps(rows, padding, length, last_track, hour, premium_of(sessions))

    def _by_part(self, chosen: np.ndarray) -> Iterator[tuple[Part, np.ndarray, np.ndarray]]:
        """Each part with sessions among the chosen: which of them, and their numbers in the part."""
        part_of = np.searchsorted(self._bounds, chosen, side="right") - 1
        order = np.argsort(part_of, kind="stable")
        starts = np.flatnonzero(np.diff(part_of[order], prepend=-1))
        for start, stop in pairwise([*starts.tolist(), len(order)]):
            own = order[start:stop]
            p = int(part_of[own[0]])
            yield self.parts[p], own, chosen[own] - self._bounds[p]


def open_bundle(bundles_dir: Path | str | Manifest, split: str) -> Bundle:
    """Open one split as ``open_bundles``; a split that is not in ``schema.SPLITS`` is a RefusedError."""
    if split not in schema.SPLITS:
        raise RefusedError(f"there is no split {split!r}; choose one of {', '.join(schema.SPLITS)}")
    return open_bundles(bundles_dir, (split,))[split]


def open_bundles(
    bundles_dir: Path | str | Manifest, splits: Sequence[str] = schema.SELECTION_SPLITS
) -> dict[str, Bundle]:
    """Open splits, by name, memory-mapped and read-only.

    A bundle in an object store is copied to this machine first, once for each publication.

    Args:
        bundles_dir: the folder ``05_bundles`` of a data directory, its URL, or one generation's manifest.
        splits: of ``schema.SPLITS``; the test split is opened only where it is named.

    Raises:
        MissingInputError: the bundle has not been made, or a file of it is gone.
        ContractError: a file is not readable, of another format, or does not fit the others.
    """
    if not isinstance(bundles_dir, Manifest):
        folder = location(bundles_dir) if isinstance(bundles_dir, str) else bundles_dir
        if not is_local(folder) or is_published(folder):
            return open_bundles(read_manifest(folder, made_by="tensor_bundles"), splits)
        find: Find = folder.joinpath
    else:
        folder, find = bundles_dir.folder, on_this_machine(bundles_dir).path
    tracks, parts = open_parts(folder, find)
    groups = open_groups(folder, find, len(tracks))
    return {split: Bundle(tracks, parts[split], groups) for split in splits}


def check_made_from(bundles: Manifest, made: Manifest) -> None:
    """Raise a ``ContractError`` if a stage was made from other bundles than those that are published."""
    if made.details["bundles"] != bundles.fingerprint:
        raise ContractError(
            f"{made.folder} was made from other bundles than those in {bundles.folder}; expected one made "
            f"from these. Materialize {made.stage} again"
        )
