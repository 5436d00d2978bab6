"""The files of a raw folder: its CSVs, and the markers that list synthetic and imported ones."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.locations import is_local
from skip_pipeline.raw.diagnosis import listed, shown_value, unreadable
from skip_pipeline.raw.misplaced import found_instead
from skip_pipeline.raw.own_listening import ListedFile, own_listening
from skip_pipeline.settings import (
    OWN_LISTENING_MARKER,
    SYNTHETIC_MARKER,
    TEST_SET,
    TRACK_FEATURES,
    TRACK_GROUPS_FILE,
    TRAINING_SET,
    TRUTH_FOLDER,
    DataLayout,
    DataSource,
)

RAW_FOLDERS: Final = (TRAINING_SET, TRACK_FEATURES, TEST_SET)
WRITTEN_FOLDERS: Final = (*RAW_FOLDERS, TRUTH_FOLDER)  # that a set may fill; the pipeline reads the former
_CSV_SUFFIX: Final = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
_UNREAD: Final = re.compile(
    r"\.csv\.(bz2|xz|zst|lz4|z|zip|7z|rar)$|\.(parquet|feather|xlsx?|ods|tsv)$", re.IGNORECASE
)
"""Tables that are not read. An upload under a name of its own, such as ``.part``, is none of them yet."""

# Names of files have up to 255 bytes, and later stages put up to 46 others beside the log's name.
_LONGEST_NAME: Final = 200
_LONE_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")  # how Python reads a byte that is not UTF-8


def csv_files(folder: Path) -> list[Path]:
    """Paths that end in ``.csv`` or ``.csv.gz``, in any case, sorted; none hidden, none without a folder.

    Raises:
        BadInputError: the folder cannot be listed; a name is not UTF-8, so that no manifest or message can
            hold it, or too long.
    """
    found = [path for path in _listing(folder) if _CSV_SUFFIX.search(path.name)]
    for path in found:
        if _LONE_SURROGATE.search(path.name):
            raise BadInputError(
                f"{folder} holds {shown_value(path.name)}; expected a file name in UTF-8. Rename the file"
            )
        if (length := len(path.name.encode())) > _LONGEST_NAME:
            raise BadInputError(
                f"{folder} holds {shown_value(path.name)}, a name of {length} bytes; expected at most "
                f"{_LONGEST_NAME}, since files of later stages have longer ones. Rename the file"
            )
    return found


def _listing(folder: Path) -> list[Path]:
    """Paths in a folder, sorted, but those that systems and programs hide or lock."""
    try:
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(path for path in found if not path.name.startswith((".", "~$")))
    except OSError as failure:
        raise unreadable(folder, failure) from failure


def refuse_unread(folder: Path) -> None:
    """Refuse a folder of CSVs that holds other tables, which would be left out in silence."""
    for path in _listing(folder):
        if _CSV_SUFFIX.search(path.name) or path.name[0] == "_":
            continue
        if _UNREAD.search(path.name):
            raise BadInputError(
                f"{folder} holds {path.name}, which is not read; expected .csv and .csv.gz alone. Unpack the "
                "file or save it as CSV, or move it away"
            )
        if path.is_dir() and csv_files(path):
            raise BadInputError(
                f"{folder} holds the folder {path.name} with CSVs, which are not read; expected all CSVs in "
                f"{folder} itself. Move them there, or move the folder away"
            )


def delivered_csvs(raw: Path, folders: Sequence[str] = RAW_FOLDERS) -> list[Path]:
    """All CSVs in the folders below ``raw``: session logs, track features and the test set.

    A folder or a link to nothing under such a name is left out; the stage that reads its folder refuses it.
    """
    found = (path for folder in folders for path in csv_files(raw / folder))
    return [path for path in found if not is_local(path) or path.is_file()]


def synthetic_files(raw: Path) -> dict[str, ListedFile] | None:
    """Files that the marker in ``raw`` lists, by name relative to ``raw``; None without a marker.

    Raises:
        BadInputError: the marker is not the JSON that this package writes.
    """
    marker = raw / SYNTHETIC_MARKER
    try:
        files = json.loads(marker.read_text(encoding="utf-8"))["files"].items()
        return {name: ListedFile(int(file["bytes"]), str(file["sha256"])) for name, file in files}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as failure:
        reason: object = failure
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        reason = 'no "files" in it with the bytes and sha256 of each'
    raise BadInputError(
        f"{marker} cannot be read as the marker of synthetic data ({reason}), so whether the files beside it "
        "are real is unknown; expected JSON that lists the synthetic ones. Delete the marker if the files "
        "are real, or else make them again with `skip-pipeline synthesize` in an empty folder"
    )


def synthetic_law(raw: Path) -> str | None:
    """Name of the law of behaviour that the marker in ``raw`` gives.

    None for the default law, for real data and for an unreadable marker, which ``marker_doubt`` reports.
    """
    try:
        synthetic_files(raw)
    except BadInputError:
        return None
    marker = raw / SYNTHETIC_MARKER
    law = json.loads(marker.read_text(encoding="utf-8")).get("law") if marker.exists() else None
    return None if law is None else str(law)


def find_session_logs(raw: Path) -> tuple[Path, ...]:
    """CSV files of ``raw/training_set``, sorted by name; each is one shard."""
    return _find(raw, TRAINING_SET, "session logs, such as log_mini.csv")


def find_track_features(raw: Path) -> tuple[Path, ...]:
    """CSV files of ``raw/track_features``, sorted by name; together they are one table."""
    return _find(raw, TRACK_FEATURES, "track features, such as tf_mini.csv")


def _find(raw: Path, folder: str, what: str) -> tuple[Path, ...]:
    place = raw / folder
    synthetic = (
        f"run `skip-pipeline synthesize --out {raw}` for synthetic ones"
        if is_local(raw)
        else f"copy to {raw} what `skip-pipeline synthesize --out FOLDER` makes, for synthetic ones"
    )
    files = csv_files(place)
    if not files:
        fact, wanted = "holds no .csv or .csv.gz", what
        if not place.is_dir():
            fact, wanted = "is not a folder" if place.exists() else "does not exist", f"a folder of {what}"
        instead = found_instead(place)
        raise MissingInputError(
            f"{place} {fact}; expected {wanted}. {f'{instead}. Or else' if instead else 'To go on,'} put the "
            "public archive's files there, import your own listening with `skip-pipeline import-history`, or "
            f"{synthetic}"
        )
    # Files may lie in the data directory instead of its 01_raw. The root of an object store has no parent.
    unread = raw.parent / folder
    if raw.parent != raw and DataLayout(raw.parent).raw == raw and csv_files(unread):
        raise BadInputError(
            f"{place} and {unread} both hold CSVs; expected them in one folder only. "
            "Remove one of the two, or move its files to the other"
        )
    _check_names(place, files)
    refuse_unread(place)
    return tuple(files)


def _check_names(place: Path, files: list[Path]) -> None:
    shards: dict[str, str] = {}
    for path in files:
        if not path.is_file():
            fact = "folder" if path.is_dir() else "special file" if path.exists() else "link to nothing"
            raise BadInputError(
                f"{path} is a {fact}; expected a file, as its name says. Rename it, or remove it"
            )
        if path.name[0] == "_":
            raise BadInputError(
                f"{place} holds {path.name}; expected no name with a leading underscore, which parquet "
                "readers skip. Rename it, or remove it"
            )
        twin = shards.setdefault(shard_name(path), path.name)
        if twin != path.name:
            raise BadInputError(
                f"{place} holds both {twin} and {path.name}; expected one of them. Remove the other"
            )


def shard_name(path: Path) -> str:
    """File name without ``.csv`` or ``.csv.gz``: the name of the shard in every later folder.

    >>> shard_name(Path("log_0_20180715.CSV.Gz"))
    'log_0_20180715'
    """
    return _CSV_SUFFIX.sub("", path.name)


def data_source(raw: Path) -> DataSource:
    """``synthetic`` if the generator's marker is beside the raw folders, else ``real``, also own listening.

    A marker counts even where it does not fit the files: to call real data synthetic costs a warning
    (``marker_doubt``), to call synthetic data real is a false claim.
    """
    return "synthetic" if (raw / SYNTHETIC_MARKER).exists() else "real"


def source_of_files(files: Iterable[Path]) -> DataSource:
    """``synthetic`` if a marker lies in the folder of one of the files, or in the folder above it."""
    folders = {folder for path in files for folder in path.absolute().parents[:2]}
    return "synthetic" if any(data_source(folder) == "synthetic" for folder in folders) else "real"


def marker_doubt(raw: Path) -> str:
    """How the markers of ``raw`` differ from the files beside them; the empty string if they fit."""
    try:
        synthetic, own = synthetic_files(raw), own_listening(raw)
    except BadInputError as damage:
        return str(damage)
    if synthetic is not None and own is not None:
        return (
            f"{raw} holds both {SYNTHETIC_MARKER} and {OWN_LISTENING_MARKER}, and everything is called "
            "synthetic; expected one of the two. Move the synthetic files and their marker away"
        )
    if synthetic is not None:
        return _doubt(
            raw / SYNTHETIC_MARKER,
            synthetic,
            delivered_csvs(raw, WRITTEN_FOLDERS),
            called="synthetic while the marker lies there; if these files are real, move the synthetic ones "
            "and the marker away",
            again="make it again with `skip-pipeline synthesize`",
        )
    if own is not None:
        groups = raw / TRACK_GROUPS_FILE
        return _doubt(
            raw / OWN_LISTENING_MARKER,
            own.files,
            [*delivered_csvs(raw, WRITTEN_FOLDERS), *([groups] if groups.is_file() else [])],
            called="own listening while the marker lies there; import the export again, or move these files "
            "away",
            again="import the export again",
        )
    return ""


def _doubt(
    marker: Path, files: Mapping[str, ListedFile], found: Sequence[Path], *, called: str, again: str
) -> str:
    """How a marker's ``files`` differ from those found beside it, in words."""
    # By folder and shard: a file that was zipped or unzipped later is the same shard, of another size.
    shards = {(path.parent, shard_name(path)): path for path in found}
    listed_paths = {marker.parent / name: file for name, file in files.items() if _CSV_SUFFIX.search(name)}
    expected = {(path.parent, shard_name(path)): path for path in listed_paths}
    unknown = [path for shard, path in shards.items() if shard not in expected]
    missing = [path for shard, path in expected.items() if shard not in shards]
    changed = [
        path for path in found if path in listed_paths and path.stat().st_size != listed_paths[path].bytes
    ]
    doubts = []
    if unknown or changed:
        names = listed([*unknown, *changed])
        doubts.append(f"{marker} does not list {names} as it is, yet everything is called {called}")
    if missing:
        doubts.append(
            f"{marker} lists {listed(missing)}, which is not there, so this is part of a set; {again}, or go "
            "on with what there is"
        )
    return ". ".join(doubts)
