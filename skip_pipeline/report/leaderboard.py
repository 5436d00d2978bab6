"""Every model on the same test sessions: scores with intervals, and how far each is from the network.

All models are resampled together, so that differences are paired: what makes a session hard makes it hard
for each of them, and leaves the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics import curves
from skip_pipeline.metrics import scores as evaluate
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
    """Who predicts the test sessions.

    Attributes:
        name: identifies it in metrics, such as ``logistic_regression``.
        title: in words.
        description: one sentence.
        kind: of oracles there are some for synthetic data alone, and nobody could train one.
        p_not_skipped: float (n,), of each test session.
        threshold: probability from which on it predicts "not skipped".
        seconds: that training took; None where nothing is trained.
        parameters: that were learnt; None where they are not counted.
    """

    name: str
    title: str
    description: str
    kind: Kind
    p_not_skipped: np.ndarray
    threshold: float = DECISION_THRESHOLD
    seconds: float | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Entry:
    """One model's scores on the test sessions.

    Attributes:
        accuracy, log_loss, roc_auc, brier: see ``evaluate.SplitScores``. The interval of ROC AUC is that of
            its linear part, ``evaluate.roc_auc_shares``.
        pr_auc: ``evaluate.average_precision``, without an interval.
        ece: ``curves.expected_calibration_error``, without an interval: resampling adds to the chance that
            is in it already.
        ece_by_chance: ``curves.calibration_error_by_chance``.
        log_loss_difference, accuracy_difference: this model's minus the network's, paired; None for itself.
    """

    name: str
    title: str
    description: str
    kind: Kind
    threshold: float
    seconds: float | None
    parameters: int | None
    accuracy: Estimate
    log_loss: Estimate
    roc_auc: Estimate
    brier: Estimate
    pr_auc: float
    ece: float
    ece_by_chance: float
    log_loss_difference: Estimate | None
    accuracy_difference: Estimate | None


@dataclass(frozen=True)
class Leaderboard:
    """Every model, the lowest log-loss first.

    Attributes:
        sessions: number of test sessions, the same for all.
        share_not_skipped: of them; what a coin gets as PR AUC.
        entries: sorted by log-loss, then by name.
    """

    sessions: int
    share_not_skipped: float
    entries: tuple[Entry, ...]

    @property
    def network(self) -> Entry:
        """The network's own entry."""
        return next(entry for entry in self.entries if entry.kind == "network")

    @property
    def contestants(self) -> tuple[Entry, ...]:
        """All that can be trained: without the oracles."""
        return tuple(entry for entry in self.entries if entry.kind != "oracle")

    def metrics(self) -> dict[str, Any]:
        """Everything as JSON values, but for training seconds, which differ between identical runs."""
        return {
            "sessions": self.sessions,
            "share_not_skipped": self.share_not_skipped,
            "interval": {"confidence": CONFIDENCE, "resamples": BOOTSTRAP_RESAMPLES, "seed": BOOTSTRAP_SEED},
            "ece_bins": CALIBRATION_BINS,
            "models": [_json(entry) for entry in self.entries],
        }

    def seconds(self) -> dict[str, float]:
        """Seconds of training by name, of those that were trained."""
        return {entry.name: entry.seconds for entry in self.entries if entry.seconds is not None}

    def table(self) -> dict[str, Any]:
        """The same table as ``rows``, as MLflow writes one: ``columns`` and ``data``."""
        rows = self.rows()
        return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """A table of plain values, one row per model, an interval in two columns."""
        return [_row(rank, entry) for rank, entry in enumerate(self.entries, start=1)]


_WITH_INTERVAL: Final = (
    "log_loss",
    "log_loss_difference",
    "accuracy",
    "accuracy_difference",
    "roc_auc",
    "brier",
)


def _json(entry: Entry) -> dict[str, Any]:
    values = asdict(entry)
    del values["seconds"]
    for name in ("log_loss_difference", "accuracy_difference"):
        difference: Estimate | None = getattr(entry, name)
        if difference:
            values[name]["beyond_chance"] = difference.excludes_zero
    return values


