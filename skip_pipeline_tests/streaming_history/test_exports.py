import io
import zipfile
from pathlib import Path

import pytest

from skip_pipeline.errors import BadInputError, MissingInputError, RefusedError
from skip_pipeline.streaming_history.exports import read_exports
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.streaming_history.exports_for_tests import (
    Record,
    content,
    new_names,
    old_names,
    play,
    podcast,
    short,
    track_id,
    write_folder,
    write_zip,
)


def minutes(first: int, last: int, number: int = 1) -> list[Record]:
    """A play of a track at each minute."""
    return [play(f"2023-03-01T12:{minute:02}:00Z", number) for minute in range(first, last)]


def people_and_tracks(*paths: Path) -> list[tuple[int, str]]:
    rows = read_exports(paths).plays.select(["person", "track"]).to_pylist()
    return sorted({(row["person"], row["track"].lstrip("0")) for row in rows})


def refused(*paths: Path) -> str:
    return refusal(BadInputError, lambda: read_exports(paths))


@pytest.mark.parametrize("names", [old_names, new_names])
@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_zips_and_folders_of_both_generations(tmp_path, names, write):
    files = names([minutes(0, 10)[::2], minutes(0, 10)[1::2]])
    imported = read_exports([write(tmp_path / "my_spotify_data.zip", files)])
    assert imported.plays["start"].to_pylist() == [
        1_677_671_800_000 + 60_000 * minute for minute in range(10)
    ]
    assert (imported.left_out, imported.people) == ({}, 1)


@pytest.mark.parametrize(
    "name",
    [
        "MyData/endsong_0.json",
        "endsong.json",
        "Historial de reproducción ampliado de Spotify/Streaming_History_Audio_2019-2021_0.json",
        "a/b/c/Streaming_History_Audio_2023.json",
        "Streaming_History_Audio_2023_4 (1).json",
        "STREAMING_HISTORY_AUDIO_2023_4.JSON",
        r"MyData\endsong_0.json",
    ],
)
def test_names_of_audio_files(tmp_path, name):
    assert len(read_exports([write_zip(tmp_path / "x.ZIP", {name: minutes(0, 3)})]).plays) == 3


def test_files_that_hold_no_plays_are_never_opened(tmp_path, monkeypatch):
    others = [
        "MyData/Payments.json",
        "MyData/SearchQueries.json",
        "MyData/Userdata.json",
        "MyData/StreamingHistory_music_0.json",
        "MyData/ReadMeFirst.pdf",
        "__MACOSX/MyData/._endsong_0.json",
        "._x.zip",
    ]
    files = old_names([minutes(0, 3)]) | dict.fromkeys(others, b"{}")
    opened: list[str] = []

    def watch(of: type, method: str) -> None:
        reads = getattr(of, method)

        def read(self, *arguments):
            opened.extend(str(getattr(argument, "filename", argument)) for argument in (self, *arguments))
            return reads(self, *arguments)

        monkeypatch.setattr(of, method, read)

    folder, archive = write_folder(tmp_path / "folder", files), write_zip(tmp_path / "x.zip", files)
    watch(Path, "read_bytes")
    watch(zipfile.ZipFile, "read")
    assert [len(read_exports([path]).plays) for path in (folder, archive)] == [3, 3]
    assert opened == [str(folder / "MyData/endsong_0.json"), str(archive), "MyData/endsong_0.json"]


@pytest.mark.parametrize("name", ["Streaming_History_Video_2019-2023.json", "endvideo.json"])
def test_videos_are_counted(tmp_path, name):
    files = old_names([minutes(0, 3)]) | {f"MyData/{name}": minutes(0, 2)}
    imported = read_exports([write_zip(tmp_path / "x.zip", files)])
    assert (len(imported.plays), imported.left_out) == (3, {"videos": 2})
    folder = write_folder(tmp_path / "folder", files)
    assert read_exports(sorted((folder / "MyData").iterdir())).left_out == {"videos": 2}


def test_every_record_is_a_play_or_counted(tmp_path):
    parts = [  # and one video
        [*minutes(0, 3), podcast("2023-03-01T13:00:00Z")],
        [*minutes(2, 5), play() | {"ts": None}],
    ]
    imported = read_exports([write_zip(tmp_path / "x.zip", new_names(parts) | {"endvideo.json": [play()]})])
    assert imported.left_out == {
        "videos": 1,
        "podcasts": 1,
        "exact duplicates": 1,
        "without a time (ts is null)": 1,
    }
    assert len(imported.plays) == 5


