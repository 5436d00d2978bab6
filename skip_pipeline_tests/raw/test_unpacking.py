"""A small packed file that unpacks to far more is refused, in bounded memory, wherever files are unpacked."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from skip_pipeline.challenge.evaluation import evaluate
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw import unpacking
from skip_pipeline.raw.csv_file import column_names, read_csv
from skip_pipeline.streaming_history.features import _read as read_features
from skip_pipeline.streaming_history.sources import find_exports
from skip_pipeline.streaming_history.tables import read_table
from skip_pipeline_tests.builders import assert_says, refusal

CONTRACT = pa.schema([("id", pa.string()), ("n", pa.int64())])
ALLOWED = 1 << 20
MEMORY = pa.proxy_memory_pool(pa.default_memory_pool())  # lives as long as any buffer that is taken from it


@pytest.fixture(autouse=True)
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte in place of a quarter of a gigabyte."""
    monkeypatch.setattr(unpacking, "_ALWAYS", ALLOWED)


@pytest.fixture
def memory() -> Iterator[pa.MemoryPool]:
    """The memory that Arrow takes in the test; the count of the process remembers every earlier one."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(MEMORY)
    yield MEMORY
    pa.set_memory_pool(before)


def bomb(start: bytes, piece: bytes, megabytes: int = 64) -> bytes:
    """A gzip file of a header and the same bytes again and again."""
    packing = zlib.compressobj(9, wbits=31)
    content = [packing.compress(start)]
    many = piece * (ALLOWED // len(piece))
    content += [packing.compress(many) for _ in range(megabytes)]
    return b"".join([*content, packing.flush()])


PIECES = {"rows": b"a,1\n", "one line": b"a", "blank lines": b"\n", "an open quote": b'"a\n'}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_a_gzipped_table(tmp_path: Path, piece: bytes, memory: pa.MemoryPool) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(bomb(b"id,n\n", piece))
    message = refusal(BadInputError, lambda: read_csv(path, CONTRACT, {}))
    assert_says(message, str(path), "unpacks to more than", "Deliver the file again")
    assert memory.max_memory() < 40 * ALLOWED


def test_a_gzipped_table_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(bomb(b"", b"\0"))
    assert_says(refusal(BadInputError, lambda: read_csv(path, CONTRACT, {})), str(path), "first line")


def test_a_table_that_only_compresses_well_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"id,n\n" + b"a,1\n" * 200_000))
    assert read_csv(path, CONTRACT, {}).num_rows == 200_000
    assert column_names(path) == ["id", "n"]


def test_the_bound_grows_with_the_file() -> None:
    assert unpacking.most_unpacked(10**8) == 5 * 10**9


def test_a_table_of_plays(tmp_path: Path) -> None:
    path = tmp_path / "plays.csv.gz"
    names = b"ts,ms_played,spotify_track_uri,reason_start,reason_end,shuffle\n"
    path.write_bytes(bomb(names, b"2023-01-31 18:05:59,1,x,y,z,true\n"))
    assert_says(refusal(BadInputError, lambda: read_table(path)), str(path), "unpacks to more than")


def test_track_features_of_own_listening(tmp_path: Path) -> None:
    path = tmp_path / "features.csv.gz"
    path.write_bytes(bomb(b"track_id,tempo\n", b"0000000000000000000001,1.0\n"))
    assert_says(refusal(BadInputError, lambda: read_features(path)), str(path), "unpacks to more than")


def zipped(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


@pytest.fixture
def open_zips() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


AUDIO = "Streaming_History_Audio_2023_1.json"


@pytest.mark.parametrize("within", [False, True], ids=["a zip", "a zip within a zip"])
def test_an_export(tmp_path: Path, open_zips: ExitStack, within: bool) -> None:
    path = tmp_path / "my_spotify_data.zip"
    content = zipped(AUDIO, b" " * 64 * ALLOWED)
    path.write_bytes(zipped("inner.zip", content) if within else content)
    message = refusal(BadInputError, lambda: find_exports([path], open_zips))
    assert_says(message, str(path), "unpacks to more than", "Deliver the file again")


def test_an_export_that_hides_its_size(tmp_path: Path, open_zips: ExitStack) -> None:
    """No more is unpacked than a zip says; its checksum then shows that this was not all."""
    path = tmp_path / "my_spotify_data.zip"
    size = (64 * ALLOWED).to_bytes(4, "little")
    path.write_bytes(zipped(AUDIO, b" " * 64 * ALLOWED).replace(size, (9).to_bytes(4, "little")))
    (export,) = find_exports([path], open_zips)
    assert_says(refusal(BadInputError, export.audio[0].read), str(path), "cannot be unzipped")


NAMES = ("../../x", "/x", "C:\\x", "..\\x", "a/../../x")  # x stands for a file of plays


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_zip_leads_anywhere(tmp_path: Path, open_zips: ExitStack, name: str) -> None:
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    path = folder / "my_spotify_data.zip"
    path.write_bytes(zipped(name.replace("x", AUDIO), b"[]"))
    (export,) = find_exports([path], open_zips)
    assert [part.read() for part in export.audio] == [b"[]"]
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "log_truth_1.csv"
    path.write_text("session_id,skip_2\na,01\nb,110\n")
    return path


@pytest.mark.parametrize("piece", [b"0", b"01\n", b"\n"])
def test_a_submission(tmp_path: Path, truth: Path, piece: bytes) -> None:
    path = tmp_path / "submission.txt.gz"
    path.write_bytes(bomb(b"01\n", piece))
    message = refusal(BadInputError, lambda: evaluate(truth, [path]))
    assert_says(message, str(path), "expected a line for each session")
    assert len(message) < 1_000


def test_a_truth(tmp_path: Path, truth: Path) -> None:
    path = tmp_path / "log_truth_2.csv.gz"
    path.write_bytes(bomb(b"session_id,skip_2\n", b"a,01\n"))
    submission = tmp_path / "submission.txt"
    submission.write_text("01\n")
    assert_says(refusal(BadInputError, lambda: evaluate(path, [submission])), str(path), "unpacks to more")
