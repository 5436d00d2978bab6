"""The files of a bundle: what each holds, writing them, and opening them in place.

    tracks.npy                 float32 (tracks, 31), the scaled features of every track, for all shards
    parts.json                 the shards, and how much each holds of every split
    <shard>/sessions.npy       records (sessions,): the number of the last track, the length, the label
    <shard>/rows.npy           records (rows,), one for each track before a session's last: its number, 31
                               columns of zeros and ones as 4 bytes, two counts of seeks
    <shard>/session_id.npy     UTF-8 bytes (sessions,)

Sessions are ordered by split, within a split as in the shard; rows lie in the order of the sessions. A
shard's folder depends on the shard and on the order of the tracks, so a shard is added, replaced or removed
without touching the others. Nothing of the predicted position is on disk but its track and the label.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import SEEK_TYPES, row_record, session_record, track_type
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.storage import map_array, read_json, write_array, write_json

TRACKS: Final = "tracks.npy"
PARTS: Final = "parts.json"
SESSIONS: Final = "sessions.npy"
ROWS: Final = "rows.npy"
IDS: Final = "session_id.npy"
PART_FILES: Final = (SESSIONS, ROWS, IDS)

Find = Callable[[str], Path]
"""Gives the file of a plain name: ``Manifest.path``, or ``bundles_dir.joinpath``."""

FORMAT: Final = 3
"""Number of this layout, in ``parts.json``; it rises with every change of a file's contents."""

_AGAIN: Final = "materialize tensor_bundles again"


@dataclass(frozen=True)
class PartRecord:
    """What ``parts.json`` holds of one shard.

    Attributes:
        name: of the shard and of its folder.
        sessions: number per split, in the order of ``schema.SPLITS``.
        tracks: rows of the track matrix that the shard's track numbers are for.
    """

    name: str
    sessions: Mapping[str, int]
    tracks: int


@dataclass(frozen=True)
class Part:
    """One shard's sessions of one split, in memory or mapped read-only.

    Attributes:
        name: of the shard.
        sessions: ``records.session_record`` (n,).
        rows: ``records.row_record`` (rows,), in the order of the sessions.
        ids: UTF-8 bytes (n,).
        tracks: rows of the track matrix that the track numbers are for.
    """

    name: str
    sessions: np.ndarray
    rows: np.ndarray
    ids: np.ndarray
    tracks: int


def plays(parts: Iterable[Part], tracks: int) -> np.ndarray:
    """Plays of each track in the parts' sessions, the predicted ones included: int64 (tracks,)."""
    counts = np.zeros(tracks, np.int64)
    for part in parts:
        counts += np.bincount(part.rows["track"], minlength=tracks)
        counts += np.bincount(part.sessions["last_track"], minlength=tracks)
    return counts


# --- Writing --------------------------------------------------------------------------------------------


def write_tracks(bundles_dir: Path, tracks: np.ndarray) -> None:
    """Write the track matrix, float32 (tracks, 31); makes the folder."""
    bundles_dir.mkdir(parents=True, exist_ok=True)
    write_array(bundles_dir / TRACKS, tracks)


def write_part(bundles_dir: Path, parts: Mapping[str, Part]) -> PartRecord:
    """Write one shard's three files, from its part of each split; ``write_parts`` adds it to the bundle."""
    ordered = [parts[split] for split in schema.SPLITS]
    folder = bundles_dir / ordered[0].name
    folder.mkdir(parents=True, exist_ok=True)
    write_array(folder / SESSIONS, np.concatenate([part.sessions for part in ordered]))
    write_array(folder / ROWS, np.concatenate([part.rows for part in ordered]))
    write_array(folder / IDS, np.concatenate([part.ids for part in ordered]))
    return PartRecord(
        name=ordered[0].name,
        sessions={split: len(parts[split].sessions) for split in schema.SPLITS},
        tracks=ordered[0].tracks,
    )


