"""Raw CSVs to the 69 encoded columns with duckdb, as one SQL query on all cores."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from benchmarks.one_run import Made
from skip_pipeline import schema
from skip_pipeline.raw import folder as raw_folder

_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.float32(): "FLOAT",
}


def merge_and_encode(raw: Path, _folder: Path) -> Made:
    """See ``encoded``."""
    table = encoded(raw)
    return Made(table, rows=table.num_rows, sessions=0)


def encoded(raw: Path) -> pa.Table:
    """The columns of ``schema.ENCODED``, ordered by session and position."""
    with duckdb.connect() as connection:
        return connection.sql(query(raw)).to_arrow_table()


def query(raw: Path) -> str:
    """The whole of it in SQL."""
    log = _scan(raw_folder.find_session_logs(raw), schema.SESSION_LOG)
    tracks = _scan(raw_folder.find_track_features(raw), schema.TRACK_FEATURES)
    source = {
        schema.SESSION_ID: f"dense_rank() OVER (ORDER BY log.{schema.SESSION_ID}) - 1",
        schema.LOG_TRACK_ID: "tracks.code",
    } | {
        schema.indicator(column, level): f"{column} = '{level}'"
        for column, levels in schema.LEVELS.items()
        for level in levels
    }
    columns = ", ".join(
        f'CAST({source.get(field.name, field.name)} AS {_TYPES[field.type]}) AS "{field.name}"'
        for field in schema.ENCODED
    )
    return f"""
        WITH tracks AS (
            SELECT *, row_number() OVER (ORDER BY {schema.TRACK_ID}) - 1 AS code FROM {tracks}
        )
        SELECT {columns}
        FROM {log} AS log LEFT JOIN tracks ON log.{schema.LOG_TRACK_ID} = tracks.{schema.TRACK_ID}
        ORDER BY log.{schema.SESSION_ID}, log.{schema.POSITION}
    """  # noqa: S608 - built from the schema and the names of local files


def _scan(paths: Iterable[Path], contract: pa.Schema) -> str:
    files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    types = ", ".join(f"'{field.name}': '{_TYPES[field.type]}'" for field in contract)
    return f"read_csv([{files}], header = true, types = {{{types}}})"
