"""Range of each scaled feature over the training sessions of a shard; the scaler is fitted on all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skip_pipeline import schema


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
