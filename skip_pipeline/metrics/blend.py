"""A weighted sum of the log-odds of several models: the answer of a version that is no network alone.

A stack's weights are at least 0. Its models make nearly the same errors, since they learn from the same
sessions and the trees know the regression's answer, so free weights become large with opposite signs, and
gain nothing on other sessions (Breiman, "Stacked regressions", Machine Learning 24, 1996).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics import calibration
from skip_pipeline.metrics.calibration import probability_of

NETWORK: Final = "network"
STACK: Final = "stack"

_LARGEST: Final = 20.0  # weight: perfectly separated tracks have no best one


@dataclass(frozen=True)
class Blend:
    """Log-odds are the sum of ``weights`` times the log-odds of each model, plus ``offset``."""

    weights: Mapping[str, float]  # by model, at least 0, at least one above 0
    offset: float
    threshold: float  # a track is predicted as played from this probability on
    tracks: int  # number of validation tracks that it was fitted to

    @property
    def kind(self) -> str:
        """The only model with a weight, or ``stack``."""
        weighted = [name for name, weight in self.weights.items() if weight > 0.0]
        return weighted[0] if len(weighted) == 1 else STACK

    def apply(self, log_odds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probability that tracks are played to their end: float64, of the shape of each model's log-odds.

        >>> blend = Blend({"network": 0.5, "trees": 0.5}, offset=0.0, threshold=0.5, tracks=9)
        >>> blend.apply({"network": np.array([2.0]), "trees": np.array([-2.0])}).tolist()
        [0.5]
        """
        total = np.stack([weight * log_odds[name] for name, weight in self.weights.items()]).sum(axis=0)
        return probability_of(total, offset=self.offset)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Blend:
        """Inverse of ``to_json``; a ``ContractError`` where a value is missing or impossible."""
        try:
            read = cls(
                weights={str(name): float(weight) for name, weight in content["weights"].items()},
                offset=float(content["offset"]),
                threshold=float(content["threshold"]),
                tracks=int(content["tracks"]),
            )
            usable = all(0 <= weight < np.inf for weight in read.weights.values())
            if not (usable and sum(read.weights.values()) > 0 and np.isfinite(read.offset)):
                raise ValueError(f"weights {dict(read.weights)}, offset {read.offset}")
            if not 0 < read.threshold < 1:
                raise ValueError(f"threshold {read.threshold}")
        except (KeyError, TypeError, ValueError, AttributeError) as damage:
            raise ContractError(
                f"the blend is damaged or of another version ({damage!r}), expected weights, offset, "
                "threshold and tracks; materialize best_model again"
            ) from damage
        return read


def fit(not_skipped: np.ndarray, log_odds: Mapping[str, np.ndarray], session_of: np.ndarray) -> Blend:
    """Fit weights by log-loss, then offset and threshold as of one model (``calibration.fit``).

    Args:
        not_skipped: labels of n tracks, 0 or 1.
        log_odds: of each model, float (n,).
        session_of: int (n,), number of each track's session.
    """
    labels = np.asarray(not_skipped, np.float64)
    columns = np.column_stack([*log_odds.values()]).astype(np.float64)  # (n, models)
    sign = 2.0 * labels - 1.0

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = columns @ weights
        return float(np.logaddexp(0.0, -sign * z).mean()), columns.T @ (expit(z) - labels) / len(labels)

    models = columns.shape[1]
    best = minimize(
        loss,
        np.full(models, 1.0 / models),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, _LARGEST)] * models,
        options={"ftol": 1e-13, "gtol": 1e-9},
    )
    fitted = calibration.fit(labels, probability_of(columns @ best.x), session_of)
    weights = dict(zip(log_odds, (fitted.slope * best.x).tolist(), strict=True))
    return Blend(weights, fitted.offset, fitted.threshold, fitted.tracks)
