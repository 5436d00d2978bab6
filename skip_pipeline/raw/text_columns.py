"""Text columns as dictionaries: every value once, and a code per row.

A shard's text repeats: twenty rows of a session, a handful of levels. Held as a dictionary from the parse
to the file and back, whatever concerns values is done once per value, and rows are compared as numbers.
Parquet stores text the same way, and its readers see plain strings.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


def dictionary_text(contract: pa.Schema, *, plain: Collection[str] = ()) -> pa.Schema:
    """A contract as it is held in memory: its text columns as dictionaries, save those in ``plain``."""
    return pa.schema(
        field.with_type(DICTIONARY) if pa.types.is_string(field.type) and field.name not in plain else field
        for field in contract
    )


def text_of(contract: pa.Schema) -> list[str]:
    """Names of a contract's text columns."""
    return [field.name for field in contract if pa.types.is_string(field.type)]


def dictionary_of(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A text column as one dictionary array, whether it comes as strings or as dictionaries.

    Its values are distinct. Some may belong to no row, and their order means nothing.
    """
    if pa.types.is_dictionary(column.type):
        return column.unify_dictionaries().combine_chunks()
    return column.combine_chunks().dictionary_encode()


def codes_of(column: pa.DictionaryArray) -> np.ndarray:
    """Index of each row's value in the dictionary, int32 (rows,)."""
    return np.asarray(column.indices.to_numpy())


def value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Rows by value, in the values' order; values that belong to no row are left out."""
    text = dictionary_of(column)
    counts = np.bincount(codes_of(text), minlength=len(text.dictionary)).tolist()
    by_value = zip(text.dictionary.to_pylist(), counts, strict=True)
    return {value: count for value, count in sorted(by_value) if count}


def take_rows(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Rows of a table in another order, as if they had been read so.

    A dictionary gets the values that its rows have, in order of first appearance.
    """
    taken = table.take(pa.array(rows))
    columns = [
        column.cast(column.type.value_type).combine_chunks().dictionary_encode()
        if pa.types.is_dictionary(column.type)
        else column
        for column in taken.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def ranks(values: pa.StringArray) -> np.ndarray:
    """Place of each distinct value among the sorted ones, int64 (values,); sorted as UTF-8 bytes."""
    if pc.all(pc.less(values[:-1], values[1:]), min_count=0).as_py():
        return np.arange(len(values))
    return np.argsort(pc.array_sort_indices(values).to_numpy())
