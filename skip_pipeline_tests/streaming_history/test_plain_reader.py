"""The fast reader against a plain one, on random exports that have every quirk of real ones at once."""

import random
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skip_pipeline.streaming_history.exports import read_exports
from skip_pipeline.streaming_history.plays import PLAYS
from skip_pipeline_tests.streaming_history.exports_for_tests import (
    Record,
    audiobook,
    local,
    new_names,
    old_names,
    play,
    podcast,
    uri,
    write_folder,
    write_zip,
)
from skip_pipeline_tests.streaming_history.plain_reader import plain_read

REASONS = [
    "trackdone",
    "trackdone",
    "fwdbtn",
    "endplay",
    "logout",
    "unexpected-exit-while-paused",
    "clickrow",
    "",
    None,
]


def listening(rng: random.Random, first_track: int, records: int = 1_500) -> list[Record]:
    """Years of a listener who skips fast, splits plays, plays local files, podcasts and audiobooks."""
    now = datetime(2021, 5, 1, tzinfo=UTC)
    history: list[Record] = []
    while len(history) < records:
        heard = rng.choice([0, 0, 700, 1_500, 30_000, 200_000, 4_000_000])
        now += timedelta(seconds=round(heard / 1000) + rng.choice([0, 0, 0, 1, -5, 4_000, 90_000]))
        fields = {
            "ms_played": heard,
            "reason_start": rng.choice(REASONS),
            "reason_end": rng.choice(REASONS),
            "shuffle": rng.choice([True, False, False]),
        }
        ts, number = now.strftime("%Y-%m-%dT%H:%M:%SZ"), first_track + rng.randrange(12)
        record = rng.choices([play, local, podcast, audiobook], [20, 1, 1, 1])[0](ts)
        if record["spotify_track_uri"]:
            record = play(ts, number, rng.choice(["2022", "2024", "2025"]))
        history.append(record | fields)
        if rng.random() < 0.05:  # the other part of a split play, or the same play told otherwise
            history.append(
                record | fields | {"ms_played": rng.randrange(5_000), "reason_end": rng.choice(REASONS)}
            )
        if rng.random() < 0.02:
            history.append(record | fields | {rng.choice(["ts", "ms_played"]): None})
        if rng.random() < 0.02:
            history.append(record | fields | {"shuffle": None, "reason_start": "remote"})
        if rng.random() < 0.02:
            history.append(record | fields | {"ts": "1970-01-01T00:00:00Z"})
        if rng.random() < 0.02:
            history.append(record | fields | {"spotify_track_uri": rng.choice(["", "spotify:local:a:b:c:1"])})
    return history


def another_download(rng: random.Random, history: list[Record]) -> list[Record]:
    """The same plays later: names have changed, and ``skipped`` is filled in."""
    return [
        record
        | {"skipped": rng.choice([True, False])}
        | ({"master_metadata_track_name": "Renamed"} if rng.random() < 0.2 else {})
        | ({"master_metadata_album_album_name": None} if rng.random() < 0.1 else {})
        for record in history
    ]


def dealt(rng: random.Random, history: list[Record], parts: int) -> list[list[Record]]:
    """Parts as in old exports: every play in any of them."""
    shuffled = rng.sample(history, len(history))
    return [shuffled[part::parts] for part in range(parts)]


def in_turn(history: list[Record], parts: int) -> list[list[Record]]:
    """Parts as in new exports: by time, each beginning before the last has ended."""
    size = len(history) // parts
    return [history[max(part * size - 20, 0) : (part + 1) * size + 20] for part in range(parts)]


def unzipped(archive: Path) -> list[Path]:
    folder = archive.with_suffix("")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return sorted(folder.rglob("*.json"))


@pytest.mark.parametrize("seed", range(4))
def test_rows_and_counts_agree_with_a_plain_reader(tmp_path, seed):
    rng = random.Random(seed)  # noqa: S311 -- no secrets
    anna, ben = listening(rng, first_track=0), listening(rng, first_track=6)
    old = write_zip(
        tmp_path / "a_old.zip", old_names(dealt(rng, anna[:1_000], 3)) | {"endvideo.json": [play()] * 4}
    )
    new = write_zip(tmp_path / "a_new.zip", new_names(in_turn(another_download(rng, anna), 4)))
    other = write_folder(tmp_path / "ben", new_names(in_turn(ben, 2), folder="Historique étendu de Spotify"))

    imported = read_exports([new, other, old])
    plays, left_out = plain_read([[*unzipped(new), *unzipped(old)], sorted(other.rglob("*.json"))])

    assert imported.people == 2
    assert imported.left_out == left_out
    assert len(left_out) == 9, "an export without one of the quirks tests nothing of it"
    assert imported.plays.schema == PLAYS
    assert imported.plays.to_pylist() == [{name: play[name] for name in PLAYS.names} for play in plays]


def test_tracks_of_the_listeners_are_shared(tmp_path):
    """Else the random exports would not test that plays of two people are kept apart."""
    tracks = [
        {record["spotify_track_uri"] for record in listening(random.Random(0), first)}  # noqa: S311 -- no secrets
        for first in (0, 6)
    ]
    assert uri(8) in tracks[0] & tracks[1]
