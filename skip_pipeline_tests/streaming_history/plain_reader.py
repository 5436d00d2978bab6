"""A slow reader of exports in plain Python, against which the fast one is tested."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from skip_pipeline_tests.streaming_history.exports_for_tests import Record

Play = dict[str, Any]

DUPLICATE_IF_EQUAL = ("end", "item", "heard", "reason_start", "reason_end")


def plain_read(people: Sequence[Iterable[Path]]) -> tuple[list[Play], dict[str, int]]:
    """Plays and what was left out of the unpacked files of each person."""
    plays: list[Play] = []
    left_out: Counter[str] = Counter()
    for person, files in enumerate(people, start=1):
        records: list[Record] = []
        for file in files:
            content = json.loads(file.read_text())
            if "ideo" in file.name:
                left_out["videos"] += len(content)
            else:
                records += content
        plays += [{"person": person} | play for play in _plays(records, left_out)]
    return plays, {reason: count for reason, count in left_out.items() if count}


def _plays(records: list[Record], left_out: Counter[str]) -> list[Play]:
    seen: dict[tuple[Any, ...], Play] = {}
    for record in records:
        if record["ts"] is None:
            left_out["without a time (ts is null)"] += 1
        elif record["ms_played"] is None:
            left_out["without a length (ms_played is null)"] += 1
        elif record["ts"] < "2006":
            left_out["dated before 2006"] += 1
        else:
            play = _play(record)
            key = tuple(play[name] for name in DUPLICATE_IF_EQUAL)
            if key in seen:
                left_out["exact duplicates"] += 1
                play = min(play, seen[key], key=_preferred)
            seen[key] = play
    by_end: dict[tuple[Any, ...], list[Play]] = defaultdict(list)
    for number, play in enumerate(seen.values()):
        if play["kind"] != "music":
            left_out[play["kind"]] += 1
        elif play["shuffle"] is None:
            left_out["that do not say whether shuffle was on (null)"] += 1
        else:
            by_end[play["end"], play["item"] or number].append(play)
    return _sorted([play for parts in by_end.values() for play in _whole(parts, left_out)])


def _play(record: Record) -> Play:
    uri, episode, audiobook = (
        record.get(name) or None for name in ("spotify_track_uri", "spotify_episode_uri", "audiobook_uri")
    )
    track = uri[-22:] if uri and uri.startswith("spotify:track:") else None
    episode = episode or (uri if uri and uri.startswith("spotify:episode:") else None)
    if track:
        kind = "music"
    elif episode or record.get("episode_name"):
        kind = "podcasts"
    elif audiobook or record.get("audiobook_title"):
        kind = "audiobooks"
    else:
        kind = "music"
    return {
        "end": round(datetime.fromisoformat(record["ts"]).timestamp()) * 1000,
        "heard": record["ms_played"],
        "kind": kind,
        "item": track or episode or audiobook,
        "track_name": record["master_metadata_track_name"] or None,
        "artist": record["master_metadata_album_artist_name"] or None,
        "album": record["master_metadata_album_album_name"] or None,
        "reason_start": record["reason_start"],
        "reason_end": record["reason_end"],
        "shuffle": record["shuffle"],
    }


def _last_if_none(value: Any) -> tuple[bool, Any]:
    return (True, 0) if value is None else (False, value)


def _preferred(play: Play) -> list[tuple[bool, Any]]:
    return [_last_if_none(play[name]) for name in ("shuffle", "track_name", "artist", "album")]


def _whole(parts: list[Play], left_out: Counter[str]) -> list[Play]:
    """One play of the parts of a split one, or the parts as they are."""
    by_length = sorted(
        parts,
        key=lambda play: (
            -play["heard"],
            _last_if_none(play["reason_start"]),
            _last_if_none(play["reason_end"]),
        ),
    )
    longest, shortest = by_length[0], by_length[-1]
    if longest["heard"] == shortest["heard"] or longest["reason_end"] == "trackdone":
        return by_length
    left_out["parts of split plays, joined to the rest"] += len(parts) - 1
    return [longest | {"heard": sum(part["heard"] for part in parts), "reason_end": shortest["reason_end"]}]


def _sorted(plays: list[Play]) -> list[Play]:
    rows = []
    for play in plays:
        start = play["end"] - play["heard"]
        ties = [_last_if_none(play[name]) for name in ("item", "reason_start", "reason_end")]
        row = {name: play[name] for name in play if name not in ("end", "kind", "item")}
        rows.append(((start, play["end"], ties), row | {"start": start, "track": play["item"]}))
    return [row for _, row in sorted(rows, key=lambda keyed: keyed[0])]
