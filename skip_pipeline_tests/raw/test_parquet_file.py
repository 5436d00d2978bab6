"""Parquet files that somebody made: what is read, and what is refused with which remedy."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.parquet_file import is_parquet, read_parquet
from skip_pipeline_tests.builders import assert_says, refusal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.parquet"


def no_text(value: bytes = b"\xed\xa0\x80") -> pa.Array:
    """A text column of which the second value, half a surrogate pair, is no text."""
    buffers = pa.array([b"a", value], pa.binary()).buffers()
    return pa.Array.from_buffers(pa.string(), 2, buffers)


def test_chosen_columns_are_read_in_their_order_and_text_that_is_none_as_bytes(path):
    coded = pa.array(["x", "y"]).dictionary_encode()
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": no_text(), "c": coded, "d": ["x", "y"]}), path)
    table = read_parquet(path, lambda names: [name for name in reversed(names) if name != "a"])
    assert table.to_pydict() == {"d": ["x", "y"], "c": ["x", "y"], "b": [b"a", b"\xed\xa0\x80"]}


def test_a_chosen_column_that_is_there_twice_is_refused(path):
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 3, names=["a", "a", "b"]), path)
    message = refusal(BadInputError, lambda: read_parquet(path, lambda names: names))
    assert_says(message, str(path), "the columns a more than once; expected each once. Write the file")
    assert read_parquet(path, lambda names: names[2:]).to_pydict() == {"b": [1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "is no parquet file, as its name says. Rename it"),
        (b"<!doctype html>", "is a page in place of the file. Download it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS. Get the file itself"),
        (gzip.compress(b"PAR1"), "is gzipped. Unpack it"),
        (b"", "is a damaged parquet file"),
        (b"PAR1", "is a damaged parquet file"),
        (b"PAR1" + bytes(99) + b"PAR1", "is a damaged parquet file"),
        (b"PAR1" + b"\xff" * 99 + b"\5\0\0\0PAR1", "is a damaged parquet file"),
    ],
)
def test_a_file_of_another_format_or_a_damaged_one_is_refused(path, content, said):
    path.write_bytes(content)
    assert_says(refusal(BadInputError, lambda: read_parquet(path, lambda names: names)), str(path), said)


def test_a_file_is_parquet_by_its_name_or_by_its_first_bytes(tmp_path):
    for name, content in {"a.PARQUET": b"", "b.csv": b"PAR1", "c.csv": b"PAR"}.items():
        (tmp_path / name).write_bytes(content)
    assert [is_parquet(tmp_path / name) for name in ("a.PARQUET", "b.csv", "c.csv", "d.csv")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_missing_file_and_a_folder_are_refused(path):
    assert "is not there" in refusal(MissingInputError, lambda: read_parquet(path, lambda names: names))
    path.mkdir()
    assert "cannot be read" in refusal(BadInputError, lambda: read_parquet(path, lambda names: names))
