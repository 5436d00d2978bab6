import numpy as np
import pyarrow as pa
import pytest

from skip_pipeline.raw.text_columns import (
    DICTIONARY,
    codes_of,
    dictionary_of,
    dictionary_text,
    take_rows,
    text_of,
    value_counts,
)

CONTRACT = pa.schema([("id", pa.string()), ("n", pa.int8()), ("level", pa.string())])


def dictionary(codes, values):
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(values, pa.string()))


COLUMNS = {
    "strings": pa.chunked_array([["b", "a"], ["b"]], pa.string()),
    "a dictionary": pa.chunked_array([dictionary([0, 1, 0], ["b", "a"])]),
    "a dictionary per chunk": pa.chunked_array([dictionary([0, 1], ["b", "a"]), dictionary([1], ["a", "b"])]),
    "values without rows": pa.chunked_array([dictionary([1, 2, 1], ["z", "b", "a"])]),
}


def test_text_columns_of_a_contract_become_dictionaries_but_those_to_stay_plain():
    held = dictionary_text(CONTRACT, plain="id")
    assert held.types == [pa.string(), pa.int8(), DICTIONARY]
    assert held.names == CONTRACT.names
    assert text_of(CONTRACT) == ["id", "level"]


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_becomes_one_dictionary_with_the_same_rows(column):
    text = dictionary_of(column)
    assert text.type == DICTIONARY
    assert text.to_pylist() == ["b", "a", "b"]
    assert text.dictionary.take(pa.array(codes_of(text))).to_pylist() == ["b", "a", "b"]


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_rows_are_counted_by_value_and_values_without_rows_are_not(column):
    assert list(value_counts(column).items()) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_rows_taken_in_another_order_look_as_if_read_so(column):
    taken = take_rows(pa.table({"id": column, "n": [1, 2, 3]}), np.array([1, 2, 0]))
    assert taken.to_pylist() == [{"id": "a", "n": 2}, {"id": "b", "n": 3}, {"id": "b", "n": 1}]
    if pa.types.is_dictionary(column.type):
        assert taken["id"].chunk(0).dictionary.to_pylist() == ["a", "b"]
