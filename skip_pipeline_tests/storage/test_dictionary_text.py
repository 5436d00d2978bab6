"""Text that is a dictionary in memory and plain strings in the file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.storage import read_table, write_table
from skip_pipeline_tests.builders import assert_says, refusal

CONTRACT = pa.schema([("id", pa.string()), ("n", pa.int8()), ("level", pa.string())])
PLAIN = pa.table({"id": ["a", "b", "c"], "n": [1, -2, 3], "level": ["x", "y", "x"]}, schema=CONTRACT)
DICTIONARY = pa.dictionary(pa.int32(), pa.string())
HELD = PLAIN.set_column(2, "level", PLAIN["level"].cast(DICTIONARY))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.parquet"


@pytest.mark.parametrize("table", [PLAIN, HELD], ids=["strings", "dictionaries"])
def test_the_file_has_the_contracts_columns_for_every_reader(path, table):
    write_table(table, path, CONTRACT, data_source="synthetic")
    plain = pq.read_table(path)
    assert plain.schema.equals(CONTRACT)
    assert plain.schema.metadata == {b"data_source": b"synthetic"}
    assert plain.equals(PLAIN)
    assert read_table(path, CONTRACT).equals(PLAIN)


@pytest.mark.parametrize("table", [PLAIN, HELD], ids=["strings", "dictionaries"])
def test_text_is_given_as_dictionaries_to_those_who_ask(path, table):
    write_table(table, path, CONTRACT, data_source="real")
    asked = read_table(path, CONTRACT, dictionaries=["level"])
    assert asked.schema.types == [pa.string(), pa.int8(), DICTIONARY]
    assert asked.cast(CONTRACT).equals(PLAIN)
    assert read_table(path, CONTRACT, ["level"], dictionaries=["level"]).schema.types == [DICTIONARY]


def test_a_value_is_stored_once_in_a_file_of_any_length(path):
    n = 1_100_000  # more rows than parquet puts into one group by itself
    codes = pa.array([0, 1] * (n // 2), pa.int32())
    table = pa.table({"level": pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 1000, "y" * 1000]))})
    write_table(table, path, pa.schema([("level", pa.string())]), data_source="real")
    assert path.stat().st_size < 10_000
    assert pq.read_metadata(path).num_row_groups == 1


def test_columns_are_given_in_the_order_asked_for(path):
    write_table(HELD, path, CONTRACT, data_source="real")
    assert read_table(path, CONTRACT, ["n", "id"]).column_names == ["n", "id"]


def test_a_dictionary_of_the_contract_itself_stays_one_and_the_file_still_says_its_source(path):
    split = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), pa.array(schema.SPLITS))
    ids = pa.array(["s1", "s2"]).dictionary_encode()
    table = pa.table({"session_id": ids, "code": pa.array([0, 1], pa.int32()), "split": split})
    write_table(table, path, schema.SESSIONS, data_source="synthetic")
    found = pq.read_table(path)
    assert found.schema.equals(schema.SESSIONS)
    assert found.schema.metadata == {b"data_source": b"synthetic"}
    assert found.to_pylist() == table.to_pylist()


def test_a_dictionary_of_anything_but_strings_is_not_text(path):
    table = PLAIN.set_column(2, "level", pa.array([1, 2, 1]).dictionary_encode())
    message = refusal(ContractError, lambda: write_table(table, path, CONTRACT, data_source="real"))
    assert_says(message, "level is int64, not string")
    assert not path.exists()


def test_a_null_in_a_dictionary_is_not_written(path):
    table = PLAIN.set_column(2, "level", pa.array(["x", None, "y"]).dictionary_encode())
    message = refusal(ContractError, lambda: write_table(table, path, CONTRACT, data_source="real"))
    assert_says(message, "nulls in ['level']")
