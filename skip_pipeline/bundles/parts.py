"""The files of a bundle: what each holds, writing them, and opening them in place.

    tracks.npy                 float32 (tracks, 31), the scaled features of every track, for all shards
    groups.npy                 int32 (tracks, 2), numbers of artist and album; only of own listening
    parts.json                 the shards, how much each holds of every split, and whether there are groups
    <shard>/sessions.npy       ``session_record`` (sessions,)
    <shard>/rows.npy           ``row_record`` (rows,), one for each track before a session's last
    <shard>/session_id.npy     UTF-8 bytes (sessions,)

Sessions are ordered by split, within a split as in the shard; rows lie in the order of the sessions. A
shard's folder depends on the shard and on the order of the tracks, so a shard is added, replaced or removed
without touching the others. Of the predicted position, only its track and its outcome are on disk.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import SEEK_TYPES, row_record, session_record, track_type
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.storage import map_array, read_json, write_array, write_json

TRACKS: Final = "tracks.npy"
GROUPS: Final = "groups.npy"
PARTS: Final = "parts.json"
PART_FILES: Final = ("sessions.npy", "rows.npy", "session_id.npy")

Find = Callable[[str], Path]
"""Gives the file of a plain name: ``Manifest.path``, or ``bundles_dir.joinpath``."""

_FORMAT: Final = 6
"""Number of this layout, in ``parts.json``; it rises with every change of a file's contents."""

_AGAIN: Final = "materialize tensor_bundles again"


@dataclass(frozen=True)
class PartRecord:
    """What ``parts.json`` holds of one shard."""

    name: str  # of the shard and of its folder
    sessions: Mapping[str, int]  # by split
    tracks: int  # rows of the track matrix that the shard's track numbers are for


@dataclass(frozen=True)
class Part:
    """One shard's sessions of one split, in memory or mapped read-only."""

    name: str  # of the shard
    sessions: np.ndarray  # ``session_record`` (n,)
    rows: np.ndarray  # ``row_record`` (rows,), in the order of the sessions
    ids: np.ndarray  # UTF-8 bytes (n,)
    tracks: int  # rows of the track matrix that the track numbers are for

    def of_sessions(self, chosen: np.ndarray) -> Part:
        """The chosen sessions, bool (n,), with their rows: in the same order, in memory."""
        rows = np.repeat(chosen, self.sessions["length"].astype(np.int64) - 1)
        return Part(self.name, self.sessions[chosen], self.rows[rows], self.ids[chosen], self.tracks)


def plays(parts: Iterable[Part], tracks: int) -> np.ndarray:
    """Plays of each track in the parts' sessions, the predicted ones included: int64 (tracks,)."""
    counts = np.zeros(tracks, np.int64)
    for part in parts:
        counts += np.bincount(part.rows["track"], minlength=tracks)
        counts += np.bincount(part.sessions["last_track"], minlength=tracks)
    return counts


def write_part(bundles_dir: Path, parts: Mapping[str, Part]) -> PartRecord:
    """Write one shard's three files, from its part of each split; ``write_parts`` adds it to the bundle."""
    ordered = [parts[split] for split in schema.SPLITS]
    name = ordered[0].name
    (bundles_dir / name).mkdir(parents=True, exist_ok=True)
    for file, field in zip(PART_FILES, ("sessions", "rows", "ids"), strict=True):
        write_array(bundles_dir / name / file, np.concatenate([getattr(part, field) for part in ordered]))
    sessions = {split: len(part.sessions) for split, part in parts.items()}
    return PartRecord(name, sessions, ordered[0].tracks)


def write_parts(bundles_dir: Path, parts: Iterable[PartRecord], *, groups: bool = False) -> None:
    """Write ``parts.json``: the bundle's shards by name, and whether it has groups of tracks."""
    records = [asdict(part) for part in sorted(parts, key=lambda part: part.name)]
    content = {"format": _FORMAT, "parts": records} | ({"groups": True} if groups else {})
    write_json(bundles_dir / PARTS, content)


def _record(*, name: str, sessions: Mapping[str, int], tracks: int) -> PartRecord:
    return PartRecord(name, {split: sessions[split] for split in schema.SPLITS}, tracks)


def read_parts(bundles_dir: Path, find: Find) -> tuple[PartRecord, ...]:
    """Read the shards of ``parts.json``.

    Raises:
        MissingInputError: the bundles have not been made.
        ContractError: the file is damaged, or of another version.
    """
    return _read_parts(bundles_dir, find)[0]


