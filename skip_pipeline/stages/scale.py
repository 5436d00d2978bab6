"""Scaling: track features mapped to [0, 1], by their ranges over training sessions alone.

The ranges of shards merge, so a table larger than memory is scaled in two passes over its shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.settings import SESSIONS_FOLDER, DataSource
from skip_pipeline.storage import Made, Manifest, read_table, write_table

_NOTHING_KNOWN: Final = 0.5
"""Scaled value of a feature that is known of no training row: the middle of the range."""


def _no_fill() -> np.ndarray:
    return np.full(len(schema.SCALED_FEATURES), np.nan)


@dataclass(frozen=True)
class Scaler:
    """``x' = clip((x - low) / (high - low), 0, 1)``, per feature; the divisor is 1 where high equals low.

    The min-max formula of scikit-learn's ``MinMaxScaler(clip=True)``. Only values of validation and test rows
    are clipped: no value of a training row is beyond the range. A value that is not known becomes the mean of
    the scaled values that are known of training rows; so does every value of a feature without any.
    """

    # float64 (29,), in the order of ``schema.SCALED_FEATURES``; NaN for a feature known of no training row
    low: np.ndarray
    high: np.ndarray
    # float64 (29,), scaled value where a feature is not known; NaN for a feature known of every track
    fill: np.ndarray = field(default_factory=_no_fill)

    def apply(self, encoded: pa.Table) -> tuple[pa.Table, int]:
        """Scale one encoded shard: ``schema.SCALED``, and how many values were clipped."""
        columns = {name: encoded[name] for name in encoded.column_names}
        clipped = 0
        wide = np.empty(encoded.num_rows)
        scaled = np.empty((len(schema.SCALED_FEATURES), encoded.num_rows), np.float32)
        for i, name in enumerate(schema.SCALED_FEATURES):
            clipped += self.scale_column(i, encoded[name], out=wide)
            scaled[i] = wide
            columns[name] = pa.array(scaled[i])
        return pa.Table.from_arrays([columns[n] for n in schema.SCALED.names], schema=schema.SCALED), clipped

    def scale_column(self, i: int, values: pa.ChunkedArray, *, out: np.ndarray) -> int:
        """Scale values of feature ``i``, null where unknown, to float64 (n,); and count the clipped ones."""
        if np.isnan(self.low[i]):
            out[:] = self.fill[i]
            return 0
        if not values.null_count:
            return scale_features(values.to_numpy(), self.low[i], self.high[i], out=out)
        known = values.drop_null().to_numpy()
        wide = np.empty(len(known))
        clipped = scale_features(known, self.low[i], self.high[i], out=wide)
        out[:] = self.fill[i]
        out[np.asarray(values.is_valid())] = wide
        return clipped

    def to_json(self) -> dict[str, Any]:
        """Names, lows, highs and fills as JSON values, None for NaN; floats survive the round trip."""
        numbers = {"low": self.low, "high": self.high, "fill": self.fill}
        return {"features": list(schema.SCALED_FEATURES)} | {
            name: [None if np.isnan(value) else value for value in values.tolist()]
            for name, values in numbers.items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Scaler:
        """Inverse of ``to_json``; a scaler of an earlier version, without fills, knew every feature.

        Raises:
            ContractError: the features are not this version's.
        """
        if content.get("features") != list(schema.SCALED_FEATURES):
            fact = "the scaler was fitted on other features than this version scales"
            raise ContractError(f"{fact}; materialize scaled_table again")
        return cls(
            low=np.array(content["low"], np.float64),
            high=np.array(content["high"], np.float64),
            fill=np.array(content["fill"], np.float64) if "fill" in content else _no_fill(),
        )


def scale_features(
    values: np.ndarray, low: np.ndarray | np.float64, high: np.ndarray | np.float64, *, out: np.ndarray
) -> int:
    """Map features to [0, 1] by the formula of ``Scaler``, and count the values that were clipped.

    Args:
        values: of one feature (n,), or of several (n, k); they may be ``out`` itself.
        low, high: of each feature, a number or float64 (k,).
        out: gets the scaled values, float64.
    """
    if len(values) == 0:
        return 0
    clipped = 0
    if np.any(values.min(axis=0) < low) or np.any(values.max(axis=0) > high):
        clipped = int(np.count_nonzero((values < low) | (values > high)))
    span = high - low
    np.subtract(values, low, out=out)
    np.divide(out, np.where(span > 0, span, 1.0), out=out)
    if clipped:
        np.clip(out, 0.0, 1.0, out=out)
    return clipped


def fit_scaler(ranges: Iterable[Mapping[str, Any] | None]) -> Scaler:
    """The scaler of all shards, from the ``encode.feature_range`` of each.

    Raises:
        TrainingError: no shard has a training session.
    """
    found = [each for each in ranges if each is not None]
    if not found:
        raise TrainingError(
            "no session falls into the training split, so there is nothing to fit the scaler on; "
            "deliver more sessions (about seven in ten are for training)"
        )
    # None becomes NaN, which fmin and fmax pass over.
    low = np.fmin.reduce(np.array([each["low"] for each in found], np.float64))
    high = np.fmax.reduce(np.array([each["high"] for each in found], np.float64))
    fill = _no_fill()
    for name in found[0]["sum"]:
        i = schema.SCALED_FEATURES.index(name)
        total, known = (sum(each[of][name] for each in found) for of in ("sum", "known"))
        mean = np.array([total / known if known else np.nan])
        scale_features(mean, low[i], high[i], out=mean)
        fill[i] = mean[0] if known else _NOTHING_KNOWN
    return Scaler(low, high, fill)


def scale_shard(shard: str, encoded: Manifest, *, scaler: Scaler, out: Path, data_source: DataSource) -> Made:
    """Scale one shard of the encoded table, and copy its sessions."""
    table, clipped = scaler.apply(read_table(encoded.path(shard), schema.ENCODED))
    write_table(table, out / shard, schema.SCALED, data_source=data_source, may_be_null=schema.NULL_IN_SCALED)
    sessions = read_table(encoded.path(f"{SESSIONS_FOLDER}/{shard}"), schema.SESSIONS)
    (out / SESSIONS_FOLDER).mkdir()
    write_table(sessions, out / SESSIONS_FOLDER / shard, schema.SESSIONS, data_source=data_source)
    return Made((shard, f"{SESSIONS_FOLDER}/{shard}"), {"rows": table.num_rows, "values_clipped": clipped})
