"""Text columns as dictionaries: every value once, and a code per row.

Most text repeats, such as a session's id in its twenty rows. A value of a dictionary is checked once, and
rows are compared as numbers. Parquet stores text the same way, and its readers get plain strings.
"""

from typing import Final

import numpy as np
import pyarrow as pa

DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


def text_of(contract: pa.Schema) -> list[str]:
    """Names of a contract's text columns."""
    return [field.name for field in contract if pa.types.is_string(field.type)]


def dictionary_text(contract: pa.Schema, *, plain: str = "") -> pa.Schema:
    """A contract with its text columns as dictionaries, save the column ``plain``."""
    text = {*text_of(contract)} - {plain}
    return pa.schema(field.with_type(DICTIONARY) if field.name in text else field for field in contract)


def dictionary_of(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A text column as one dictionary array, its values distinct in any order; some may belong to no row."""
    if pa.types.is_dictionary(column.type):
        return column.unify_dictionaries().combine_chunks()
    return column.combine_chunks().dictionary_encode()


def codes_of(column: pa.DictionaryArray) -> np.ndarray:
    """Index of each row's value in the dictionary, int32 (rows,)."""
    return np.asarray(column.indices.to_numpy())


def value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Rows by value, sorted by value; values that belong to no row are left out.

    >>> value_counts(pa.chunked_array([["b", "a", "b"]]))
    {'a': 1, 'b': 2}
    """
    text = dictionary_of(column)
    counts = np.bincount(codes_of(text), minlength=len(text.dictionary)).tolist()
    by_value = zip(text.dictionary.to_pylist(), counts, strict=True)
    return {value: count for value, count in sorted(by_value) if count}


def take_rows(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Rows of a table; a dictionary gets the values of those rows, in order of first appearance."""
    taken = table.take(pa.array(rows))
    columns = [
        column.cast(pa.string()).combine_chunks().dictionary_encode()
        if pa.types.is_dictionary(column.type)
        else column
        for column in taken.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)
