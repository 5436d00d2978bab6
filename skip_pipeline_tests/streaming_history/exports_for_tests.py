"""Records and files of an Extended streaming history, as Spotify writes them; every listener is invented."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

Record = dict[str, Any]
Generation = Literal["2022", "2024", "2025"]
"""Sets of keys: up to 2024 with user and agent, since then with one address, since 2025 with audiobooks."""

PERSONAL: Final = {
    "username": "planted-user-name",
    "platform": "planted-device (Android 13)",
    "conn_country": "planted-country",
    "ip_addr_decrypted": "198.51.100.7",
    "ip_addr": "198.51.100.7",
    "user_agent_decrypted": "planted-agent",
    "city": "planted-city",
}
"""Values that must not be in any output."""

_OLD_ONLY: Final = ("username", "ip_addr_decrypted", "user_agent_decrypted", "city")
_AUDIOBOOK: Final = ("audiobook_title", "audiobook_uri", "audiobook_chapter_uri", "audiobook_chapter_title")


def uri(number: int) -> str:
    """URI of an invented track."""
    return f"spotify:track:{track_id(number)}"


def track_id(number: int) -> str:
    """The 22 characters that stand for an invented track."""
    return f"{number:022d}"


def play(
    ts: str = "2023-03-01T18:05:59Z", number: int = 1, generation: Generation = "2025", **fields: Any
) -> Record:
    """One record with all keys of its generation; a keyword sets a field, also one of another generation."""
    record: Record = {
        "ts": ts,
        **({"username": PERSONAL["username"]} if generation == "2022" else {}),
        "platform": PERSONAL["platform"],
        "ms_played": 200_000,
        "conn_country": PERSONAL["conn_country"],
        **(
            {name: PERSONAL[name] for name in ("ip_addr_decrypted", "user_agent_decrypted")}
            if generation == "2022"
            else {"ip_addr": PERSONAL["ip_addr"]}
        ),
        "master_metadata_track_name": f"Track {number}",
        "master_metadata_album_artist_name": f"Artist {number % 7}",
        "master_metadata_album_album_name": f"Album {number % 11}",
        "spotify_track_uri": uri(number),
        "episode_name": None,
        "episode_show_name": None,
        "spotify_episode_uri": None,
        **(dict.fromkeys(_AUDIOBOOK) if generation == "2025" else {}),
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": None if generation == "2022" else False,
        "offline": False,
        "offline_timestamp": 0,
        "incognito_mode": False,
    }
    return record | fields


NO_TRACK: Final = dict.fromkeys(
    (
        "master_metadata_track_name",
        "master_metadata_album_artist_name",
        "master_metadata_album_album_name",
        "spotify_track_uri",
    )
)
"""Fields of a local or removed track, and of everything that is no music."""


def local(ts: str, **fields: Any) -> Record:
    """A play of a local or removed track."""
    return play(ts) | NO_TRACK | fields


def podcast(ts: str, number: int = 1, **fields: Any) -> Record:
    """A play of an episode."""
    named = {"episode_name": f"Episode {number}", "spotify_episode_uri": f"spotify:episode:{number:022d}"}
    return play(ts) | NO_TRACK | named | fields


def audiobook(ts: str, number: int = 1, **fields: Any) -> Record:
    """A play of a chapter of an audiobook."""
    named = {"audiobook_title": f"Book {number}", "audiobook_uri": f"spotify:show:{number:022d}"}
    return play(ts) | NO_TRACK | named | fields


def short(ts: str = "2023-03-01 18:05", number: int = 1) -> Record:
    """A play of the short Account data."""
    return {
        "endTime": ts,
        "artistName": f"Artist {number % 7}",
        "trackName": f"Track {number}",
        "msPlayed": 200_000,
    }


Files = Mapping[str, Sequence[Record] | bytes]
"""Records or bytes by path within a zip or folder."""


def content(records: Sequence[Record] | bytes) -> bytes:
    """Bytes of one file, indented as Spotify does."""
    return (
        records if isinstance(records, bytes) else json.dumps(records, indent=2, ensure_ascii=False).encode()
    )


def write_folder(folder: Path, files: Files) -> Path:
    """An unpacked export."""
    for name, records in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(records))
    return folder


def write_zip(path: Path, files: Files) -> Path:
    """An export as downloaded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, records in files.items():
            archive.writestr(name, content(records))
    return path


def old_names(parts: Sequence[Sequence[Record]]) -> dict[str, Sequence[Record]]:
    """Parts as a zip until about mid 2023 names them."""
    return {f"MyData/endsong_{number}.json": part for number, part in enumerate(parts)}


def new_names(
    parts: Sequence[Sequence[Record]], folder: str = "Spotify Extended Streaming History"
) -> dict[str, Sequence[Record]]:
    """Parts as a zip since about mid 2023 names them, by the years of their first and last play."""
    named = {}
    for number, part in enumerate(parts):
        years = sorted({record["ts"][:4] for record in part if record["ts"]}) or ["2023"]
        span = years[0] if len(years) == 1 else f"{years[0]}-{years[-1]}"
        named[f"{folder}/Streaming_History_Audio_{span}_{number}.json"] = part
    return named
