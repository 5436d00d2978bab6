"""Tables keep their contract, on this machine and in an object store."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.storage import (
    check_schema,
    publish,
    read_columns,
    read_table,
    schema_difference,
    write_table,
)
from skip_pipeline_tests.builders import assert_says, refusal

CONTRACT = pa.schema([("n", pa.int8()), ("f", pa.float32())])
TABLE = pa.table({"n": [1, 2], "f": [0.5, 1.5]}, schema=CONTRACT)


@pytest.fixture
def path(folder):
    """Where a table is read, on this machine and in an object store."""
    return folder / "log.parquet"


def write(table, path, contract, *, data_source):
    """Write a table, and copy it to where it is to be read."""
    with tempfile.TemporaryDirectory() as here:
        write_table(table, Path(here) / path.name, contract, data_source=data_source)
        path.write_bytes((Path(here) / path.name).read_bytes())


def test_a_table_is_read_as_it_was_written(path):
    write(TABLE, path, CONTRACT, data_source="real")
    assert read_table(path, CONTRACT).equals(TABLE)
    assert read_table(path, CONTRACT, columns=["f"]).equals(TABLE.select(["f"]))
    assert read_columns(path)[0].equals(CONTRACT)
    assert read_columns(path)[1] == 2


def test_dictionary_columns_keep_their_dtype(path):
    contract = pa.schema([("split", pa.dictionary(pa.int8(), pa.string()))])
    table = pa.table({"split": ["test", "train"]}, schema=contract)
    write(table, path, contract, data_source="real")
    assert read_table(path, contract)["split"].to_pylist() == ["test", "train"]


@pytest.mark.parametrize("source", ["real", "synthetic"])
def test_a_file_says_by_itself_whether_it_is_synthetic(path, source):
    write(TABLE.replace_schema_metadata({"pandas": "{}"}), path, CONTRACT, data_source=source)
    assert pq.read_schema(pa.BufferReader(path.read_bytes())).metadata == {b"data_source": source.encode()}


N, F = pa.field("n", pa.int8()), pa.field("f", pa.float32())
DIFFERENCES = [
    ([N], "missing ['f']"),
    ([N, F, pa.field("g", pa.int8())], "extra ['g']"),
    ([N, pa.field("F", pa.float32())], "missing ['f']; extra ['F']"),
    ([F, N], "same columns in another order"),
    ([N, N, F], "more than once ['n']"),
    ([pa.field("n", pa.int16()), F], "n is int16, not int8"),
    ([N, pa.field("f", pa.string())], "f is string, not float"),
    ([], "missing ['n', 'f']"),
]


@pytest.mark.parametrize(("fields", "difference"), DIFFERENCES)
def test_a_table_of_other_columns_is_not_written(tmp_path, fields, difference):
    path = tmp_path / "log.parquet"
    other = pa.schema(fields)
    table = pa.Table.from_arrays([pa.array([], field.type) for field in other], schema=other)
    message = refusal(ContractError, lambda: write_table(table, path, CONTRACT, data_source="real"))
    assert message == f"log.parquet has {len(fields)} columns, expected 2: {difference}"
    assert not path.exists()


@pytest.mark.parametrize(("fields", "difference"), DIFFERENCES[:-1])
def test_a_table_of_other_columns_is_not_read(path, fields, difference):
    other = pa.schema(fields)
    table = pa.Table.from_arrays([pa.array([], field.type) for field in other], schema=other)
    with path.open("wb") as sink:
        pq.write_table(table, sink)
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert message == f"{path} has {len(fields)} columns, expected 2: {difference}"


def test_schemas_that_differ_in_metadata_or_nullability_do_not_differ():
    other = pa.schema([pa.field("n", pa.int8(), nullable=False), F], metadata={"data_source": "real"})
    assert schema_difference(other, CONTRACT) == ""
    check_schema(other, CONTRACT, what="log.parquet")


def test_a_null_is_not_written(tmp_path):
    path = tmp_path / "log.parquet"
    table = pa.table({"n": [1, None], "f": [0.5, 1.5]}, schema=CONTRACT)
    message = refusal(ContractError, lambda: write_table(table, path, CONTRACT, data_source="real"))
    assert_says(message, "log.parquet", "nulls in ['n']")
    assert not path.exists()


@pytest.mark.parametrize("read", [lambda p: read_table(p, CONTRACT), read_columns])
def test_a_missing_table_is_asked_for(path, read):
    assert_says(refusal(MissingInputError, lambda: read(path)), f"{path} is missing", "materialize the asset")


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1" * 8])
def test_a_file_that_is_not_parquet_is_named(path, content):
    path.write_bytes(content)
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "materialize the asset again")


@pytest.mark.parametrize("damage", [slice(4, 40), slice(-60, -20), slice(-30, None)])
def test_a_damaged_table_is_named(path, damage):
    write(TABLE, path, CONTRACT, data_source="real")
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[damage] ^= 0xFF
    path.write_bytes(content.tobytes())
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "materialize the asset again")


def test_a_value_that_was_changed_where_nothing_else_shows_it_is_found(path):
    write(TABLE, path, CONTRACT, data_source="real")
    content = path.read_bytes()
    assert content.count(np.float32(1.5).tobytes()) == 1
    path.write_bytes(content.replace(np.float32(1.5).tobytes(), np.float32(2.5).tobytes()))
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "CRC", "materialize the asset again")


def test_equal_tables_are_equal_bytes(tmp_path):
    for name in "ab":
        write_table(TABLE, tmp_path / name, CONTRACT, data_source="real")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_reader_of_the_whole_folder_sees_the_shards_only(tmp_path):
    lookup = pa.table({"id": ["a"]})
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        for name in ("log_1.parquet", "log_2.parquet"):
            write_table(TABLE, staging.path(name), CONTRACT, data_source="real")
        write_table(lookup, staging.path("_tracks.parquet"), lookup.schema, data_source="real")
        write_table(lookup, staging.path("_sessions/log_1.parquet"), lookup.schema, data_source="real")
    (tmp_path / "_scratch" / "log_3.parquet").write_bytes(b"half a file")
    assert pq.read_table(tmp_path).equals(pa.concat_tables([TABLE, TABLE]))
    assert pd.read_parquet(tmp_path)["n"].tolist() == [1, 2, 1, 2]
