"""Every model on the same test sessions: scores with intervals, and differences from the served model.

All models are scored on the same resamples, so that differences are paired: a session that is hard for every
model cancels out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from sklearn.metrics import average_precision_score

from skip_pipeline import settings
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics import curves, scores
from skip_pipeline.metrics.intervals import Estimate, estimate_means

Kind = Literal["served", "network", "baseline", "oracle"]
"""``served`` is a version that is no network alone. Only synthetic data have an oracle."""

Row = dict[str, str | int | float | None]

_ESTIMATED: Final = ("log_loss", "log_loss_difference", "accuracy", "accuracy_difference", "roc_auc", "brier")
"""Scores with an interval, in the order shown."""


@dataclass(frozen=True)
class Model:
    """Facts about a model."""

    name: str  # its key in metrics, such as "logistic_regression"
    title: str  # its name on the page
    description: str  # one sentence
    kind: Kind
    threshold: float = settings.DECISION_THRESHOLD  # it predicts "not skipped" from this probability on
    seconds: float | None = None  # of training; None if it is not trained
    parameters: int | None = None  # number learnt; None if it is not known


@dataclass(frozen=True)
class Entry:
    """One model's scores on the test sessions (``metrics.scores.SplitScores``)."""

    model: Model
    log_loss: Estimate
    accuracy: Estimate
    brier: Estimate
    roc_auc: Estimate
    log_loss_difference: Estimate | None  # this model's minus the served one's, paired; None for itself
    accuracy_difference: Estimate | None
    pr_auc: float  # average precision of "not skipped"
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
        for name, estimate in self._estimates().items():
            values[name] = asdict(estimate) if estimate else None
            if estimate and name.endswith("_difference"):
                values[name]["beyond_chance"] = estimate.excludes_zero
        return values | {"pr_auc": self.pr_auc, "ece": self.ece, "ece_by_chance": self.ece_by_chance}

    def row(self, rank: int) -> Row:
        """As plain values, the ends of an interval in columns of their own."""
        row: Row = {"rank": rank, "model": self.model.title, "kind": self.model.kind}
        for name, estimate in self._estimates().items():
            for end, column in (("value", name), ("low", f"{name}_low"), ("high", f"{name}_high")):
                row[column] = getattr(estimate, end, None)
        row |= {"pr_auc": self.pr_auc, "ece": self.ece}
        return row | {name: getattr(self.model, name) for name in ("threshold", "parameters", "seconds")}

    def _estimates(self) -> dict[str, Estimate | None]:
        return {name: getattr(self, name) for name in _ESTIMATED}


@dataclass(frozen=True)
class Leaderboard:
    """Every model on the test sessions."""

    sessions: int  # number of test sessions
    share_not_skipped: float  # of them; the PR AUC of a constant
    entries: tuple[Entry, ...]  # sorted by log-loss, then by name

    @property
    def served(self) -> Entry:
        """The entry of the model that is served."""
        model = served_of([entry.model for entry in self.entries])
        return next(entry for entry in self.entries if entry.model == model)

    @property
    def trainable(self) -> list[Entry]:
        """All but the oracles."""
        return [entry for entry in self.entries if entry.model.kind != "oracle"]

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sessions": self.sessions,
            "share_not_skipped": self.share_not_skipped,
            "interval": {
                "confidence": settings.CONFIDENCE,
                "resamples": settings.BOOTSTRAP_RESAMPLES,
                "seed": settings.BOOTSTRAP_SEED,
            },
            "ece_bins": settings.CALIBRATION_BINS,
            "models": [entry.metrics() for entry in self.entries],
        }

    def seconds(self) -> dict[str, float]:
        """Training seconds by name, of the models that were trained."""
        models = [entry.model for entry in self.entries]
        return {model.name: model.seconds for model in models if model.seconds is not None}

    def rows(self) -> list[Row]:
        """A table of plain values, one row per model."""
        return [entry.row(rank) for rank, entry in enumerate(self.entries, start=1)]

    def table(self) -> dict[str, Any]:
        """``rows`` in MLflow's own format of a table, ``columns`` and ``data``."""
        rows = self.rows()
        return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def served_of(models: Sequence[Model]) -> Model:
    """The model that is served: the one of kind ``served``, or the network if there is none.

    Raises:
        ContractError: not exactly one model is a network, or several are of kind ``served``.
    """
    networks = [model for model in models if model.kind == "network"]
    if len(networks) != 1:
        names = [model.name for model in networks]
        raise ContractError(f"{len(networks)} networks are to be compared, {names}; expected exactly one")
    served = [model for model in models if model.kind == "served"]
    if len(served) > 1:
        names = [model.name for model in served]
        raise ContractError(f"{len(served)} models are served, {names}; expected one at most")
    return (served or networks)[0]


def subject(model: Model) -> str:
    """What a sentence calls the model that is served."""
    return "the network" if model.kind == "network" else "the served model"


def compare(not_skipped: np.ndarray, predictions: Mapping[Model, np.ndarray]) -> Leaderboard:
    """Score probabilities (n,) of models, as for ``served_of``, on the labels (n,) of n sessions."""
    served = served_of(list(predictions))
    every = [model.name for model in predictions]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise ContractError(f"models {twice} come twice; give every model a name of its own")
    for p in predictions.values():
        scores.check_probabilities(not_skipped, p)
    scores.need_both_outcomes(not_skipped, "the test sessions")

    own = _session_scores(not_skipped, predictions[served], served.threshold)
    columns: dict[tuple[Model, str], np.ndarray] = {}
    for model, p in predictions.items():
        for name, values in _session_scores(not_skipped, p, model.threshold).items():
            columns[model, name] = values
            if name in ("log_loss", "accuracy"):
                columns[model, f"{name}_difference"] = values - own[name]
    found = dict(zip(columns, estimate_means(np.column_stack([*columns.values()])), strict=True))
    entries = []
    for model, p in predictions.items():
        estimates: dict[str, Any] = {name: found[model, name] for name in _ESTIMATED}
        if model is served:
            estimates |= {"log_loss_difference": None, "accuracy_difference": None}
        precision = float(average_precision_score(not_skipped, p))
        roc, reliability = curves.roc_curve(not_skipped, p), curves.reliability_curve(not_skipped, p)
        entries.append(Entry(model, **estimates, pr_auc=precision, roc=roc, reliability=reliability))
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
