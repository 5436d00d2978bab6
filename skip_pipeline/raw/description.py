"""What data are, in words, wherever results from them are shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.folder import data_source, synthetic_law
from skip_pipeline.raw.own_listening import own_listening
from skip_pipeline.settings import DataSource


@dataclass(frozen=True)
class Description:
    """Words for titles, plots, tags and pages; all empty for the public data."""

    mark: str = ""  # a few words
    note: str = ""  # what a reader of figures has to know, without a full stop

    @property
    def banner(self) -> str:
        """One line above everything: mark and note."""
        return f"{self.mark[0].upper()}{self.mark[1:]}: {self.note}." if self.mark else ""


_SYNTHETIC: Final = "these figures say nothing about real listeners"


def describe(raw: Path, source: DataSource) -> Description:
    """Describe the data of a raw folder.

    Args:
        raw: the folder, with the marker of what lies there.
        source: of the results that are shown.

    Raises:
        BadInputError: the marker of own listening is not readable.
    """
    if source == "synthetic":
        law = synthetic_law(raw)
        return Description(f"synthetic data, law {law}" if law else "synthetic data", _SYNTHETIC)
    own = own_listening(raw)
    return Description(own.described(), own.unknown_in_words()) if own else Description()


def mark_of(raw: Path) -> str:
    """The mark of the data in a raw folder; "unknown source" where a run would refuse the marker."""
    try:
        return describe(raw, data_source(raw)).mark
    except (BadInputError, OSError):
        return "data of unknown source"