def _read_parts(bundles_dir: Path, find: Find) -> tuple[tuple[PartRecord, ...], bool]:
    """The shards of ``parts.json``, and whether the bundle has groups of tracks."""
    path = bundles_dir / PARTS
    try:
        content = read_json(find(PARTS))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}, not {_FORMAT}")
        return tuple(_record(**fields) for fields in content["parts"]), bool(content.get("groups"))
    except FileNotFoundError:
        raise MissingInputError(f"{bundles_dir} holds no {PARTS}; materialize tensor_bundles first") from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(f"{path} is damaged or of another version ({damage!r}); {_AGAIN}") from damage


def open_parts(bundles_dir: Path, find: Find) -> tuple[np.ndarray, dict[str, list[Part]]]:
    """Map the track matrix, float32 (tracks, 31), and the files of every shard as the parts of each split.

    Args:
        bundles_dir: for messages.
        find: see ``Find``.

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
    tracks, width = open_array(path), len(schema.TRACK_BRANCH)
    fits = tracks.dtype == np.float32 and tracks.shape[1:] == (width,)
    _check(fits, path, tracks, f"float32 (tracks, {width})")
    return tracks


def open_groups(bundles_dir: Path, find: Find, tracks: int) -> np.ndarray | None:
    """Map numbers of artist and album, int32 (tracks, 2), or give None; raises as ``open_parts``."""
    if not _read_parts(bundles_dir, find)[1]:
        return None
    path = find(GROUPS)
    groups = open_array(path)
    _check(groups.dtype == np.int32 and groups.shape == (tracks, 2), path, groups, f"int32 ({tracks}, 2)")
    return groups


def open_part(bundles_dir: Path, find: Find, record: PartRecord, tracks: int) -> dict[str, Part]:
    """Map one shard's part of each split, comparing files, record and number of tracks; as ``open_parts``."""
    folder = bundles_dir / record.name
    if record.tracks != tracks:
        raise ContractError(
            f"{folder} was made for {record.tracks} tracks, and {bundles_dir / TRACKS} has {tracks}; {_AGAIN}"
        )
    track, counts = track_type(tracks), list(record.sessions.values())
    n = sum(counts)
    sessions, rows, ids = [open_array(find(f"{record.name}/{file}")) for file in PART_FILES]
    paths = [folder / file for file in PART_FILES]
    fits = sessions.dtype == session_record(track) and sessions.shape == (n,)
    _check(fits, paths[0], sessions, f"{n} records of a session")
    ends = np.concatenate([[0], np.cumsum(sessions["length"].astype(np.int64) - 1)])
    fits = rows.dtype in [row_record(track, seeks) for seeks in SEEK_TYPES] and rows.shape == (ends[-1],)
    _check(fits, paths[1], rows, f"{ends[-1]} records of a track")
    _check(ids.dtype.kind == "S" and ids.shape == (n,), paths[2], ids, f"{n} ids as bytes")
    cuts = np.cumsum(counts)[:-1]
    shares = np.split(sessions, cuts), np.split(rows, ends[cuts]), np.split(ids, cuts)
    return {
        split: Part(record.name, *share, tracks)
        for split, share in zip(schema.SPLITS, zip(*shares, strict=True), strict=True)
    }


def _check(fits: bool, path: Path, array: np.ndarray, wanted: str) -> None:
    if not fits:
        raise ContractError(f"{path} is {array.dtype} {array.shape}, not {wanted}; {_AGAIN}")


def open_array(path: Path, *, made_by: str = "tensor_bundles") -> np.ndarray:
    """Map one ``.npy`` file of an asset, or read it if it is in an object store; raises as ``open_parts``."""
    try:
        return map_array(path)
    except FileNotFoundError:
        fact = f"{path.parent} holds no {path.name}"
        raise MissingInputError(f"{fact}; materialize {made_by} first") from None
    except (ValueError, EOFError) as refusal:
        raise ContractError(
            f"{path} is not a readable array ({refusal}); materialize {made_by} again"
        ) from refusal


_MOST_OPEN_OF_MACOS: Final = 10_240  # OPEN_MAX in its sys/syslimits.h


def _allow_open_files(more: int) -> None:
    """Raise this process's limit of open files: a mapped file stays open, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and more > soft // 4:
        limit = soft + more if hard == resource.RLIM_INFINITY else min(soft + more, hard)
        for wanted in (limit, _MOST_OPEN_OF_MACOS):
            with suppress(ValueError, OSError):  # macOS calls its limit infinite, and refuses more than this
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return
