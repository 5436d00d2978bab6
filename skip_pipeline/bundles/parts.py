"""The files of a bundle: what each holds, and opening them in place.

    tracks.npy                 float32 (tracks, 31), every track's scaled features; one for all shards
    parts.json                 which parts there are, and how much is in each
    <shard>/sessions.npy       a SESSION record per session, ordered by split, within it as in the shard
    <shard>/rows.npy           a row record per log row but each session's last, ordered as in the shard
    <shard>/session_id.npy     UTF-8 bytes (sessions,), in the order of sessions.npy

A shard's folder is a part. It depends on its own shard and on which track stands in which row of
``tracks.npy``, so a shard is added, replaced or dropped without touching the others. Of the predicted
position a part holds the track and the label and nothing else: what no model may see is not on disk.
"""

from __future__ import annotations

import resource
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import ROW_TYPES, SESSION
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import EXAMPLES_SHOWN
from skip_pipeline.storage import map_array, read_json, write_json

TRACKS: Final = "tracks.npy"
PARTS: Final = "parts.json"
SESSIONS: Final = "sessions.npy"
ROWS: Final = "rows.npy"
IDS: Final = "session_id.npy"
PART_FILES: Final = (SESSIONS, ROWS, IDS)

Find = Callable[[str], Path]

FORMAT: Final = 2
"""Number of this layout, in ``parts.json``; another number is another layout."""


@dataclass(frozen=True)
class PartRecord:
    """What ``parts.json`` says of one part.

    Attributes:
        name: of the shard and of the part's folder.
        sessions: number per split.
        rows: log rows without each session's last.
        tracks: rows of the track matrix that the part was made for.
    """

    name: str
    sessions: Mapping[str, int]
    rows: int
    tracks: int


@dataclass(frozen=True)
class Part:
    """One shard's share of a bundle, in memory or mapped and read-only.

    Attributes:
        name: of the shard.
        sessions: ``SESSION`` (n,), ordered by split.
        ids: bytes (n,).
        rows: one of ``records.ROW_TYPES`` (rows,), of all splits.
        tracks: rows of the track matrix that it was made for.
    """

    name: str
    sessions: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    tracks: int

    def of_split(self, split: str) -> Part:
        """The sessions of one split."""
        # By bisection, so that a large file is not read for it.
        splits, code = self.sessions["split"], schema.SPLITS.index(split)
        own = slice(bisect_left(splits, code), bisect_right(splits, code))
        return replace(self, sessions=self.sessions[own], ids=self.ids[own])

    @property
    def own_rows(self) -> np.ndarray:
        """The rows of its sessions, in their order: fewer than ``rows`` where it is one split of a shard."""
        history = self.sessions["length"].astype(np.int64) - 1
        if history.sum() == len(self.rows):
            return self.rows
        starts = np.repeat(self.sessions["first_row"] - (np.cumsum(history) - history), history)
        own: np.ndarray = self.rows[starts + np.arange(history.sum())]
        return own

    @property
    def record(self) -> PartRecord:
        """What ``parts.json`` says of it."""
        sessions = {split: len(self.of_split(split).sessions) for split in schema.SPLITS}
        return PartRecord(self.name, sessions, len(self.rows), self.tracks)


def plays(parts: Iterable[Part], tracks: int) -> np.ndarray:
    """Plays of each of so many tracks in the parts' sessions, earlier and predicted: int64 (tracks,)."""
    counts = np.zeros(tracks, np.int64)
    for part in parts:
        counts += np.bincount(part.own_rows["track"], minlength=tracks)
        counts += np.bincount(part.sessions["last_track"], minlength=tracks)
    return counts


def write_parts(bundles_dir: Path, parts: Iterable[PartRecord]) -> None:
    """Write ``parts.json``, which makes parts a bundle; in order of name, whatever the order given.

    Raises:
        ContractError: two parts have one name.
    """
    records = sorted(parts, key=lambda part: part.name)
    names = [part.name for part in records]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"parts {twice[:EXAMPLES_SHOWN]} come twice; give every shard a name of its own")
    write_json(bundles_dir / PARTS, {"format": FORMAT, "parts": [asdict(part) for part in records]})


def record_from_json(content: Mapping[str, Any]) -> PartRecord:
    """A record from its JSON values (``dataclasses.asdict``), splits in the schema's order."""
    sessions = {split: content["sessions"][split] for split in schema.SPLITS}
    return PartRecord(**{**content, "sessions": sessions})


