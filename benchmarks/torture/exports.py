"""Exports of a streaming history, mutated: JSON files, alone and in zips."""

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, Final

from benchmarks.torture.files import Subject, with_changed_bytes
from skip_pipeline.streaming_history.exports import read_exports
from skip_pipeline.streaming_history.plays import PLAYS
from skip_pipeline_tests.streaming_history.exports_for_tests import Record, audiobook, local, play, podcast
from skip_pipeline_tests.streaming_history.histories import history
from skip_pipeline_tests.streaming_history.plain_reader import plain_read

RECORDS: Final = [
    *history(2),
    *(play(f"2023-05-01T10:0{minute}:00Z", minute, "2022", shuffle=minute % 2 == 0) for minute in range(5)),
    local("2023-05-02T10:00:00Z"),
    podcast("2023-05-02T11:00:00Z"),
    audiobook("2023-05-02T12:00:00Z"),
    play("2023-05-03T10:00:00Z", 7, ms_played=None),
    play("2023-05-03T11:00:00Z", 8, master_metadata_track_name="é 音楽 🎵"),
]

VALUES: Final[tuple[Any, ...]] = (
    *(None, "", 0, 1, -1, 1.5, 2.0, 1e300, 2**31, 2**70, True, False, "true", [], {}, ["x"]),
    *("\ud800", "x" * 500, "a\nb", "\0", float("nan")),
    *("2023-02-30T00:00:00Z", "2023-03-01 18:05:59", "1969-12-31T23:59:59Z", "2023-03-01T19:05:59+01:00"),
    *("spotify:track:short", "spotify:episode:4", "spotify:local:a:b:c:1"),
)  # fmt: skip
"""Values of JSON as accidents, and programs that wrote the file again, leave them."""

Found = tuple[list[dict[str, Any]], dict[str, int]]
_PART: Final = re.compile(r"end(song|video).*\.json", re.IGNORECASE)


def export() -> Subject:
    """One person's history."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "endsong_0.json"
        path.write_bytes(_json(RECORDS))
        # Of a value that only the pipeline judges, such as a reason, the obvious reader says nothing.
        return Subject("export", MUTATIONS, load, plain, plain(path), strict=False)


def load(path: Path) -> Found:
    """Plays, and what was left out, as ``skip-pipeline import-history`` reads them."""
    imported = read_exports([path])
    return imported.plays.to_pylist(), imported.left_out


def plain(path: Path) -> Found:
    """The same by a slow reader of plain files."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, (name, content) in enumerate(_members(path.name, path.read_bytes())):
            files.append(Path(folder) / f"{number}{name}")
            # A field that nothing reads need not be text.
            files[-1].write_text(content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace"), newline="")
        plays, left_out = plain_read([files])
    return [{name: row[name] for name in PLAYS.names} for row in plays], left_out


def _members(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    if not name.lower().endswith(".zip"):
        yield name, content
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            own = PurePosixPath(member.filename).name
            if own.lower().endswith(".zip"):
                yield from _members(own, archive.read(member))
            elif _PART.fullmatch(own):
                yield own, archive.read(member)


def _json(records: object) -> bytes:
    return json.dumps(records).encode()


def _zip(files: dict[str, bytes]) -> bytes:
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return to.getvalue()


def _packed(random: Random, parts: Sequence[bytes]) -> tuple[str, bytes]:
    """Files of one export, in one file."""
    if len(parts) == 1 and random.random() < 0.5:
        return "endsong_0.json", parts[0]
    folder = random.choice(["", "MyData/", "Historique étendu/"])
    zipped = _zip({f"{folder}endsong_{number}.json": part for number, part in enumerate(parts)})
    return random.choice([("x.zip", zipped), ("X.ZIP", _zip({"my_spotify_data.zip": zipped}))])


def rewritten(random: Random) -> tuple[str, bytes]:
    """The same records as other programs write, cut and pack them."""

    def spelled(record: Record) -> Record:
        names = random.sample(list(record), len(record))
        made = {name: record[name] for name in names} | (
            {"more": [1, {"a": None}]} if random.random() < 0.2 else {}
        )
        if random.random() < 0.3 and made["ms_played"] is not None:
            made["ms_played"] = float(made["ms_played"])
        return made

    size = random.choice([len(RECORDS), 7, 20])
    parts = [RECORDS[start : start + size] for start in range(0, len(RECORDS), size)]
    texts = [
        json.dumps(
            [spelled(record) for record in part],
            indent=random.choice([None, 2, "\t"]),
            ensure_ascii=random.random() < 0.5,
        ).encode()
        for part in parts
    ]
    return _packed(random, [random.choice([b"", b"\xef\xbb\xbf", b"\r\n"]) + text + b"\n" for text in texts])


def with_another_value(random: Random) -> tuple[str, bytes]:
    """One to three values replaced."""
    records = [dict(record) for record in RECORDS]
    for _ in range(random.randint(1, 3)):
        record = random.choice(records)
        record[random.choice(list(record))] = random.choice(VALUES)
    return _packed(random, [_json(records)])


def with_other_records(random: Random) -> tuple[str, bytes]:
    """Fields and records lost, repeated or moved, or something else than a list of records."""
    records: list[Any] = [dict(record) for record in RECORDS]
    at = random.randrange(len(records))
    match random.randrange(7):
        case 0:
            del records[at][random.choice(list(records[at]))]
        case 1:
            for record in records:
                record.pop("ts")
        case 2:
            records.insert(random.randrange(len(records)), records[at])
        case 3:
            del records[at]
        case 4:
            random.shuffle(records)
        case 5:
            records[at] = random.choice(VALUES)
        case _:
            whole = random.choice([{"items": records}, [records], records[0], None, [], "text", 5])
            return _packed(random, [_json(whole)])
    return _packed(random, [_json(records)])


def in_another_form(random: Random) -> tuple[str, bytes]:
    """Another encoding, a record a line, a page, nested too deeply, or a number too long."""
    text = json.dumps(RECORDS, ensure_ascii=False)
    forms = [
        *(
            text.encode(codec, "replace")
            for codec in ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp037", "utf-7")
        ),
        "\n".join(map(json.dumps, RECORDS)).encode(),
        b"<!doctype html>",
        b"[" * 100_000,
        b'[{"ts":' * 100_000,
        text.replace("60000", "9" * 5_000).encode(),
        b"",
    ]
    return _packed(random, [random.choice(forms)])


def with_other_bytes(random: Random) -> tuple[str, bytes]:
    """Bytes changed, lost or inserted."""
    name, content = _packed(random, [_json(RECORDS)])
    return name, with_changed_bytes(random, content)


def cut_short(random: Random) -> tuple[str, bytes]:
    """A file that ends early."""
    name, content = _packed(random, [_json(RECORDS)])
    return name, content[: random.randrange(len(content))]


MUTATIONS: Final = {
    "written otherwise, cut and packed by other programs": rewritten,
    "values replaced": with_another_value,
    "fields or records lost, repeated or moved": with_other_records,
    "in another form": in_another_form,
    "bytes changed, lost or inserted": with_other_bytes,
    "cut short": cut_short,
}
