"""Tables keep their contract, on this machine and in an object store."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.storage import read_columns, read_table, schema_difference, write_table
from skip_pipeline_tests.builders import assert_says, refusal, required

CONTRACT = pa.schema([("n", pa.int8()), ("f", pa.float32())])
TABLE = pa.table({"n": [1, 2], "f": [0.5, 1.5]}, schema=CONTRACT)


@pytest.fixture
def path(folder):
    """Where a table is read, on this machine and in an object store."""
    return folder / "log.parquet"


@pytest.fixture
def write(path, tmp_path):
    """Writes a table, and copies it to where it is to be read."""

    def write(table, contract, data_source="real"):
        write_table(table, tmp_path / "written", contract, data_source=data_source)
        path.write_bytes((tmp_path / "written").read_bytes())

    return write


def test_a_table_is_read_as_it_was_written(path, write):
    write(TABLE, CONTRACT)
    assert read_table(path, CONTRACT).equals(TABLE)
    assert read_table(path, CONTRACT, columns=["f", "n"]).equals(TABLE.select(["f", "n"]))
    columns, rows = read_columns(path)
    assert columns.equals(required(CONTRACT))
    assert rows == 2


@pytest.mark.parametrize("source", ["real", "synthetic"])
def test_a_file_shows_whether_it_is_synthetic_and_equal_tables_are_equal_bytes(tmp_path, source):
    for name in "ab":
        table = TABLE.replace_schema_metadata({"pandas": name})
        write_table(table, tmp_path / name, CONTRACT, data_source=source)
    assert pq.read_schema(tmp_path / "a").metadata == {b"data_source": source.encode()}
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


N, F = pa.field("n", pa.int8()), pa.field("f", pa.float32())
DIFFERENCES = [
    ([N], "missing ['f']"),
    ([N, F, pa.field("g", pa.int8())], "extra ['g']"),
    ([N, pa.field("F", pa.float32())], "missing ['f']; extra ['F']"),
    ([F, N], "same columns in another order"),
    ([N, N, F], "more than once ['n']"),
    ([pa.field("n", pa.int16()), F], "n is int16, not int8"),
    ([pa.field("n", pa.int16()), pa.field("f", pa.string())], "n is int16, not int8, f is string, not float"),
    ([], "missing ['n', 'f']"),
]


@pytest.mark.parametrize(("fields", "difference"), DIFFERENCES)
def test_a_table_of_other_columns_is_neither_written_nor_read(path, tmp_path, fields, difference):
    table = pa.schema(fields).empty_table()
    written = tmp_path / "written.parquet"
    message = refusal(ContractError, lambda: write_table(table, written, CONTRACT, data_source="real"))
    assert message == f"written.parquet has {len(fields)} columns, expected 2: {difference}"
    assert not written.exists()
    if fields:  # pyarrow cannot write a file without columns
        with path.open("wb") as sink:
            pq.write_table(table, sink)
        message = refusal(ContractError, lambda: read_table(path, CONTRACT))
        assert message == f"{path} has {len(fields)} columns, expected 2: {difference}"


def test_schemas_that_differ_in_metadata_or_nullability_do_not_differ():
    other = pa.schema([pa.field("n", pa.int8(), nullable=False), F], metadata={"data_source": "real"})
    assert schema_difference(other, CONTRACT) == ""


@pytest.mark.parametrize("read", [lambda p: read_table(p, CONTRACT), read_columns])
def test_a_missing_table_is_asked_for(path, read):
    assert_says(refusal(MissingInputError, lambda: read(path)), f"{path} is missing", "materialize the asset")


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1" * 8])
def test_a_file_that_is_not_parquet_is_named(path, content):
    path.write_bytes(content)
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "materialize the asset again")


@pytest.mark.parametrize("damage", [slice(4, 40), slice(-60, -20), slice(-30, None)])
def test_a_damaged_table_is_named(path, write, damage):
    write(TABLE, CONTRACT)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[damage] ^= 0xFF
    path.write_bytes(content.tobytes())
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "materialize the asset again")


def test_a_value_that_was_changed_where_nothing_else_shows_it_is_found(path, write):
    write(TABLE, CONTRACT)
    content = path.read_bytes()
    assert content.count(np.float32(1.5).tobytes()) == 1
    path.write_bytes(content.replace(np.float32(1.5).tobytes(), np.float32(2.5).tobytes()))
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "CRC", "materialize the asset again")


# --- Text that is a dictionary in memory and plain strings in the file --------------------------------------

WORDS = pa.schema([("id", pa.string()), ("n", pa.int8()), ("level", pa.string())])
PLAIN = pa.table({"id": ["a", "b", "c"], "n": [1, -2, 3], "level": ["x", "y", "x"]}, schema=WORDS)
DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def with_level(column):
    """The table with another column ``level``."""
    return PLAIN.set_column(2, "level", column)


@pytest.mark.parametrize(
    "table", [PLAIN, with_level(PLAIN["level"].cast(DICTIONARY))], ids=["strings", "dictionaries"]
)
def test_the_file_has_strings_for_every_reader_and_dictionaries_for_those_who_ask(path, write, table):
    write(table, WORDS, "synthetic")
    plain = pq.read_table(pa.BufferReader(path.read_bytes()))
    assert plain.schema.equals(required(WORDS))
    assert plain.schema.metadata == {b"data_source": b"synthetic"}
    assert plain.cast(WORDS).equals(PLAIN)
    assert read_table(path, WORDS).equals(PLAIN)
    asked = read_table(path, WORDS, dictionaries=["level"])
    assert asked.schema.types == [pa.string(), pa.int8(), DICTIONARY]
    assert asked.cast(WORDS).equals(PLAIN)
    assert read_table(path, WORDS, ["level"], dictionaries=["level"]).schema.types == [DICTIONARY]


def test_a_value_is_stored_once_in_a_file_of_any_length(tmp_path):
    n = 1_100_000  # more rows than parquet puts into one group by itself
    codes = pa.array([0, 1] * (n // 2), pa.int32())
    table = pa.table({"level": pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 1000, "y" * 1000]))})
    path = tmp_path / "log.parquet"
    write_table(table, path, pa.schema([("level", pa.string())]), data_source="real")
    assert path.stat().st_size < 10_000
    assert pq.read_metadata(path).num_row_groups == 1


def test_a_dictionary_of_the_contract_itself_stays_one_and_the_file_still_shows_its_source(path, write):
    split = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), pa.array(schema.SPLITS))
    ids = pa.array(["s1", "s2"]).dictionary_encode()
    table = pa.table({"session_id": ids, "code": pa.array([0, 1], pa.int32()), "split": split})
    write(table, schema.SESSIONS, "synthetic")
    found = read_table(path, schema.SESSIONS)
    assert found.schema.equals(schema.SESSIONS)
    assert found.schema.metadata == {b"data_source": b"synthetic"}
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("table", "contract", "fact"),
    [
        (with_level(pa.array([1, 2, 1]).dictionary_encode()), WORDS, "level is int64, not string"),
        (with_level(pa.array(["x", None, "y"]).dictionary_encode()), WORDS, "nulls in ['level']"),
        (pa.table({"n": [1, None], "f": [0.5, 1.5]}, schema=CONTRACT), CONTRACT, "nulls in ['n']"),
    ],
    ids=["a dictionary of numbers", "a null in a dictionary", "a null"],
)
def test_a_column_that_the_contract_does_not_allow_is_not_written(tmp_path, table, contract, fact):
    path = tmp_path / "log.parquet"
    message = refusal(ContractError, lambda: write_table(table, path, contract, data_source="real"))
    assert_says(message, "log.parquet", fact)
    assert not path.exists()


def test_nulls_are_written_where_they_may_be_and_declared_where_they_are(path, tmp_path):
    table = pa.table({"n": [1, None], "f": [0.5, 1.5]}, schema=CONTRACT)
    write_table(table, tmp_path / "written", CONTRACT, data_source="real", may_be_null=("n", "f"))
    path.write_bytes((tmp_path / "written").read_bytes())
    assert read_table(path, CONTRACT).equals(table)
    assert [field.nullable for field in read_columns(path)[0]] == [True, False]
    attempt = lambda: write_table(  # noqa: E731
        table, tmp_path / "refused", CONTRACT, data_source="real", may_be_null=("f",)
    )
    assert_says(refusal(ContractError, attempt), "refused would hold nulls in ['n']", "may hold none")
    assert not (tmp_path / "refused").exists()
