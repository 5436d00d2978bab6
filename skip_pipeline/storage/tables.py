"""Tables as parquet files that keep a contract: its columns, their order and dtypes, and which may be null.

A file declares a column as nullable if, and only if, it holds a null.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.locations import is_local
from skip_pipeline.settings import DataSource


def write_table(
    table: pa.Table,
    path: Path,
    contract: pa.Schema,
    *,
    data_source: DataSource,
    may_be_null: Collection[str] = (),
) -> None:
    """Write a table as parquet on this machine, refusing other columns than ``contract``.

    Nulls are refused except in the columns of ``may_be_null``. Text columns may be dictionaries in memory;
    the file has strings. The file's schema metadata has ``data_source``, so that a copied table still shows
    whether it is synthetic.
    """
    _check_schema(_as_stored(table.schema, contract), contract, what=path.name)
    nulls = [name for name in table.column_names if table[name].null_count]
    if refused := [name for name in nulls if name not in may_be_null]:
        raise ContractError(f"{path.name} would hold nulls in {refused}, columns that may hold none")
    # Arrow's own schema in the file keeps a dictionary of the contract apart from strings. Where the contract
    # has none it is left out, and the metadata has to be added separately.
    metadata = {"data_source": data_source}
    with_dictionaries = any(pa.types.is_dictionary(field.type) for field in contract)
    if with_dictionaries:
        table = table.cast(contract)
    # Numbers are written without dictionaries: for floats, which hardly repeat, a dictionary costs more than
    # half of the time and saves a fifth of the bytes; lz4 alone makes integers nearly as small. Text that is
    # strings in memory is assumed not to repeat. No reader searches by value, so there are no statistics; a
    # shard is read whole, so there is one row group, and each value of a dictionary is stored once. Columns
    # without nulls are declared so: noting that for each value costs a quarter of the time.
    floats = {field.name for field in contract if pa.types.is_floating(field.type)}
    table = _declared(table.replace_schema_metadata(metadata), nulls)
    with pq.ParquetWriter(
        path,
        table.schema,
        use_dictionary=[field.name for field in table.schema if pa.types.is_dictionary(field.type)],
        compression={name: "none" if name in floats else "lz4" for name in contract.names},
        write_statistics=False,
        write_batch_size=65_536,  # rows; 64 times the default saves a twentieth of the time
        max_rows_per_page=max(1, table.num_rows),  # a page is limited by size; the default costs an eighth
        write_page_checksum=True,
        store_schema=with_dictionaries,
    ) as writer:
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        if not with_dictionaries:
            writer.add_key_value_metadata(metadata)


def _declared(table: pa.Table, nullable: Collection[str]) -> pa.Table:
    """The same columns in a schema that allows nulls in some."""
    fields = [field.with_nullable(field.name in nullable) for field in table.schema]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, table.schema.metadata))


def _as_stored(found: pa.Schema, contract: pa.Schema) -> pa.Schema:
    """A table's schema with strings for dictionaries, where the contract has strings."""
    text = {field.name for field in contract if pa.types.is_string(field.type)}
    return pa.schema(
        field.with_type(field.type.value_type)
        if field.name in text and pa.types.is_dictionary(field.type)
        else field
        for field in found
    )


def read_table(
    path: Path, contract: pa.Schema, columns: list[str] | None = None, *, dictionaries: Collection[str] = ()
) -> pa.Table:
    """Read one parquet file, memory-mapped where it can be: all columns of its contract, or those named.

    Args:
        dictionaries: text columns to read as dictionaries instead of strings.
    """
    with (
        _opened(path) as source,
        pq.ParquetFile(
            source,
            memory_map=True,
            pre_buffer=not is_local(path),  # many columns in one request
            read_dictionary=list(dictionaries),
            page_checksum_verification=True,
        ) as file,
    ):
        _check_schema(file.metadata.schema.to_arrow_schema(), contract, what=str(path))
        table = file.read(columns=columns)
        table = _declared(table, table.column_names)  # like contracts
    return table if columns is None else table.select(columns)


def read_columns(path: Path) -> tuple[pa.Schema, int]:
    """Columns and number of rows of one parquet file, from its footer."""
    with _opened(path) as source:
        footer = pq.read_metadata(source)
        return footer.schema.to_arrow_schema(), footer.num_rows


@contextmanager
def _opened(path: Path) -> Iterator[Path | IO[bytes]]:
    """A file as Arrow takes it: by its name, so that it can be mapped, or opened in an object store."""
    try:
        if is_local(path):
            yield path
        else:
            with path.open("rb") as handle:
                yield handle
    except FileNotFoundError:
        raise MissingInputError(f"{path} is missing; materialize the asset that fills it again") from None
    except (pa.ArrowInvalid, OSError) as refusal:
        raise ContractError(
            f"{path} is not a readable parquet file ({refusal}); materialize the asset again"
        ) from refusal


def _check_schema(found: pa.Schema, contract: pa.Schema, *, what: str) -> None:
    if difference := schema_difference(found, contract):
        raise ContractError(f"{what} has {len(found)} columns, expected {len(contract)}: {difference}")


def schema_difference(found: pa.Schema, contract: pa.Schema) -> str:
    """How names, order and dtypes of two schemas differ, in words; empty if they do not."""
    names, expected, times = found.names, contract.names, Counter(found.names)
    mistyped = [(field, found.field(field.name).type) for field in contract if times[field.name] == 1]
    differences = {
        "missing": [n for n in expected if n not in times],
        "extra": [n for n in names if n not in expected],
        "more than once": [n for n in expected if times[n] > 1],
    }
    parts = [f"{kind} {names}" for kind, names in differences.items() if names]
    types = [f"{f.name} is {type_}, not {f.type}" for f, type_ in mistyped if not type_.equals(f.type)]
    parts += [", ".join(types)] if types else []
    if not parts and names != expected:
        parts.append("same columns in another order")
    return "; ".join(parts)