def read_parts(bundles_dir: Path, find: Find) -> tuple[PartRecord, ...]:
    """Read ``parts.json``, see ``open_parts``.

    Raises:
        MissingInputError: the bundles have not been made.
        ContractError: the file is damaged, or of another version.
    """
    path = bundles_dir / PARTS
    try:
        content = read_json(find(PARTS))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, not {FORMAT}")
        return tuple(record_from_json(fields) for fields in content["parts"])
    except FileNotFoundError:
        raise MissingInputError(f"{bundles_dir} holds no {PARTS}; materialize tensor_bundles first") from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(
            f"{path} is damaged or of another version ({damage!r}); materialize tensor_bundles again"
        ) from damage


def open_parts(bundles_dir: Path, find: Find) -> tuple[np.ndarray, tuple[Part, ...]]:
    """Map the track matrix and every part's files, and compare them with one another.

    Args:
        bundles_dir: for messages.
        find: where the file of each plain name is (``Manifest.path``, or ``bundles_dir.joinpath``).

    Returns:
        float32 (tracks, 31), and the parts.

    Raises:
        MissingInputError: a file is not there.
        ContractError: a file is not readable, or does not fit the others.
    """
    records = read_parts(bundles_dir, find)
    _allow_open_files(len(PART_FILES) * len(records))
    tracks = open_tracks(find(TRACKS))
    return tracks, tuple(open_part(bundles_dir, find, record, tracks) for record in records)


def open_tracks(path: Path) -> np.ndarray:
    """Map the track matrix.

    Raises:
        MissingInputError, ContractError: see ``open_parts``.
    """
    tracks = open_array(path)
    if tracks.dtype != np.float32 or tracks.shape[1:] != (len(schema.TRACK_BRANCH),):
        raise _unlike(path, tracks, f"float32 (tracks, {len(schema.TRACK_BRANCH)})")
    return tracks


def open_part(bundles_dir: Path, find: Find, record: PartRecord, matrix: np.ndarray) -> Part:
    """Map one part's files, and compare them with its record and the track matrix.

    Raises:
        MissingInputError, ContractError: see ``open_parts``.
    """
    tracks = len(matrix)
    folder = bundles_dir / record.name
    if record.tracks != tracks:
        raise ContractError(
            f"{folder} was made for {record.tracks} tracks, and {bundles_dir / TRACKS} has {tracks}; "
            "materialize tensor_bundles again"
        )
    sessions, rows, ids = (open_array(find(f"{record.name}/{name}")) for name in PART_FILES)
    n = sum(record.sessions.values())
    if sessions.dtype != SESSION or sessions.shape != (n,):
        raise _unlike(folder / SESSIONS, sessions, f"{n} records of {', '.join(SESSION.names or ())}")
    if rows.dtype not in ROW_TYPES or rows.shape != (record.rows,):
        names = ", ".join(ROW_TYPES[0].names or ())
        raise _unlike(folder / ROWS, rows, f"{record.rows} records of {names}")
    if ids.dtype.kind != "S" or ids.shape != (n,):
        raise _unlike(folder / IDS, ids, f"bytes ({n},)")
    part = Part(record.name, sessions, ids, rows, tracks)
    if part.record != record:
        raise ContractError(
            f"{folder / SESSIONS} holds {part.record.sessions}, not {record.sessions} as {PARTS} says; "
            "materialize tensor_bundles again"
        )
    return part


def _unlike(path: Path, array: np.ndarray, wanted: str) -> ContractError:
    return ContractError(
        f"{path} is {array.dtype} {array.shape}, not {wanted}; materialize tensor_bundles again"
    )


def open_array(path: Path) -> np.ndarray:
    """Map one ``.npy`` file, or read it if it is in an object store; no pickle is ever loaded.

    Raises:
        MissingInputError: no such file.
        ContractError: it is not a readable array.
    """
    try:
        return map_array(path)
    except FileNotFoundError:
        raise MissingInputError(
            f"{path.parent} holds no {path.name}; materialize tensor_bundles first"
        ) from None
    except (ValueError, EOFError) as refusal:
        raise ContractError(
            f"{path} is not a readable array ({refusal}); materialize tensor_bundles again"
        ) from refusal


def _allow_open_files(more: int) -> None:
    """Raise this process's own limit of open files: a mapped file stays open, and 1,024 are soon used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + more
    if soft != resource.RLIM_INFINITY and more > soft // 4:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
