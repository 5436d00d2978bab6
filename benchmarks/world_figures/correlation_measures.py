"""Correlations over tracks, over log rows, and with the label."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from benchmarks.world_figures.log_measures import LogColumns
from benchmarks.world_figures.published import pair
from skip_pipeline import schema

_UNPUBLISHED: Final = ("skip_1", "skip_3", schema.LABEL)  # dropped before the published matrix was computed

Columns = Mapping[str, npt.NDArray[Any]]


def correlations(columns: Columns) -> dict[str, float]:
    """Pearson correlation of every pair of columns, each (n,); pairs with a constant column are left out."""
    scaled = {name: standardized(values) for name, values in columns.items() if varies(values)}
    names = list(scaled)
    if not names:
        return {}
    rows = np.stack(list(scaled.values()))
    matrix = rows @ rows.T
    return {pair(names[i], names[j]): float(matrix[i, j]) for i, j in combinations(range(len(names)), 2)}


def varies(values: npt.NDArray[Any]) -> bool:
    """Whether a column has two different values, without which it has no correlation."""
    return bool(values.min() != values.max()) if len(values) else False


def standardized(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Deviations from the mean, scaled to length 1: a product of two such columns is their correlation."""
    deviations = values - values.mean(dtype=np.float64)
    return np.asarray(deviations / np.linalg.norm(deviations), dtype=np.float64)


def row_correlations(
    log: LogColumns, track_columns: Columns, kept: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Correlations of the 63 columns of a published matrix, over the rows its outlier filter keeps.

    Args:
        log: the whole log.
        track_columns: features and mode of the track each row plays, (rows,).
        kept: rows that pass the filter, (rows,).
    """
    flags = {name: values for name, values in log.flags.items() if name not in _UNPUBLISHED}
    columns = {**log.numbers, **flags, **track_columns}
    return correlations({name: values[kept] for name, values in columns.items()})


def label_correlations(log: LogColumns) -> dict[str, float]:
    """Correlation of ``not_skipped`` with every other column of the log, dates one-hot."""
    label = log.flags[schema.LABEL]
    if not varies(label):
        return {}
    dates = log.levels[schema.DATE]
    columns = {
        **{name: values for name, values in log.flags.items() if name != schema.LABEL},
        **log.numbers,
        **{
            schema.indicator(schema.DATE, date): np.asarray(pc.equal(dates, date))
            for date in dates.dictionary.to_pylist()
        },
    }
    scaled = standardized(label)
    varying = {name: values for name, values in columns.items() if varies(values)}
    return {name: float(scaled @ standardized(values)) for name, values in varying.items()}
