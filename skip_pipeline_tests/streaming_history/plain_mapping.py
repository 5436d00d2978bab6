"""The rules of ``docs/own_listening.md`` from plays to raw rows once more, in plain loops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

SKIPPED = {
    "fwdbtn", "nextbtn", "backbtn", "endplay", "clickrow", "click-row", "clickside", "playbtn", "popup",
}  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def raw_rows(plays: list[dict[str, Any]], time_zone: str, pause_minutes: float = 30.0):
    """The log rows by month, the tracks' numbers, artists and albums, and what was left out.

    Args:
        plays: sorted by person and start.
    """
    outcomes = _outcomes(plays)
    left_out = {"no track": 0, "cut off": 0, "short": 0}
    rows = []
    for sitting in _sittings(plays, pause_minutes):
        with_track = [i for i, _ in sitting if plays[i]["track"] is not None]
        left_out["no track"] += len(sitting) - len(with_track)
        gaps = dict(sitting)
        for window in range(0, len(with_track), 20):
            session = with_track[window : window + 20]
            while session and outcomes[session[-1]] == "cut off":
                session.pop()
                left_out["cut off"] += 1
            if len(session) < 10:
                left_out["short"] += len(session)
                continue
            first = plays[sitting[0][0]]
            began = EPOCH + timedelta(seconds=first["start"] // 1000)
            name = f"{first['person']}_{began:%Y%m%dT%H%M%S}_{window // 20:03d}"
            month = _local(plays[session[0]]["start"], time_zone).strftime("%Y%m")
            for position, i in enumerate(session, 1):
                rows.append(
                    (i, month, name, position, len(session), outcomes[i], gaps[i] if position > 1 else None)
                )

    numbers: dict[str, int] = {}
    artists: dict[Any, int] = {}
    albums: dict[Any, int] = {}
    groups = []
    names = []
    for i in sorted((row[0] for row in rows), key=lambda i: (plays[i]["start"], i)):
        play = plays[i]
        if play["track"] in numbers:
            continue
        numbers[play["track"]] = len(numbers)
        artist = ("named", play["artist"]) if play["artist"] is not None else ("alone", play["track"])
        album = (artist, play["album"]) if play["album"] is not None else ("alone", play["track"])
        groups.append((artists.setdefault(artist, len(artists)), albums.setdefault(album, len(albums))))
        names.append((play["track"], play["track_name"] or "", play["artist"] or "", play["album"] or ""))

    months: dict[str, list[list[str]]] = {}
    for i, month, *rest in rows:
        months.setdefault(month, []).append(_line(plays[i], numbers, time_zone, *rest))
    return months, groups, names, left_out


def _outcomes(plays):
    """Per play: "played", "cut off" or the three skip flags."""
    order = sorted(range(len(plays)), key=lambda i: (plays[i]["start"], i))
    latest: dict[str, int] = {}
    total = count = 0
    outcomes: dict[int, Any] = {}
    for i in order:
        play = plays[i]
        duration = (
            Fraction(latest[play["track"]])
            if play["track"] in latest
            else (Fraction(total, count) if count else Fraction(222_000))
        )
        if play["reason_end"] == "trackdone" and play["heard"] > 0:
            outcomes[i] = "played"
            if play["track"] is not None:
                latest[play["track"]] = play["heard"]
                total, count = total + play["heard"], count + 1
        elif play["reason_end"] in SKIPPED:
            outcomes[i] = (play["heard"] < duration / 10, play["heard"] < duration / 3, True)
        else:
            outcomes[i] = "cut off"
    return outcomes


def _sittings(plays, pause_minutes):
    """Lists of pairs: index of a play, and its gap in ms after the latest end before it in the sitting."""
    sittings: list[list[tuple[int, int]]] = []
    person = latest = None
    for i, play in enumerate(plays):
        gap = play["start"] - latest if person == play["person"] else None
        if gap is None or gap > pause_minutes * 60_000:
            sittings.append([])
            gap = latest = 0
        sittings[-1].append((i, gap))
        person, latest = play["person"], max(latest, play["start"] + play["heard"])
    return sittings


def _line(play, numbers, time_zone, name, position, length, outcome, gap):
    skips = outcome if isinstance(outcome, tuple) else (False, False, False)
    pauses = (0, 0, 0)
    if gap is not None:
        pauses = (0, 1, 1) if gap > 15_000 else (0, 1, 0) if gap > 5_000 else (1, 0, 0)
    local = _local(play["start"], time_zone)
    cells = [
        name, position, length, f"t_{numbers[play['track']]:07d}", *skips, outcome == "played", "",
        *pauses, "", "", play["shuffle"], local.hour, f"{local:%Y-%m-%d}", "", "",
        _reason(play["reason_start"]), _reason(play["reason_end"]),
    ]  # fmt: skip
    return [str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in cells]


def _reason(reason):
    spelled = {
        "click-row": "clickrow",
        "clickside": "clickrow",
        "nextbtn": "fwdbtn",
        "": "unknown",
        None: "unknown",
    }
    return spelled.get(reason, reason)


def _local(milliseconds, time_zone):
    return (EPOCH + timedelta(milliseconds=milliseconds)).astimezone(ZoneInfo(time_zone))
