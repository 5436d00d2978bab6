"""Track features mapped to [0, 1], by ranges learnt on training sessions alone.

Ranges of shards merge, so a table larger than memory is scaled in two passes over its shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError


@dataclass(frozen=True)
class FeatureRange:
    """Smallest and largest value of each scaled feature over some rows.

    Attributes:
        low, high: float64 (29,), in the order of ``schema.SCALED_FEATURES``; +inf and -inf where there
            were no rows.
    """

    low: np.ndarray
    high: np.ndarray

    def to_json(self) -> dict[str, Any] | None:
        """Lows and highs as JSON values, which hold no infinity: None where there were no rows."""
        if not np.all(np.isfinite(self.low)):
            return None
        return {"low": self.low.tolist(), "high": self.high.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> FeatureRange:
        """Inverse of ``to_json``."""
        if content is None:
            nothing = np.full(len(schema.SCALED_FEATURES), np.inf)
            return cls(low=nothing, high=-nothing)
        return cls(low=np.array(content["low"], np.float64), high=np.array(content["high"], np.float64))


@dataclass(frozen=True)
class Scaler:
    """``x' = clip((x - low) / (high - low), 0, 1)``, per feature; the divisor is 1 where high equals low.

    The min-max formula of scikit-learn's ``MinMaxScaler(clip=True)``. Clipping concerns rows outside
    training only: their features may lie beyond anything training has seen.
    """

    low: np.ndarray
    high: np.ndarray

    def apply(self, encoded: pa.Table) -> tuple[pa.Table, int]:
        """Scale one encoded shard.

        Returns:
            69 columns (``schema.SCALED``), the scaled ones float32 in [0, 1]; and how many values were
            clipped.
        """
        columns = {name: encoded[name] for name in encoded.column_names}
        clipped = 0
        wide = np.empty(encoded.num_rows)
        for i, name in enumerate(schema.SCALED_FEATURES):
            clipped += scale_features(encoded[name].to_numpy(), self.low[i], self.high[i], out=wide)
            columns[name] = pa.array(wide.astype(np.float32))
        return pa.Table.from_arrays([columns[n] for n in schema.SCALED.names], schema=schema.SCALED), clipped

    def to_json(self) -> dict[str, Any]:
        """Names, lows and highs as JSON values; floats survive the round trip exactly."""
        return {
            "features": list(schema.SCALED_FEATURES),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Scaler:
        """Inverse of ``to_json``.

        Raises:
            ContractError: the features are not this version's.
        """
        if content.get("features") != list(schema.SCALED_FEATURES):
            raise ContractError(
                "the scaler was fitted on other features than this version scales; "
                "materialize scaled_table again"
            )
        return cls(low=np.array(content["low"], np.float64), high=np.array(content["high"], np.float64))


def scale_features(
    values: np.ndarray, low: np.ndarray | np.float64, high: np.ndarray | np.float64, *, out: np.ndarray
) -> int:
    """Map features to [0, 1] as ``Scaler`` says.

    Args:
        values: of one feature (n,), or of several (n, k); they may be ``out`` itself.
        low, high: of each feature, a number or float64 (k,).
        out: gets the scaled values, float64.

    Returns:
        How many values were clipped.
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


def scale_tracks(tracks: pa.Table, scaler: Scaler) -> np.ndarray:
    """The track matrix: each track's features, bit for bit those of its rows in the scaled table.

    Args:
        tracks: the track table (``schema.TRACK_FEATURES``), in the order of the tracks' codes.

    Returns:
        float32 (tracks, 31), ``schema.TRACK_BRANCH``.
    """
    matrix = np.empty((tracks.num_rows, len(schema.TRACK_BRANCH)), np.float32)
    wide = np.empty(tracks.num_rows)
    for i, name in enumerate(schema.TRACK_BRANCH):
        if name in schema.SCALED_FEATURES:
            codes = name == schema.LOG_TRACK_ID
            values = np.arange(tracks.num_rows) if codes else tracks[name].to_numpy()
            feature = schema.SCALED_FEATURES.index(name)
            scale_features(values, scaler.low[feature], scaler.high[feature], out=wide)
            matrix[:, i] = wide
    for level, name in zip(schema.LEVELS["mode"], schema.indicators("mode"), strict=True):
        matrix[:, schema.TRACK_BRANCH.index(name)] = pc.equal(tracks["mode"], level).to_numpy()
    return matrix


def feature_range(encoded: pa.Table, sessions: pa.Table) -> FeatureRange:
    """Range of each feature over one shard's rows of training sessions.

    Args:
        encoded: 69 columns (``schema.ENCODED``).
        sessions: the shard's ``schema.SESSIONS``, one row per session code.
    """
    training = sessions["split"].to_numpy() == "train"
    rows = training[encoded[schema.SESSION_ID].to_numpy()]
    low = np.full(len(schema.SCALED_FEATURES), np.inf)
    high = np.full(len(schema.SCALED_FEATURES), -np.inf)
    if rows.any():
        for i, name in enumerate(schema.SCALED_FEATURES):
            values = encoded[name].to_numpy()[rows]
            low[i], high[i] = values.min(), values.max()
    return FeatureRange(low=low, high=high)


def fit_scaler(ranges: Iterable[FeatureRange]) -> Scaler:
    """The scaler of all shards.

    Raises:
        TrainingError: no shard has a training session.
    """
    parts = list(ranges)
    low = np.min([part.low for part in parts], axis=0)
    high = np.max([part.high for part in parts], axis=0)
    if not np.all(np.isfinite(low)):
        raise TrainingError(
            "no session falls into the training split, so there is nothing to fit the scaler on; "
            "deliver more sessions (about seven in ten are for training)"
        )
    return Scaler(low=low, high=high)