def test_single_files_of_one_folder_are_of_one_person(tmp_path):
    anna = write_folder(tmp_path / "anna", {"endsong_0.json": minutes(0, 3), "endsong_1.json": minutes(3, 6)})
    ben = write_folder(tmp_path / "ben", {"history.json": minutes(0, 3, number=2)})
    paths = [anna / "endsong_1.json", ben / "history.json", anna / "endsong_0.json"]
    imported = read_exports(paths)
    assert imported.people == 2
    assert imported.plays["person"].to_pylist() == [1] * 6 + [2] * 3
    assert people_and_tracks(*paths) == [(1, "1"), (2, "2")]


def test_a_file_is_read_once_however_often_it_is_given(tmp_path):
    folder = write_folder(tmp_path, {"endsong_0.json": minutes(0, 3)})
    imported = read_exports([folder, folder / "endsong_0.json", folder])
    assert (len(imported.plays), imported.left_out, imported.people) == (3, {}, 1)


def test_members_that_are_folders_hold_nothing(tmp_path):
    path = write_zip(tmp_path / "x.zip", old_names([minutes(0, 3)]) | {"MyData/": b""})
    assert len(read_exports([path]).plays) == 3


def test_two_members_of_one_name_are_both_read(tmp_path):
    path = write_zip(
        tmp_path / "x.zip", {"a/endsong_0.json": minutes(0, 3), r"a\endsong_0.json": minutes(3, 6)}
    )
    assert len(read_exports([path, path]).plays) == 6


def test_a_person_without_a_play_has_no_number(tmp_path):
    files = {"a/endsong_0.json": [podcast("2023-03-01T13:00:00Z")], "b/endsong_0.json": minutes(0, 3)}
    imported = read_exports([write_zip(tmp_path / "x.zip", files)])
    assert (imported.people, imported.plays["person"].to_pylist()) == (1, [1, 1, 1])


def test_people_are_numbered_by_argument(tmp_path):
    anna, ben = (
        write_zip(tmp_path / f"{number}.zip", old_names([minutes(0, 3, number)])) for number in (1, 2)
    )
    assert people_and_tracks(anna, ben) == [(1, "1"), (2, "2")]
    assert people_and_tracks(ben, anna) == [(1, "2"), (2, "1")]


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_people_within_an_argument_are_numbered_by_path(tmp_path, write):
    inner = write_zip(tmp_path / "inner.zip", old_names([minutes(0, 3, 3)])).read_bytes()
    files = {
        "c/MyData/endsong_0.json": minutes(0, 3, 2),
        "d/my_spotify_data.zip": inner,
        "b/Streaming_History_Audio_2023.json": minutes(0, 3, 1),
    }
    assert people_and_tracks(write(tmp_path / "all.zip", files)) == [(1, "1"), (2, "2"), (3, "3")]


def test_the_order_of_paths_and_parts_is_of_no_effect(tmp_path):
    records = [play(f"2023-03-01T12:00:0{index % 2}Z", index % 5, ms_played=index % 3) for index in range(40)]
    folder = write_folder(tmp_path, {f"endsong_{part}.json": records[part::4] for part in range(4)})
    paths = sorted(folder.iterdir())
    assert read_exports(paths) == read_exports(paths[::-1])


@pytest.mark.parametrize("name", ["StreamingHistory_music_0.json", "renamed.json", "endsong_0.json"])
def test_a_file_of_the_short_account_data_is_refused(tmp_path, name):
    path = write_folder(tmp_path, {name: [short()]}) / name
    assert_says(refused(path), str(path), "Account data", '"Extended streaming history"')


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_beside_the_extended_history_the_short_one_is_passed_over(tmp_path, write):
    files = {"a/StreamingHistory_music_0.json": [short()], "b/endsong_0.json": minutes(0, 3)}
    assert len(read_exports([write(tmp_path / "x.zip", files)]).plays) == 3


@pytest.mark.parametrize("write", [write_zip, write_folder])
@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ({}, "holds no file"),
        ({"Userdata.json": b"{}", "Payments.json": b"{}"}, "no plays of audio among its 2 files"),
        ({"endvideo.json": [play()]}, "no plays of audio among its 1 file"),
    ],
)
def test_a_place_without_plays_is_refused(tmp_path, write, files, fact):
    path = tmp_path / "x.zip"
    path.mkdir() if write is write_folder else None
    assert_says(refused(write(path, files)), str(path), fact, "expected", "endsong_0.json")


def test_nothing_but_podcasts_is_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", old_names([[podcast("2023-03-01T18:05:59Z")], []]))
    assert_says(refused(path), "no play of music", str(path), '"Extended streaming history"')


def test_a_path_that_leads_nowhere_is_refused(tmp_path):
    message = refusal(MissingInputError, lambda: read_exports([tmp_path / "x.zip"]))
    assert_says(message, str(tmp_path / "x.zip"), "is not there", "expected")


def test_no_path_is_refused():
    assert_says(refusal(RefusedError, lambda: read_exports([])), "no export", "my_spotify_data.zip")


