"""What is odd in the data without being wrong: levels outside the vocabulary, dates that cannot be."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.raw.text_columns import value_counts


def unknown_levels(table: pa.Table) -> dict[str, dict[str, int]]:
    """Per categorical column of the table, rows by level outside the vocabulary; empty if none."""
    found = {}
    for column, levels in schema.LEVELS.items():
        if column not in table.column_names:
            continue
        counts = value_counts(table[column])
        if unknown := {level: count for level, count in counts.items() if level not in levels}:
            found[column] = unknown
    return found


def junk_dates(dates: pa.ChunkedArray, *, today: dt.date) -> dict[str, int]:
    """Rows by date that is no ISO date, precedes the service, or follows the day after ``today``."""
    latest = (today + dt.timedelta(days=1)).isoformat()
    return {
        text: count
        for text, count in value_counts(dates).items()
        if not (_is_iso_date(text) and schema.FIRST_PLAUSIBLE_DATE <= text <= latest)
    }


def _is_iso_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
