"""What lies in a raw folder: its CSV files, and the marker that calls some of them synthetic."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from skip_pipeline.errors import BadInputError
from skip_pipeline.settings import SYNTHETIC_MARKER

CSV_SUFFIX: Final = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)


def csv_files(folder: Path) -> list[Path]:
    """Whatever is called ``.csv`` or ``.csv.gz``, in upper or lower case, sorted by name.

    Hidden names are left out; a folder that is not there holds none.
    """
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if CSV_SUFFIX.search(p.name) and p.name[0] != ".")


def synthetic_files(raw: Path) -> frozenset[str] | None:
    """CSVs that the marker in ``raw`` calls synthetic, relative to ``raw``; None without a marker.

    Raises:
        BadInputError: the marker is not the JSON that this package writes.
    """
    marker = raw / SYNTHETIC_MARKER
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as failure:
        raise _not_a_marker(marker, str(failure)) from failure
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, list):
        raise _not_a_marker(marker, 'no list called "files" in it')
    return frozenset(name for name in files if isinstance(name, str))


def _not_a_marker(marker: Path, reason: str) -> BadInputError:
    return BadInputError(
        f"{marker} cannot be read as the marker of synthetic data ({reason}), so whether the files beside it "
        "are real is unknown; expected JSON that lists the synthetic ones. Delete the marker if the files "
        "are real, or else make them again with `skip-pipeline synthesize` in an empty folder"
    )
