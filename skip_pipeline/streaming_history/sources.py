"""Finding the files of exports: zips as downloaded, zips within, unpacked folders, single files, tables.

Nothing but the names is looked at here, and nothing is unpacked. Files under other names, such as account,
payment and search data beside the history, are never opened.
"""

import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.diagnosis import unreadable
from skip_pipeline.raw.unpacking import most_unpacked, refusal
from skip_pipeline.streaming_history.export_json import ASK_FOR, DOWNLOAD_AGAIN

_AUDIO: Final = re.compile(r"(endsong|streaming_history_audio).*\.json", re.IGNORECASE)
_VIDEO: Final = re.compile(r"(endvideo|streaming_history_video).*\.json", re.IGNORECASE)
_SHORT: Final = re.compile(r"streaminghistory.*\.json", re.IGNORECASE)  # of the Account data
_TABLE: Final = (".csv", ".csv.gz", ".parquet")
_EXPECTED: Final = "files like Streaming_History_Audio_2023_1.json or endsong_0.json"
_ENCRYPTED: Final = 1  # bit of a zip member's flags


@dataclass(frozen=True)
class Part:
    """One file of an export."""

    folder: str  # that holds it, in a zip or on the disk; the parts of a folder are one export
    name: str
    place: str  # as messages name it
    read: Callable[[], bytes]


@dataclass
class Export:
    """What one download holds, or one table that somebody made of it."""

    audio: list[Part] = field(default_factory=list)
    video: list[Part] = field(default_factory=list)
    table: Path | None = None


def find_exports(paths: Sequence[Path], open_zips: ExitStack) -> list[Export]:
    """Exports in the order of the paths, then of their folders' names.

    Each folder that directly holds files of plays is one export, in a zip or on the disk; single files of one
    folder are one export; a table is one export. A file that two paths lead to is listed once.

    Args:
        open_zips: keeps the zips open until their parts are read.

    Raises:
        MissingInputError: a path leads nowhere.
        BadInputError: no plays in what a path leads to, only the short Account data there, a zip that is
            broken or two zips deep, or a file of another kind.
    """
    exports: dict[str, Export] = {}
    seen: set[tuple[str, str]] = set()
    for path in paths:
        if path.name.lower().endswith(_TABLE) and path.is_file():
            exports.setdefault(str(path.resolve()), Export(table=path))
            continue
        parts = _history(path, open_zips)
        for part in parts:
            if (part.folder, part.name) not in seen:
                export = exports.setdefault(part.folder, Export())
                (export.video if _VIDEO.fullmatch(part.name) else export.audio).append(part)
        seen |= {(part.folder, part.name) for part in parts}  # a zip may hold two members of one name
    return list(exports.values())


def _history(path: Path, open_zips: ExitStack) -> list[Part]:
    """The files of plays that a path leads to, by name; a file given by its own path may have any name."""
    if not path.exists():
        raise MissingInputError(f"{path} is not there; expected a zip, folder or file of an export")
    if path.is_dir():
        parts = list(_in_folder(path, open_zips))
    elif path.suffix.lower() == ".zip":
        parts = list(_in_zip(path, str(path), str(path.resolve()), open_zips))
    elif path.suffix.lower() == ".json":
        parts = [_file(path)]
        if not _SHORT.fullmatch(path.name):
            return parts
    else:
        raise BadInputError(
            f"{path} is no export; expected my_spotify_data.zip, its folder, its .json files, or a table "
            f"({', '.join(_TABLE)}). Save a spreadsheet as CSV"
        )
    history = [part for part in parts if _AUDIO.fullmatch(part.name)]
    if not history:
        raise _nothing(path, parts)
    return history + [part for part in parts if _VIDEO.fullmatch(part.name)]


def _nothing(path: Path, parts: list[Part]) -> BadInputError:
    if not parts:
        return BadInputError(f"{path} holds no file; expected {_EXPECTED}. {DOWNLOAD_AGAIN}")
    if any(_SHORT.fullmatch(part.name) for part in parts):
        return BadInputError(
            f"{path} holds the short Account data, without reasons and outcomes; expected {_EXPECTED}. "
            f"{ASK_FOR}"
        )
    return BadInputError(
        f"{path} holds no plays of audio among its {len(parts)} files; expected {_EXPECTED}. {ASK_FOR}"
    )


def _file(path: Path) -> Part:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as failure:
            raise unreadable(path, failure) from failure

    return Part(str(path.resolve().parent), path.name, str(path), read)


def _in_folder(folder: Path, open_zips: ExitStack) -> Iterator[Part]:
    def refuse(failure: OSError) -> None:
        raise unreadable(Path(failure.filename), failure) from failure

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if _is_zip(name):
                yield from _in_zip(path, str(path), str(path.resolve()), open_zips)
            else:
                yield _file(path)


def _is_zip(name: str) -> bool:
    # A name like "._x.zip" is that of a note of macOS about x.zip.
    return name.lower().endswith(".zip") and not name.startswith(".")


def _in_zip(
    source: Path | BinaryIO, place: str, folder: str, open_zips: ExitStack, packed: int | None = None
) -> Iterator[Part]:
    """Parts of a zip; of one within another, ``packed`` is the size of the outer one."""
    with _zip_faults(place):
        archive = open_zips.enter_context(zipfile.ZipFile(source))
        if packed is None:
            packed = Path(place).stat().st_size
    if sum(member.file_size for member in archive.infolist()) > most_unpacked(packed):
        raise refusal(place, packed)
    for member in sorted(archive.infolist(), key=lambda info: info.filename):
        path = PurePosixPath(member.filename.replace("\\", "/"))
        part = Part(str(folder / path.parent), path.name, f"{place}/{path}", _reader(archive, member, place))
        if member.filename.endswith("/"):  # Python 3.11's is_dir fails where a name is empty
            continue
        if not _is_zip(path.name):
            yield part
        elif isinstance(source, Path):
            inner = io.BytesIO(part.read())
            yield from _in_zip(inner, part.place, f"{part.folder}/{part.name}", open_zips, packed)
        else:
            raise BadInputError(f"{part.place} is a zip two zips deep; expected at most one. Unpack {place}")


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> Callable[[], bytes]:
    def read() -> bytes:
        if member.flag_bits & _ENCRYPTED:
            raise BadInputError(
                f"{place}: {member.filename} is encrypted; expected a zip without a password. "
                "Unpack the zip, and give the folder"
            )
        with _zip_faults(f"{place}: {member.filename}"):
            return archive.read(member)

    return read


@contextmanager
def _zip_faults(place: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as failure:
        raise BadInputError(
            f"{place} cannot be unzipped ({failure}); expected a zip that `unzip -t` accepts. "
            f"{DOWNLOAD_AGAIN}"
        ) from failure
    except OSError as failure:
        raise BadInputError(
            f"{place} cannot be read ({failure}); check the disk and the file's permissions"
        ) from failure
