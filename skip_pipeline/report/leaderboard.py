"""Every model on the same test sessions: scores with intervals, and differences from the network.

All models are scored on the same resamples, so that differences are paired: a session that is hard for every
model cancels out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from sklearn.metrics import average_precision_score

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics import curves, scores
from skip_pipeline.metrics.intervals import Estimate, estimate_means
from skip_pipeline.settings import (
    BOOTSTRAP_RESAMPLES,
    BOOTSTRAP_SEED,
    CALIBRATION_BINS,
    CONFIDENCE,
    DECISION_THRESHOLD,
)

Kind = Literal["network", "baseline", "oracle"]


@dataclass(frozen=True)
class Model:
    """Facts about a model.

    Attributes:
        name: its key in metrics, such as ``logistic_regression``.
        title: its name on the page.
        description: one sentence.
        kind: an oracle is known for synthetic data only, and cannot be trained.
        threshold: it predicts "not skipped" from this probability on.
        seconds: of training; None if it is not trained.
        parameters: number learnt; None if it is not known.
    """

    name: str
    title: str
    description: str
    kind: Kind
    threshold: float = DECISION_THRESHOLD
    seconds: float | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Entry:
    """One model's scores on the test sessions.

    Attributes:
        log_loss, accuracy, brier, roc_auc: see ``metrics.scores.SplitScores``.
        pr_auc: average precision of "not skipped".
        log_loss_difference, accuracy_difference: this model's minus the network's, paired; None for the
            network.
    """

    model: Model
    log_loss: Estimate
    accuracy: Estimate
    brier: Estimate
    roc_auc: Estimate
    log_loss_difference: Estimate | None
    accuracy_difference: Estimate | None
    pr_auc: float
    roc: curves.RocCurve
    reliability: tuple[curves.ReliabilityBin, ...]

    @property
    def ece(self) -> float:
        """Expected calibration error; resampling would add to the chance in it, so it has no interval."""
        return curves.expected_calibration_error(self.reliability)

    @property
    def ece_by_chance(self) -> float:
        """Expected calibration error if all probabilities were right."""
        return curves.calibration_error_by_chance(self.reliability)

    def metrics(self) -> dict[str, Any]:
        """As JSON values, without training seconds, which differ between identical runs."""
        values = asdict(self.model)
        del values["seconds"]
        for name in ESTIMATED:
            estimate: Estimate | None = getattr(self, name)
            values[name] = asdict(estimate) if estimate else None
            if estimate and name.endswith("_difference"):
                values[name]["beyond_chance"] = estimate.excludes_zero
        return values | {"pr_auc": self.pr_auc, "ece": self.ece, "ece_by_chance": self.ece_by_chance}

    def row(self) -> dict[str, str | int | float | None]:
        """As plain values, an interval in two columns."""
        row: dict[str, str | int | float | None] = {"model": self.model.title, "kind": self.model.kind}
        for name in ESTIMATED:
            estimate: Estimate | None = getattr(self, name)
            row[name] = estimate.value if estimate else None
            row[f"{name}_low"] = estimate.low if estimate else None
            row[f"{name}_high"] = estimate.high if estimate else None
        return row | {
            "pr_auc": self.pr_auc,
            "ece": self.ece,
            "threshold": self.model.threshold,
            "parameters": self.model.parameters,
            "seconds": self.model.seconds,
        }


ESTIMATED: Final = ("log_loss", "log_loss_difference", "accuracy", "accuracy_difference", "roc_auc", "brier")
"""Scores with an interval, in the order shown."""


@dataclass(frozen=True)
class Leaderboard:
    """Every model on the test sessions.

    Attributes:
        sessions: number of test sessions.
        share_not_skipped: of them; the PR AUC of a constant.
        entries: sorted by log-loss, then by name.
    """

    sessions: int
    share_not_skipped: float
    entries: tuple[Entry, ...]

    @property
    def network(self) -> Entry:
        """The network's own entry."""
        return next(entry for entry in self.entries if entry.model.kind == "network")

    @property
    def trainable(self) -> tuple[Entry, ...]:
        """All but the oracles."""
        return tuple(entry for entry in self.entries if entry.model.kind != "oracle")

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sessions": self.sessions,
            "share_not_skipped": self.share_not_skipped,
            "interval": {"confidence": CONFIDENCE, "resamples": BOOTSTRAP_RESAMPLES, "seed": BOOTSTRAP_SEED},
            "ece_bins": CALIBRATION_BINS,
            "models": [entry.metrics() for entry in self.entries],
        }

    def seconds(self) -> dict[str, float]:
        """Training seconds by name, of the models that were trained."""
        models = [entry.model for entry in self.entries]
        return {model.name: model.seconds for model in models if model.seconds is not None}

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """A table of plain values, one row per model."""
        return [{"rank": rank} | entry.row() for rank, entry in enumerate(self.entries, start=1)]

    def table(self) -> dict[str, Any]:
        """``rows`` in MLflow's own format of a table, ``columns`` and ``data``."""
        rows = self.rows()
        return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def compare(not_skipped: np.ndarray, predictions: Mapping[Model, np.ndarray]) -> Leaderboard:
    """Score every model on the same sessions.

    Args:
        not_skipped: labels (n,), 0 or 1.
        predictions: probabilities (n,) of each model, of which exactly one is of kind ``network``.

    Raises:
        ContractError: there is no network or several, or two models have one name.
        ContractError, TrainingError: see ``metrics.scores.score``.
    """
    networks = [model for model in predictions if model.kind == "network"]
    if len(networks) != 1:
        names = [model.name for model in networks]
        raise ContractError(f"{len(networks)} networks are to be compared, {names}; expected exactly one")
    names = [model.name for model in predictions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"models {twice} come twice; give every model a name of its own")
    for p in predictions.values():
        scores.check_probabilities(not_skipped, p)
    scores.need_both_outcomes(not_skipped, "the test sessions")

    network = _session_scores(not_skipped, predictions[networks[0]], networks[0].threshold)
    columns: list[dict[str, np.ndarray]] = []
    for model, p in predictions.items():
        values = _session_scores(not_skipped, p, model.threshold)
        for name in ("log_loss", "accuracy"):
            values[f"{name}_difference"] = values[name] - network[name]
        columns.append(values)
    found = iter(estimate_means(np.column_stack([value for values in columns for value in values.values()])))
    entries = []
    for (model, p), values in zip(predictions.items(), columns, strict=True):
        estimates: dict[str, Any] = {name: next(found) for name in values}
        if model.kind == "network":
            estimates |= {"log_loss_difference": None, "accuracy_difference": None}
        entries.append(
            Entry(
                model,
                **estimates,
                pr_auc=float(average_precision_score(not_skipped, p)),
                roc=curves.roc_curve(not_skipped, p),
                reliability=curves.reliability_curve(not_skipped, p),
            )
        )
    entries.sort(key=lambda entry: (entry.log_loss.value, entry.model.name))
    return Leaderboard(len(not_skipped), float(np.mean(not_skipped)), tuple(entries))


def _session_scores(not_skipped: np.ndarray, p: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """Each session's contribution to the scores, whose means are the scores: float64 (n,) each."""
    return {
        "log_loss": scores.losses(not_skipped, p),
        "accuracy": scores.correct(not_skipped, p, threshold).astype(np.float64),
        "brier": (p.astype(np.float64) - not_skipped) ** 2,
        "roc_auc": scores.roc_auc_pseudovalues(not_skipped, p),
    }
