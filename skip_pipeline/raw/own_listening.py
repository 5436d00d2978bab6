"""The marker of own listening: whose plays the raw logs are, and which columns the export does not know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.settings import OWN_LISTENING_MARKER

SOURCE: Final = "Spotify Extended streaming history"


def _may_be_unknown(columns: tuple[str, ...]) -> tuple[str, ...]:
    if others := [name for name in columns if name not in schema.MAY_BE_UNKNOWN]:
        raise ValueError(f"{', '.join(others)} must be known of every play and track")
    return columns


@dataclass(frozen=True)
class ListedFile:
    """Size and digest of a file that a marker lists, by which another file of its name is noticed."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class OwnListening:
    """What an import wrote."""

    data: Literal["real"]
    source: str
    people: Annotated[int, Field(ge=1)]  # a number, and no name
    first_day: str  # of the sessions, YYYY-MM-DD in the time zone
    last_day: str
    time_zone: str  # IANA name
    pause_minutes: float  # a longer pause begins another session
    plays: int  # rows of the session logs
    sessions: int
    tracks: int
    # Columns of both raw tables, out of ``schema.MAY_BE_UNKNOWN``, in which a value may be missing.
    unknown: Annotated[tuple[str, ...], AfterValidator(_may_be_unknown)]
    left_out: Mapping[str, int]  # plays by reason
    files: Mapping[str, ListedFile]  # by name relative to the raw folder

    def described(self) -> str:
        """One line for pages and terminals."""
        people = "1 person" if self.people == 1 else f"{self.people} people"
        return f"real listening of {people}, {self.first_day} to {self.last_day} ({self.source})"

    def unknown_in_words(self) -> str:
        """Which columns have values missing, as a clause."""
        names = [name for name in schema.SESSION_LOG.names if name in self.unknown]
        features = [name for name in schema.TRACK_ATTRIBUTES if name in self.unknown]
        every = len(features) == len(schema.TRACK_ATTRIBUTES)
        names += ["all track features"] if every else features
        if not names:
            return "no column is unknown"
        return f"not known, and neutral for every model: {', '.join(names)}"


FORMAT: Final = TypeAdapter(OwnListening)


def own_listening(raw: Path) -> OwnListening | None:
    """The marker in a raw folder; None without one.

    Raises:
        BadInputError: the marker is not the JSON that ``import-history`` writes.
    """
    marker = raw / OWN_LISTENING_MARKER
    try:
        return FORMAT.validate_json(marker.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as failure:
        reason = str(failure) if isinstance(failure, OSError) else failure.errors()[0]["msg"]
        raise BadInputError(
            f"{marker} cannot be read as the marker of own listening ({reason}); expected the JSON that "
            "`skip-pipeline import-history` writes. Import the export again"
        ) from failure


def unknown_columns(raw: Path) -> frozenset[str]:
    """Columns of the raw tables in which values may be missing: none but for own listening."""
    found = own_listening(raw)
    return frozenset(found.unknown) if found else frozenset()