def write_parts(bundles_dir: Path, parts: Iterable[PartRecord]) -> None:
    """Write ``parts.json``, the list of the bundle's shards by name."""
    records = [asdict(part) for part in sorted(parts, key=lambda part: part.name)]
    write_json(bundles_dir / PARTS, {"format": FORMAT, "parts": records})


# --- Opening --------------------------------------------------------------------------------------------


def record_from_json(content: Mapping[str, Any]) -> PartRecord:
    """Inverse of ``dataclasses.asdict``, after JSON."""
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
        raise ContractError(f"{path} is damaged or of another version ({damage!r}); {_AGAIN}") from damage


def open_parts(bundles_dir: Path, find: Find) -> tuple[np.ndarray, dict[str, list[Part]]]:
    """Map the track matrix and the files of every shard.

    Args:
        bundles_dir: for messages.
        find: see ``Find``.

    Returns:
        float32 (tracks, 31), and the parts of each split.

    Raises:
        MissingInputError: a file is not there.
        ContractError: a file is not readable, or does not fit the others.
    """
    records = read_parts(bundles_dir, find)
    _allow_open_files(len(PART_FILES) * len(records))
    tracks = open_tracks(find(TRACKS))
    opened = [open_part(bundles_dir, find, record, len(tracks)) for record in records]
    return tracks, {split: [parts[split] for parts in opened] for split in schema.SPLITS}


def open_tracks(path: Path) -> np.ndarray:
    """Map the track matrix; raises as ``open_parts``."""
    tracks = open_array(path)
    if tracks.dtype != np.float32 or tracks.shape[1:] != (len(schema.TRACK_BRANCH),):
        raise _unlike(path, tracks, f"float32 (tracks, {len(schema.TRACK_BRANCH)})")
    return tracks


def open_part(bundles_dir: Path, find: Find, record: PartRecord, tracks: int) -> dict[str, Part]:
    """Map the files of one shard, and compare them with its record and the number of tracks.

    Returns:
        Its part of each split.

    Raises:
        MissingInputError, ContractError: see ``open_parts``.
    """
    folder = bundles_dir / record.name
    if record.tracks != tracks:
        raise ContractError(
            f"{folder} was made for {record.tracks} tracks, and {bundles_dir / TRACKS} has {tracks}; {_AGAIN}"
        )
    track, n = track_type(tracks), sum(record.sessions.values())
    sessions, rows, ids = [open_array(find(f"{record.name}/{file}")) for file in PART_FILES]
    row_records = [row_record(track, seeks) for seeks in SEEK_TYPES]
    if sessions.dtype != session_record(track) or sessions.shape != (n,):
        raise _unlike(folder / SESSIONS, sessions, f"{n} records of a session")
    ends = np.concatenate([[0], np.cumsum(sessions["length"].astype(np.int64) - 1)])
    if rows.dtype not in row_records or rows.shape != (ends[-1],):
        raise _unlike(folder / ROWS, rows, f"{ends[-1]} records of a track")
    if ids.dtype.kind != "S" or ids.shape != (n,):
        raise _unlike(folder / IDS, ids, f"{n} ids as bytes")
    cuts = np.cumsum(list(record.sessions.values()))[:-1]
    shares = (np.split(sessions, cuts), np.split(rows, ends[cuts]), np.split(ids, cuts))
    return {
        split: Part(record.name, *arrays, tracks)
        for split, arrays in zip(schema.SPLITS, zip(*shares, strict=True), strict=True)
    }


def _unlike(path: Path, array: np.ndarray, wanted: str) -> ContractError:
    return ContractError(f"{path} is {array.dtype} {array.shape}, not {wanted}; {_AGAIN}")


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
        raise ContractError(f"{path} is not a readable array ({refusal}); {_AGAIN}") from refusal


def _allow_open_files(more: int) -> None:
    """Raise this process's limit of open files: a mapped file stays open, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + more
    if soft != resource.RLIM_INFINITY and more > soft // 4:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
