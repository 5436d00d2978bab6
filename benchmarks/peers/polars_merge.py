"""Raw CSVs to the 69 encoded columns with polars, as one lazy query on all cores."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from benchmarks.one_run import Made
from skip_pipeline import schema
from skip_pipeline.raw import folder as raw_folder

_DTYPES: Final[Mapping[pa.DataType, type[pl.DataType]]] = {
    pa.string(): pl.String,
    pa.bool_(): pl.Boolean,
    pa.int8(): pl.Int8,
    pa.int16(): pl.Int16,
    pa.int32(): pl.Int32,
    pa.float32(): pl.Float32,
}


def merge_and_encode(raw: Path, _folder: Path) -> Made:
    """See ``encoded``."""
    table = encoded(raw)
    return Made(table, rows=table.height, sessions=0)


def encoded(raw: Path) -> pl.DataFrame:
    """The columns of ``schema.ENCODED``, ordered by session and position."""
    code = f"{schema.LOG_TRACK_ID}_code"
    log = _scan(raw_folder.find_session_logs(raw), schema.SESSION_LOG)
    tracks = _scan(raw_folder.find_track_features(raw), schema.TRACK_FEATURES)
    merged = (
        log.sort(schema.SESSION_ID, schema.POSITION)
        .join(
            tracks.sort(schema.TRACK_ID).with_row_index(code),
            left_on=schema.LOG_TRACK_ID,
            right_on=schema.TRACK_ID,
            how="left",
            maintain_order="left",
        )
        .with_columns(
            pl.col(schema.SESSION_ID).rle_id(),
            pl.col(code).alias(schema.LOG_TRACK_ID),
            *_indicators(),
        )
    )
    types = {field.name: _DTYPES[field.type] for field in schema.ENCODED}
    return merged.select(pl.col(name).cast(dtype) for name, dtype in types.items()).collect()


def _scan(paths: Iterable[Path], contract: pa.Schema) -> pl.LazyFrame:
    return pl.scan_csv(list(paths), schema_overrides={field.name: _DTYPES[field.type] for field in contract})


def _indicators() -> list[pl.Expr]:
    return [
        (pl.col(column) == level).alias(schema.indicator(column, level))
        for column, levels in schema.LEVELS.items()
        for level in levels
    ]