def _row(rank: int, entry: Entry) -> dict[str, str | int | float | None]:
    row: dict[str, str | int | float | None] = {"rank": rank, "model": entry.title, "kind": entry.kind}
    for name in _WITH_INTERVAL:
        estimate: Estimate | None = getattr(entry, name)
        row[name] = estimate.value if estimate else None
        row[f"{name}_low"] = estimate.low if estimate else None
        row[f"{name}_high"] = estimate.high if estimate else None
    return row | {
        "pr_auc": entry.pr_auc,
        "ece": entry.ece,
        "threshold": entry.threshold,
        "parameters": entry.parameters,
        "seconds": entry.seconds,
    }


def compare(not_skipped: np.ndarray, models: Sequence[Model]) -> Leaderboard:
    """Score every model on the same sessions, each with its intervals and its difference to the network.

    Memory is bounded by a block of resamples (``bootstrap.resampled``) and by six columns a model.

    Args:
        not_skipped: labels (n,), 0 or 1.
        models: exactly one of kind ``network``.

    Raises:
        ContractError: no network or several, two models of one name; see also ``evaluate.score``.
        TrainingError: see ``evaluate.score``.
    """
    _check(models)
    for model in models:
        evaluate.check_probabilities(not_skipped, model.p_not_skipped)
    evaluate.need_both_outcomes(not_skipped, "the test sessions")
    estimated = _estimated(not_skipped, models)
    entries = (_entry(not_skipped, model, estimated[model.name]) for model in models)
    return Leaderboard(
        sessions=len(not_skipped),
        share_not_skipped=float(np.mean(not_skipped)),
        entries=tuple(sorted(entries, key=lambda entry: (entry.log_loss.value, entry.name))),
    )


def _check(models: Sequence[Model]) -> None:
    names = [model.name for model in models]
    networks = [model.name for model in models if model.kind == "network"]
    if len(networks) != 1:
        raise ContractError(f"{len(networks)} networks are to be compared, {networks}; expected exactly one")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"models {twice} come twice; give every model a name of its own")


def _estimated(not_skipped: np.ndarray, models: Sequence[Model]) -> dict[str, dict[str, Estimate]]:
    """Per model: log-loss, accuracy, Brier score, ROC AUC, and the first two minus the network's."""
    own = next(model for model in models if model.kind == "network")
    of_network = _session_scores(not_skipped, own)
    columns = []
    for model in models:
        scores = _session_scores(not_skipped, model)
        columns += [*scores, *(a - b for a, b in zip(scores[:2], of_network[:2], strict=True))]
    found = iter(estimate_means(np.column_stack(columns)))
    return {model.name: {name: next(found) for name in _ESTIMATED} for model in models}


_ESTIMATED: Final = ("log_loss", "accuracy", "brier", "roc_auc", "log_loss_difference", "accuracy_difference")


def _session_scores(not_skipped: np.ndarray, model: Model) -> list[np.ndarray]:
    """What each session adds to log-loss, accuracy, Brier score and ROC AUC: float64 (n,) each."""
    p = model.p_not_skipped
    return [
        evaluate.losses(not_skipped, p),
        evaluate.correct(not_skipped, p, model.threshold).astype(np.float64),
        (p.astype(np.float64) - not_skipped) ** 2,
        evaluate.roc_auc_shares(not_skipped, p),
    ]


def _entry(not_skipped: np.ndarray, model: Model, estimated: dict[str, Estimate]) -> Entry:
    itself = model.kind == "network"
    reliability = curves.reliability_curve(not_skipped, model.p_not_skipped)
    return Entry(
        name=model.name,
        title=model.title,
        description=model.description,
        kind=model.kind,
        threshold=model.threshold,
        seconds=model.seconds,
        parameters=model.parameters,
        accuracy=estimated["accuracy"],
        log_loss=estimated["log_loss"],
        roc_auc=estimated["roc_auc"],
        brier=estimated["brier"],
        pr_auc=evaluate.average_precision(not_skipped, model.p_not_skipped),
        ece=curves.expected_calibration_error(reliability),
        ece_by_chance=curves.calibration_error_by_chance(reliability),
        log_loss_difference=None if itself else estimated["log_loss_difference"],
        accuracy_difference=None if itself else estimated["accuracy_difference"],
    )
