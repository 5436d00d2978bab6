"""Values that are odd but accepted: levels outside the vocabulary, dates with a time, implausible dates."""

import datetime as dt
from collections.abc import Collection
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.raw.text_columns import dictionary_of, value_counts

_MIDNIGHT: Final = r"[ T]00:00(:00(\.0+)?)?$"


def unknown_levels(table: pa.Table, *, may_be_empty: Collection[str] = ()) -> dict[str, dict[str, int]]:
    """Per categorical column of the table, rows by level outside the vocabulary; empty if none.

    Empty text in a column that may be empty is a value that is not known, and no level.
    """
    counts = {name: value_counts(table[name]) for name in schema.LEVELS if name in table.column_names}
    unknown = {
        name: {
            level: rows
            for level, rows in of.items()
            if level not in schema.LEVELS[name] and (level or name not in may_be_empty)
        }
        for name, of in counts.items()
    }
    return {name: levels for name, levels in unknown.items() if levels}


def without_midnight(dates: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dates without the time that pandas and spreadsheets may add: ``2018-07-15 00:00:00``.

    Args:
        dates: text as one dictionary.
    """
    values = dictionary_of(dates).dictionary
    if not pc.any(pc.match_substring_regex(values, _MIDNIGHT)).as_py():
        return dates
    plain = pc.replace_substring_regex(dates.cast(pa.string()), _MIDNIGHT, "")
    return pa.chunked_array([dictionary_of(plain)])


def is_junk_date(text: str, today: dt.date) -> bool:
    """Whether a date is not in ISO form, precedes the service, or follows the day after ``today``."""
    try:
        is_iso = dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return True
    return not is_iso or not schema.FIRST_PLAUSIBLE_DATE <= text <= str(today + dt.timedelta(days=1))
