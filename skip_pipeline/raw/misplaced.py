"""What lies where no CSV was found: packed archives, files in a deeper folder, files of other formats."""

import re
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from skip_pipeline.locations import is_local
from skip_pipeline.raw.diagnosis import letters, listed

_ARCHIVE: Final = re.compile(r"\.(tar|tar\.(gz|bz2|xz|zst)|tgz|zip|7z|rar)$", re.IGNORECASE)
_ONE_CSV: Final = re.compile(r"\.csv\.(zip|7z|rar)$", re.IGNORECASE)
_UNFINISHED: Final = re.compile(r"\.(part|partial|crdownload|download)$", re.IGNORECASE)
_COMPRESSED: Final = re.compile(r"\.csv\.(bz2|xz|zst|lz4|Z)$", re.IGNORECASE)
_CSV: Final = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)

_DEPTH: Final = 4  # levels below the raw folder: two top folders of an archive, its folder of CSVs, the files
_MOST: Final = 10_000  # names looked at, more than the full archive has files


def found_instead(place: Path) -> str:
    """What lies in or near ``place`` in place of its CSVs, and what to do; empty if there is nothing.

    Args:
        place: a folder of CSVs in the raw folder, such as ``01_raw/training_set``; may be missing.
    """
    raw = place.parent
    near = _below(raw)
    inside = [path for path in near if place in path.parents]
    files = [path for path in near if path.is_file()]
    tables = [path for path in files if _CSV.search(path.name)]
    deeper = sorted({path.parent for path in tables if path.parent != place})
    own = [folder for folder in deeper if place in folder.parents] or [
        folder for folder in deeper if letters(folder.name) == letters(place.name)
    ]
    if own:
        source, target = shlex.quote(str(own[0])), shlex.quote(str(place))
        move = _command(f"mv {source}/* {target}/" if place.is_dir() else f"mv {source} {target}", place)
        return f"The CSVs lie in {own[0]}; move them to {place}{move}"
    archives = [path for path in files if _ARCHIVE.search(path.name)]
    archives = [path for path in archives if place.name in path.name] or archives
    if archives:
        into = place if _ONE_CSV.search(archives[0].name) else raw
        unpack = _command(_unpacking(archives[0], into), place)
        return (
            f"{listed(archives)} {'is' if len(archives) == 1 else 'are'} still packed; unpack into {into}, "
            f"so that the CSVs lie in {place}{unpack}"
        )
    others = [path for path in inside if path.is_file()]
    packed = [path.name for path in others if _COMPRESSED.search(path.name)]
    if packed:
        return f"{listed(packed)} must be unpacked, or packed with gzip as .csv.gz"
    if unfinished := [path.name for path in others if _UNFINISHED.search(path.name)]:
        return f"{listed(unfinished)} has not been downloaded to its end; download it again"
    if others:
        return (
            f"There is {listed(path.name for path in others)}; let the name of a CSV end in .csv, and save "
            "other tables as CSV in UTF-8"
        )
    if loose := [path.name for path in tables if path.parent == raw]:
        return f"CSVs lie in {raw} itself ({listed(loose)}); move those that belong there to {place}"
    return ""


def _below(folder: Path) -> list[Path]:
    """Paths below a folder, to a bounded depth and number, sorted."""

    def walk(within: Path, depth: int) -> Iterator[Path]:
        try:
            found = sorted(within.iterdir()) if within.is_dir() else []
        except PermissionError:  # such as lost+found; said of the folder itself where it is read
            return
        for path in found:
            if path.name[0] in "._":  # also __MACOSX, which a Mac adds to an archive
                continue
            yield path
            if depth > 1 and path.is_dir() and not path.is_symlink():
                yield from walk(path, depth - 1)

    return list(islice(walk(folder, _DEPTH), _MOST))


def _unpacking(archive: Path, into: Path) -> str:
    name, target = shlex.quote(str(archive)), shlex.quote(str(into))
    match archive.suffix.lower():
        case ".zip":
            return f"unzip {name} -d {target}"
        case ".7z":
            return f"7z x {name} -o{target}"
        case ".rar":
            return f"unrar x {name} {target}/"
    return f"tar -xf {name} -C {target}"


def _command(command: str, place: Path) -> str:
    return f": `{command}`" if is_local(place) else ""
