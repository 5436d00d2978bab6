"""Trained on the past, judged on the newest tenth: the split by time, and scores beside those by hash."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.metrics import every_track, scores
from skip_pipeline.metrics.intervals import Estimate, estimate_ratios
from skip_pipeline.report.own_listening import sittings
from skip_pipeline.settings import DECISION_THRESHOLD

NEWEST: Final = 0.1  # share of the sessions that are judged
_SCORES: Final = ("log_loss", "log_loss_difference", "accuracy", "accuracy_difference", "roc_auc")


@dataclass(frozen=True, eq=False)  # arrays have no hash
class Prediction:
    """Probabilities of one model for some sessions."""

    name: str  # the preset of a network, or one of ``schema.BASELINES``
    p_last: np.ndarray  # float64 (n,)
    p_tracks: np.ndarray | None  # float (n, 20); None of a network that answers the last track alone
    is_network: bool = False
    threshold: float = DECISION_THRESHOLD


@dataclass(frozen=True)
class ModelScores:
    """Scores of one model; differences are its own minus the network's, paired, None for the network."""

    name: str
    is_network: bool
    log_loss: Estimate
    log_loss_difference: Estimate | None
    accuracy: Estimate
    accuracy_difference: Estimate | None
    roc_auc: Estimate


@dataclass(frozen=True)
class Question:
    """Every model on the same tracks."""

    tracks: int
    models: tuple[ModelScores, ...]  # the lowest log-loss first, then by name

    @property
    def network(self) -> ModelScores:
        """The network's own scores."""
        return next(model for model in self.models if model.is_network)

    @property
    def best_rival(self) -> ModelScores:
        """The baseline of the lowest log-loss."""
        return next(model for model in self.models if not model.is_network)


@dataclass(frozen=True)
class Judged:
    """The two questions, on the sessions of one way to split."""

    sessions: int
    last: Question  # the last track of each session
    every: Question | None  # every track, from those before it; None if the network answers the last alone


@dataclass(frozen=True)
class ByTime:
    """The judgement on the newest sessions."""

    first_day: str  # UTC date of the oldest of them, YYYY-MM-DD
    trained: int  # sessions of the past that the models were fitted to
    validated: int  # sessions of the past that decided when to stop, and the calibration
    judged: Judged

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def headline_metrics(self) -> dict[str, float]:
        """The network's scores by their names in MLflow."""
        questions = {"last_track": self.judged.last, "every_track": self.judged.every}
        return {
            f"newest_tenth_{name}_{score}": getattr(question.network, score).value
            for name, question in questions.items()
            if question
            for score in ("log_loss", "accuracy", "roc_auc")
        }


def first_of_newest(starts: np.ndarray, share: float = NEWEST) -> str:
    """The start from which on a sitting belongs to the newest share of the sessions.

    A sitting is not divided, so its sessions may make the share a little larger.

    >>> first_of_newest(np.array(["20240101T080000", "20240103T080000", "20240102T080000"]), 0.3)
    '20240103T080000'

    Args:
        starts: str (n,), start of each session's sitting (``sittings``).
        share: of the sessions.
    """
    return str(np.sort(starts)[-math.ceil(share * len(starts))])


def split_by_time(bundles: Mapping[str, Bundle]) -> tuple[dict[str, Bundle], str]:
    """Splits by time, and the start of the oldest sitting that is judged.

    Train: the past of what the session hash calls train, gate and test. Validation: the past of its
    validation sessions. Test: the newest tenth of all sessions. On one real listener (6,937 sessions),
    validation by the newest tenth of the past gave the network 0.330 in log-loss over all tracks in place of
    0.331, and trees 0.345 in place of 0.332: they do not train on the newest sessions then.
    """
    starts = {split: _starts(bundle) for split, bundle in bundles.items()}
    first = first_of_newest(np.concatenate(list(starts.values())))
    past = {split: bundle.of_sessions(starts[split] < first) for split, bundle in bundles.items()}
    newest = [bundle.of_sessions(starts[split] >= first) for split, bundle in bundles.items()]
    return {
        "train": past["train"].joined(past["gate"]).joined(past["test"]),
        "validation": past["validation"],
        "test": reduce(Bundle.joined, newest),
    }, first


