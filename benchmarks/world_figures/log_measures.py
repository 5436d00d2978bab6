"""Figures of a session log that count rows or sessions: shares, rates given something, seeks, dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.world_figures.published import cell
from benchmarks.world_figures.track_measures import describe, shares
from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.settings import EXAMPLES_SHOWN

SKIPS: Final = ("skip_1", "skip_2", "skip_3", schema.LABEL)
ROW_FLAGS: Final = (
    "context_switch",
    "no_pause_before_play",
    "short_pause_before_play",
    "long_pause_before_play",
    "hist_user_behavior_is_shuffle",
    "premium",
)
SEEKS: Final = ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")
CATEGORIES: Final = ("context_type", "hist_user_behavior_reason_start", "hist_user_behavior_reason_end")
CONTEXT, START, END = CATEGORIES

SEEK_QUANTILE: Final = 0.999  # printed by Puspha22/spotify-skip-prediction, EDA-PCA.ipynb

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class LogColumns:
    """A session log as arrays, every one (rows,), in file order.

    Attributes:
        session: number of the row's session, ascending from 0.
        first: rows that open a session.
        last: rows that close one.
        flags: 0/1 columns and one-hot levels by raw name, such as ``hist_user_behavior_reason_end_fwdbtn``.
        numbers: integer columns by raw name.
        levels: categorical columns and ``date`` as Arrow dictionaries.
    """

    session: npt.NDArray[np.intp]
    first: Flags
    last: Flags
    flags: Mapping[str, Flags]
    numbers: Mapping[str, Numbers]
    levels: Mapping[str, pa.DictionaryArray]

    @classmethod
    def of(cls, log: pa.Table) -> LogColumns:
        """Take a log of the raw contract apart.

        Raises:
            BadInputError: the rows of a session do not lie together.
        """
        sessions = _dictionary(log, schema.SESSION_ID)
        ids = np.asarray(sessions.indices)
        first = np.diff(ids, prepend=-1) != 0
        _check_together(sessions, ids[first])
        levels = {name: _dictionary(log, name) for name in (*CATEGORIES, schema.DATE)}
        flags = {name: np.asarray(log[name].to_numpy(), dtype=bool) for name in (*SKIPS, *ROW_FLAGS)}
        for name in CATEGORIES:
            for level in schema.LEVELS[name]:
                flags[schema.indicator(name, level)] = np.asarray(pc.equal(levels[name], level))
        names = (schema.POSITION, schema.LENGTH, "hour_of_day", *SEEKS)
        return cls(
            session=np.cumsum(first) - 1,
            first=first,
            last=np.append(first[1:], True),
            flags=flags,
            numbers={name: log[name].to_numpy().astype(np.int64) for name in names},
            levels=levels,
        )

    def one_hot(self, column: str) -> dict[str, Flags]:
        """Rows of each level in the vocabulary of a categorical column."""
        return {level: self.flags[schema.indicator(column, level)] for level in schema.LEVELS[column]}


def _dictionary(log: pa.Table, column: str) -> pa.DictionaryArray:
    return log[column].combine_chunks().dictionary_encode()


def _check_together(sessions: pa.DictionaryArray, runs: npt.NDArray[np.int32]) -> None:
    apart = np.flatnonzero(np.bincount(runs) > 1)
    if len(apart):
        examples = ", ".join(sessions.dictionary[int(i)].as_py() for i in apart[:EXAMPLES_SHOWN])
        raise BadInputError(
            f"column {schema.SESSION_ID}: the rows of {len(apart):,} sessions lie apart, such as {examples}; "
            "expected each session in one file, its rows one after the other. Sort the log by session"
        )


def rates(of: Flags, within: Mapping[str, Flags]) -> dict[str, float]:
    """Share of rows with ``of`` among the rows of each name; names without rows are left out."""
    return {name: float(of[rows].mean()) for name, rows in within.items() if rows.any()}


def cross_table(within: Mapping[str, Flags], of: Mapping[str, Flags]) -> dict[str, float]:
    """Rates of every column within every row of a table."""
    return {
        cell(row, column): rate for column, flags in of.items() for row, rate in rates(flags, within).items()
    }


def means(flags: Mapping[str, Flags]) -> dict[str, float]:
    """Share of rows with each flag; none where there are no rows."""
    return {name: float(values.mean()) for name, values in flags.items() if len(values)}


def count_figures(log: LogColumns) -> dict[str, Mapping[str, float]]:
    """Figures that count rows or sessions of the whole log."""
    flags, numbers = log.flags, log.numbers
    skips = {name: flags[name] for name in SKIPS}
    lengths, premium = numbers[schema.LENGTH], flags["premium"]
    by_length = shares(lengths[log.first])
    premium_share = np.bincount(log.session, weights=premium) / np.bincount(log.session)
    position = {str(i): numbers[schema.POSITION] == i for i in range(1, schema.MAX_SESSION_LENGTH + 1)}
    dates = _level_shares(log.levels[schema.DATE])
    skip_2_by_position = rates(flags["skip_2"], position)
    return {
        "sessions_by_length": by_length,
        "full_sessions_by_length": by_length,
        "rows_by_length": shares(lengths),
        "rows_by_position": shares(numbers[schema.POSITION]),
        "session_length_of_rows": describe({schema.LENGTH: lengths}),
        "skip_flags": means(skips),
        "full_skip_flags": means(skips),
        "full_first_file": means(skips),
        **_nesting(flags),
        "last_track": {name: float(values[log.last].mean()) for name, values in skips.items()},
        **{name: _level_shares(log.levels[name]) for name in CATEGORIES},
        "row_flags": means({name: flags[name] for name in ROW_FLAGS}),
        "premium_by_session": {
            "all rows": float((premium_share == 1).mean()),
            "no row": float((premium_share == 0).mean()),
            "some rows": float(((premium_share > 0) & (premium_share < 1)).mean()),
        },
        "full_premium": {"premium": float(premium[log.first].mean())},
        "seeks": _seeks(numbers),
        "hours": shares(numbers["hour_of_day"]),
        "hour_of_rows": describe({"hour_of_day": numbers["hour_of_day"]}),
        "dates": dates,
        "dates_distinct": {"dates": float(len(dates))},
        "full_years": _years(log),
        "full_distinct_per_session": _distinct_per_session(log),
        "skip_2_by_position": skip_2_by_position,
        "full_skip_2_by_position": skip_2_by_position,
        "start_follows_end": _start_follows_end(log),
    }


def conditional_figures(log: LogColumns) -> dict[str, Mapping[str, float]]:
    """Rates of skips by hour, context, premium and level, over the whole log."""
    flags, skip_2 = log.flags, log.flags["skip_2"]
    hours = {str(hour): log.numbers["hour_of_day"] == hour for hour in range(24)}
    return {
        "skip_2_by_hour": rates(skip_2, hours),
        "skip_2_by_context_type": rates(skip_2, log.one_hot(CONTEXT)),
        "skip_2_by_premium": rates(skip_2, {"false": ~flags["premium"], "true": flags["premium"]}),
        "not_skipped_by_level": rates(flags[schema.LABEL], flags),
    }


def filtered_figures(log: LogColumns, kept: Flags, mode_major: Flags) -> dict[str, Mapping[str, float]]:
    """Figures that were published for the rows an outlier filter keeps.

    Args:
        kept: those rows, (rows,).
        mode_major: whether the track played is in a major key, (rows,).
    """
    flags = {name: values[kept] for name, values in log.flags.items()}
    by_column = {
        name: {level: flags[schema.indicator(name, level)] for level in schema.LEVELS[name]}
        for name in CATEGORIES
    }
    row_flags = {name: flags[name] for name in ROW_FLAGS}
    no, short, long = (flags[f"{pause}_pause_before_play"] for pause in ("no", "short", "long"))
    return {
        "filter": {"kept": float(kept.mean())},
        "skip_2_by_level": rates(flags["skip_2"], {**flags, "mode_major": mode_major[kept]}),
        "pauses_joint": means(
            {
                "short and long": short & long,
                "no and short": no & short,
                "no and long": no & long,
                "none of the three": ~(no | short | long),
            }
        ),
        "reason_end_by_reason_start": cross_table(by_column[START], by_column[END]),
        "reason_start_by_context_type": cross_table(by_column[CONTEXT], by_column[START]),
        "flags_by_context_type": cross_table(by_column[CONTEXT], row_flags),
        "flags_by_reason_start": cross_table(by_column[START], row_flags),
    }


def _nesting(flags: Mapping[str, Flags]) -> dict[str, Mapping[str, float]]:
    one, two, three, played = (flags[name] for name in SKIPS)
    return {
        "skip_flags_joint": means(
            {
                "skip_1": one,
                "skip_2 without skip_1": two & ~one,
                "skip_3 without skip_2": three & ~two,
                "not_skipped": played,
                "none of the four": ~(one | two | three | played),
            }
        ),
        "skip_flags_nesting": {
            "skip_1 without skip_2": float((one & ~two).sum()),
            "skip_2 without skip_3": float((two & ~three).sum()),
            "not_skipped with skip_3": float((played & three).sum()),
        },
    }


def _seeks(numbers: Mapping[str, Numbers]) -> dict[str, float]:
    figures = describe({name: numbers[name] for name in SEEKS})
    for name in SEEKS:
        values = numbers[name]
        figures[cell(name, "99.9%")] = float(np.quantile(values, SEEK_QUANTILE))
        figures[cell(name, "rows of 1 or more")] = float((values >= 1).sum())
        figures[cell(name, "distinct values")] = float(len(np.unique(values)))
    return figures


def _level_shares(levels: pa.DictionaryArray) -> dict[str, float]:
    counts = np.bincount(np.asarray(levels.indices), minlength=len(levels.dictionary))
    return dict(zip(levels.dictionary.to_pylist(), (counts / len(levels)).tolist(), strict=True))


def _years(log: LogColumns) -> dict[str, float]:
    dates = log.levels[schema.DATE].filter(pa.array(log.first))
    return _level_shares(pc.utf8_slice_codeunits(dates.cast(pa.string()), 0, 4).dictionary_encode())


def _distinct_per_session(log: LogColumns) -> dict[str, float]:
    codes = {
        **{name: log.flags[name].astype(np.int64) for name in ROW_FLAGS},
        **{name: log.numbers[name] for name in SEEKS},
        **{name: np.asarray(levels.indices, dtype=np.int64) for name, levels in log.levels.items()},
    }
    sessions = int(log.session[-1]) + 1
    return {
        name: len(np.unique(log.session * (int(values.max()) + 1) + values)) / sessions
        for name, values in codes.items()
    }


def _start_follows_end(log: LogColumns) -> dict[str, float]:
    """How often a track starts for the reason that ended the one before it in its session."""
    start, end = (pc.cast(log.levels[name], pa.string()) for name in (START, END))
    within = ~log.first[1:]
    if not within.any():
        return {}
    return {"same reason": float(np.asarray(pc.equal(start[1:], end[:-1]))[within].mean())}
