"""Session logs as parquet, mutated: other types of columns, other values, other bytes."""

import datetime as dt
import io
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.torture.files import VALUES, Subject, with_changed_bytes
from benchmarks.torture.plain_log import Row, ordered_log, value
from skip_pipeline import schema
from skip_pipeline.raw.session_log import order_session_log
from skip_pipeline.serving.logs import read_parquet_log, read_whole_log

NAMES: Final = schema.SESSION_LOG.names


def parquet_log(rows: list[Row]) -> Subject:
    """A session log by its rows."""
    right = pa.Table.from_pylist(rows, schema=schema.SESSION_LOG)
    mutations = {name: partial(mutation, log=right) for name, mutation in MUTATIONS.items()}
    return Subject("parquet log", mutations, load, plain, ordered_log(rows))


def load(path: Path) -> list[Row]:
    """Rows as ``skip-pipeline predict`` reads them."""
    read_whole_log(path)  # which sessions are whole
    return list(order_session_log(read_parquet_log(path))[0].to_pylist())


def plain(path: Path) -> list[Row]:
    """Rows, value by value, from what Arrow has at the path."""
    table = pq.read_table(path, page_checksum_verification=True)
    if any(table.column_names.count(name) != 1 for name in NAMES):
        raise ValueError("other columns")
    columns = {name: [_cell(cell) for cell in table[name].to_pylist()] for name in NAMES}
    rows = [dict(zip(NAMES, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return ordered_log([{n: value(schema.SESSION_LOG.field(n), row[n]) for n in NAMES} for row in rows])


def _cell(cell: Any) -> str:
    """A value as the text of a CSV."""
    if isinstance(cell, bytes):
        return cell.decode()
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, dt.datetime):
        return str(cell.date())
    if not isinstance(cell, str | int | float | Decimal | dt.date):
        raise TypeError("no value of a cell")
    return str(cell)


def _written(random: Random, columns: Mapping[str, pa.Array] | pa.Table) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    to = io.BytesIO()
    pq.write_table(
        table,
        to,
        compression=random.choice(["none", "zstd", "snappy"]),
        row_group_size=random.choice([3, 1000]),
        use_dictionary=random.random() < 0.5,
        write_page_checksum=random.random() < 0.5,
        data_page_version=random.choice(["1.0", "2.0"]),
    )
    return to.getvalue()


_TO: Final[dict[Callable[[pa.DataType], bool], list[pa.DataType]]] = {
    pa.types.is_integer: [
        pa.int64(),
        pa.uint64(),
        pa.float64(),
        pa.float16(),
        pa.decimal128(22, 2),
        pa.string(),
    ],
    pa.types.is_boolean: [pa.int8(), pa.uint64(), pa.string()],
    pa.types.is_string: [pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
}


def _otherwise(random: Random, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in another type."""
    own = column.type
    kind = random.choice([own, *next(types for is_of, types in _TO.items() if is_of(own))])
    if pa.types.is_decimal(kind):
        return pa.chunked_array([pa.array([Decimal(cell) for cell in column.to_pylist()], kind)])
    made = column.cast(kind)
    if random.random() < 0.2 and not pa.types.is_dictionary(kind) and not pa.types.is_float16(kind):
        return pa.chunked_array([made.combine_chunks().dictionary_encode()])
    return made


def rewritten(random: Random, log: pa.Table) -> tuple[str, bytes]:
    """The same log as pandas, Spark, polars or R write it."""
    names = random.sample(NAMES, len(NAMES))
    columns = {name: _otherwise(random, log[name]) for name in names}
    if random.random() < 0.5:
        days = log[schema.DATE].cast(pa.date32())
        columns[schema.DATE] = random.choice(
            [days, days.cast(pa.timestamp("us")), days.cast(pa.timestamp("ns", "UTC"))]
        )
    if random.random() < 0.5:
        columns["__index_level_0__"] = pa.array(range(len(log)))
    made = pa.table(columns)
    return random.choice(["log.parquet", "LOG.PARQUET", "log"]), _written(random, made)


def with_another_value(random: Random, log: pa.Table) -> tuple[str, bytes]:
    """One to three cells replaced by a text, a number, or nothing; their columns are text or floats then."""
    columns = dict(zip(NAMES, log.columns, strict=True))
    for _ in range(random.randint(1, 3)):
        name = random.choice(NAMES)
        cells: list[Any] = columns[name].to_pylist()
        if pa.types.is_string(log[name].type) or random.random() < 0.5:
            cells = [str(cell) if not isinstance(cell, str | None) else cell for cell in cells]
            cells[random.randrange(len(cells))] = random.choice([*VALUES, None])
            columns[name] = pa.chunked_array([pa.array(cells, pa.string())])
        elif not pa.types.is_string(columns[name].type):
            cells = [None if cell is None else float(cell) for cell in cells]
            cells[random.randrange(len(cells))] = random.choice(
                [None, 0.5, -1.0, 1e300, float("nan"), float("inf"), 7.0]
            )
            columns[name] = pa.chunked_array([pa.array(cells, pa.float64())])
    return "log.parquet", _written(random, columns)


def with_other_columns(random: Random, log: pa.Table) -> tuple[str, bytes]:
    """A column lost, renamed, there twice, or of a type that holds no such values; rows lost or moved."""
    at = random.randrange(len(NAMES))
    name, n = NAMES[at], len(log)
    kinds = [
        pa.array([[1]] * n),
        pa.array([{"a": "x"}] * n),
        pa.array([dt.timedelta(1)] * n),
        pa.array([dt.datetime(2018, 7, 15, 3)] * n),
        pa.array([b"\xed\xa0\x80"] * n),
        pa.nulls(n),
    ]
    match random.randrange(6):
        case 0:
            made = log.drop_columns([name])
        case 1:
            made = log.rename_columns([*NAMES[:at], name.upper(), *NAMES[at + 1 :]])
        case 2:
            made = log.append_column(name, log[name])
        case 3:
            made = log.take(pa.array(sorted(random.sample(range(n), n - 1))))
        case 4:
            made = log.take(pa.array(random.sample(range(n), n)))
        case _:
            made = log.set_column(at, name, random.choice(kinds))
    return "log.parquet", _written(random, made)


def with_other_bytes(random: Random, log: pa.Table) -> tuple[str, bytes]:
    """Bytes changed, lost or inserted, half of the times in the last 3,000, which describe the rest."""
    content = _written(random, log)
    head = random.choice([0, max(len(content) - 3_000, 0)])
    return "log.parquet", content[:head] + with_changed_bytes(random, content[head:])


def cut_short(random: Random, log: pa.Table) -> tuple[str, bytes]:
    """A file that ends early."""
    content = _written(random, log)
    return "log.parquet", content[: random.randrange(len(content))]


MUTATIONS: Final = {
    "written otherwise, as pandas, Spark and R do": rewritten,
    "values replaced": with_another_value,
    "columns lost, added or of other types, rows lost or moved": with_other_columns,
    "bytes changed, lost or inserted": with_other_bytes,
    "cut short": cut_short,
}