@pytest.mark.parametrize("name", ["history.xlsx", "history.txt", "history"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"x")
    assert_says(refused(path), str(path), "is no export", "my_spotify_data.zip", "Save a spreadsheet as CSV")


def test_a_refused_file_is_named_with_its_zip(tmp_path):
    parts = [minutes(0, 3), [play(), play(ms_played=-1)]]
    path = write_zip(tmp_path / "x.zip", old_names(parts))
    assert_says(refused(path), f"{path}/MyData/endsong_1.json: field ms_played in row 2")


def test_a_broken_zip_is_refused(tmp_path):
    whole = write_zip(tmp_path / "x.zip", old_names([minutes(0, 30)])).read_bytes()
    half = tmp_path / "half.zip"
    half.write_bytes(whole[: len(whole) // 2])
    assert_says(refused(half), str(half), "cannot be unzipped", "expected", "Download the export again")
    assert_says(
        refused(write_folder(tmp_path / "folder", {"half.zip": half.read_bytes()})), "half.zip", "unzipped"
    )


def test_a_damaged_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", old_names([minutes(0, 30)]))
    data = bytearray(path.read_bytes())
    data[100:110] = bytes(10)
    path.write_bytes(data)
    assert_says(
        refused(path), f"{path}: MyData/endsong_0.json", "cannot be unzipped", "Download the export again"
    )


def central_directory(data: bytearray) -> int:
    return data.index(b"PK\x01\x02")


@pytest.mark.parametrize(
    ("offset", "value", "facts"),
    [(8, 1, ["is encrypted", "password", "Unpack"]), (10, 97, ["cannot be unzipped", "compression"])],
)
def test_a_member_that_python_cannot_unzip_is_refused(tmp_path, offset, value, facts):
    path = write_zip(tmp_path / "x.zip", old_names([minutes(0, 3)]))
    data = bytearray(path.read_bytes())
    data[central_directory(data) + offset] = value
    path.write_bytes(data)
    assert_says(refused(path), str(path), "endsong_0.json", *facts)


def test_a_zip_with_a_damaged_name_is_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"é/endsong_0.json": minutes(0, 3)})
    data = path.read_bytes()
    for damaged in (
        data.replace("é".encode(), b"\xc3\xff"),
        data[::-1].replace("é".encode()[::-1], b"\xff\xc3", 1)[::-1],
    ):
        path.write_bytes(damaged)
        assert_says(refused(path), str(path), "cannot be unzipped", "Download the export again")


def test_a_member_without_a_name_is_read_over(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"endsong_0.json": minutes(0, 3), "a": b"[]"})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    assert data[at + 28] == 1  # the name's length
    data[at + 28], data[at + 30] = 0, 1  # no name, and the byte as an extra field's
    path.write_bytes(data)
    assert people_and_tracks(path) == people_and_tracks(
        write_zip(tmp_path / "y.zip", {"endsong_0.json": minutes(0, 3)})
    )


def test_a_zip_two_zips_deep_is_refused(tmp_path):
    inner = b""
    for _ in range(3):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x.zip", inner)
        inner = buffer.getvalue()
    path = tmp_path / "outer.zip"
    path.write_bytes(inner)
    assert_says(refused(path), f"{path}/x.zip/x.zip", "two zips deep", "Unpack")


@pytest.mark.parametrize(
    ("name", "reads"), [("endsong_0.json", (Path, "read_bytes")), ("x.zip", (zipfile, "ZipFile"))]
)
def test_a_file_that_must_not_be_read_is_refused(tmp_path, monkeypatch, name, reads):
    path = tmp_path / name
    path.write_bytes(content(minutes(0, 3)))

    def forbidden(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(*reads, forbidden)
    assert_says(refused(path), str(path), "cannot be read", "permissions")


def test_a_folder_that_must_not_be_listed_is_refused(tmp_path, monkeypatch):
    write_folder(tmp_path, old_names([minutes(0, 3)]))

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", forbidden)
    assert_says(refused(tmp_path), str(tmp_path), "cannot be read", "permissions")


def test_a_folder_under_the_name_of_a_file_is_refused(tmp_path):
    folder = tmp_path / "endsong_0.json"
    folder.mkdir()
    assert_says(refused(folder), str(folder), "holds no file")


def test_tables_are_of_a_person_each(tmp_path):
    header = "ts,ms_played,spotify_track_uri,reason_start,reason_end,shuffle\n"
    for number in (1, 2):
        row = f"2023-03-01 12:00:00,5,{track_id(number)},trackdone,fwdbtn,true\n"
        (tmp_path / f"{number}.csv").write_text(header + row)
    assert people_and_tracks(tmp_path / "2.csv", tmp_path / "1.csv") == [(1, "2"), (2, "1")]