def _starts(bundle: Bundle) -> np.ndarray:
    parts = sittings(pa.array(bundle.session_id[:], pa.string()))
    return np.asarray(parts.field(1).to_numpy(zero_copy_only=False)).astype("U15")


def day_of(start: str) -> str:
    """The date of a start.

    >>> day_of("20240131T235959")
    '2024-01-31'
    """
    return datetime.strptime(start, "%Y%m%dT%H%M%S").date().isoformat()


def one_outcome(by_time: Mapping[str, Bundle]) -> str:
    """Why sessions cannot be trained on or judged, in words; empty if they can."""
    for split, words in {"train": "past", "validation": "validation", "test": "newest"}.items():
        labels = by_time[split].not_skipped
        if len(np.unique(labels)) < 2:
            return (
                f"the last tracks of the {len(labels):,} {words} sessions all ended the same way, and both "
                "outcomes are needed to judge a prediction"
            )
    return ""


def judge(not_skipped: np.ndarray, predictions: tuple[Prediction, ...]) -> Judged:
    """Score models, one of them a network, on the same sessions.

    Args:
        not_skipped: labels (n, 20), as in ``metrics.every_track``.
        predictions: of each model.
    """
    [network] = [each for each in predictions if each.is_network]
    ordered = (network, *(each for each in predictions if each is not network))
    last = {each: each.p_last[:, None] for each in ordered}
    every = {each: each.p_tracks for each in ordered if each.p_tracks is not None}
    return Judged(
        len(not_skipped),
        _question(not_skipped[:, -1:], last),
        _question(not_skipped, every) if network in every else None,
    )


def _question(not_skipped: np.ndarray, predictions: Mapping[Prediction, np.ndarray]) -> Question:
    """Score probabilities (n, k), the network's first, on labels (n, k); NaN where there is no track."""
    real = every_track.is_track(not_skipped)
    own: dict[str, np.ndarray] = {}
    columns = {}
    for each, p in predictions.items():
        values = {
            "log_loss": scores.losses(not_skipped, p),
            "accuracy": scores.correct(not_skipped, p, each.threshold).astype(np.float64),
            "roc_auc": every_track.auc_pseudovalues(not_skipped, p),
        }
        own = own or values
        values |= {f"{name}_difference": values[name] - own[name] for name in ("log_loss", "accuracy")}
        for name, value in values.items():
            columns[each.name, name] = every_track.mean_over(value, real)
    sides = (np.column_stack(side) for side in zip(*columns.values(), strict=True))
    found = dict(zip(columns, estimate_ratios(*sides), strict=True))
    models = [
        ModelScores(
            each.name,
            each.is_network,
            **{
                name: None if each.is_network and name.endswith("_difference") else found[each.name, name]
                for name in _SCORES
            },  # type: ignore[arg-type]
        )
        for each in predictions
    ]
    return Question(int(real.sum()), _ranked(models))


def judged_by_hash(metrics: Mapping[str, Any]) -> Judged:
    """The same scores on the test sessions by session hash, from the evaluation report's metrics.json."""
    board, next_track = metrics["leaderboard"], metrics["next_track"]
    return Judged(
        board["sessions"],
        _read(board["sessions"], board["models"]),
        _read(next_track["tracks"], next_track["models"]) if next_track else None,
    )


def _read(tracks: int, models: list[dict[str, Any]]) -> Question:
    read = [
        ModelScores(
            model["name"],
            model["kind"] == "network",
            **{name: _estimate(model[name]) for name in _SCORES},  # type: ignore[arg-type]
        )
        for model in models
    ]
    return Question(tracks, _ranked(read))


def _estimate(found: Mapping[str, Any] | None) -> Estimate | None:
    return Estimate(found["value"], found["low"], found["high"]) if found else None


def _ranked(models: list[ModelScores]) -> tuple[ModelScores, ...]:
    return tuple(sorted(models, key=lambda model: (model.log_loss.value, model.name)))
