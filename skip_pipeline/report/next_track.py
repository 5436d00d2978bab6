"""The question "next track at any position": every track of the test sessions, from the tracks before it.

Models are scored on the same resamples of sessions, so that their differences are paired.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from skip_pipeline.metrics import every_track, scores
from skip_pipeline.metrics.curves import expected_calibration_error, reliability_curve
from skip_pipeline.metrics.every_track import PositionScores
from skip_pipeline.metrics.intervals import Estimate, estimate_ratios
from skip_pipeline.networks.listening import in_parts
from skip_pipeline.report.calibration_effect import CalibrationEffect
from skip_pipeline.report.leaderboard import Model, served_of
from skip_pipeline.report.session_attributes import POPULARITY, SessionAttributes
from skip_pipeline.report.slices import SliceTable, score_slices, slicings

_PLAYS: Final = 1  # column of ``track_memory``, see ``bundles.track_memory``


@dataclass(frozen=True)
class TrackEntry:
    """One model's scores on every track of the test sessions."""

    model: Model
    log_loss: Estimate
    log_loss_difference: Estimate | None  # this model's minus the served one's, paired; None for itself
    accuracy: Estimate
    accuracy_difference: Estimate | None
    roc_auc: Estimate  # over the tracks of all sessions
    session_auc: Estimate | None  # mean within sessions; None if no session has both outcomes
    log_loss_known: Estimate | None  # of tracks that a training session played; None without one
    log_loss_unknown: Estimate | None  # of tracks that no training session played; None without one
    ece: float  # expected calibration error, without an interval
    positions: tuple[PositionScores, ...]

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        values = asdict(self) | {"name": self.model.name, "kind": self.model.kind}
        for name in ("log_loss_difference", "accuracy_difference"):
            if found := getattr(self, name):
                values[name]["beyond_chance"] = found.excludes_zero
        del values["model"]
        return values


@dataclass(frozen=True)
class NextTrack:
    """Every model on every track of the test sessions."""

    sessions: int  # of the test split
    tracks: int  # of these sessions
    share_not_skipped: float  # of the tracks
    unknown_tracks: int  # of them: plays of tracks that no training session played
    both_outcomes: int  # sessions with a played and a skipped track, over which ``session_auc`` is averaged
    entries: tuple[TrackEntry, ...]  # sorted by log-loss, then by name
    slices: tuple[SliceTable, ...]  # of the served model
    calibration: Mapping[str, CalibrationEffect]  # of the network, by split

    @property
    def served(self) -> TrackEntry:
        """The entry of the model that is served."""
        model = served_of([entry.model for entry in self.entries])
        return next(entry for entry in self.entries if entry.model == model)

    @property
    def best_rival(self) -> TrackEntry | None:
        """The baseline of the lowest log-loss; None without a baseline."""
        return next((entry for entry in self.entries if entry.model.kind == "baseline"), None)

    def metrics(self) -> dict[str, Any]:
        """As JSON values; ``Evaluation.metrics`` explains the keys."""
        counts = ("sessions", "tracks", "share_not_skipped", "unknown_tracks", "both_outcomes")
        return {
            **{name: getattr(self, name) for name in counts},
            "models": [entry.metrics() for entry in self.entries],
            "slices": [table.metrics() for table in self.slices],
            "calibration": {
                split: {
                    "log_loss_before": effect.before.log_loss,
                    "log_loss_after": effect.after.log_loss,
                    "ece_before": effect.ece_before,
                    "ece_after": effect.ece_after,
                }
                for split, effect in self.calibration.items()
            },
        }

    def headline_metrics(self) -> dict[str, float]:
        """The served model's test scores by their names in MLflow."""
        found = {
            name: getattr(self.served, name) for name in ("log_loss", "accuracy", "roc_auc", "session_auc")
        }
        values = {f"test_next_track_{name}": each.value for name, each in found.items() if each is not None}
        return values | {"test_next_track_ece": self.served.ece}

    def comparison_metrics(self) -> dict[str, float]:
        """Scores of every model, in the groups that MLflow charts together."""
        return {
            f"next_track_{name}/{entry.model.name}": found.value
            for entry in self.entries
            for name in ("log_loss", "accuracy", "session_auc")
            if (found := getattr(entry, name)) is not None
        }


def judge_next_track(
    not_skipped: np.ndarray,
    predictions: Mapping[Model, np.ndarray],
    test: Mapping[str, Any],
    sessions: SessionAttributes,
    calibration: Mapping[str, CalibrationEffect],
) -> NextTrack:
    """Score probabilities (n, 20) of models, as for ``served_of``, on every track.

    Args:
        not_skipped: labels (n, 20) as in ``metrics.every_track``.
        predictions: of each model.
        test: the test split, with ``track_memory``.
        sessions: attributes of the test sessions.
        calibration: effect on every track of a split.
    """
    for p in predictions.values():
        every_track.check_tracks(not_skipped, p)
    real = every_track.is_track(not_skipped)
    known, popularity = _tracks(test)
    ranked = every_track.session_aucs  # NaN for a session without both outcomes
    served = served_of(list(predictions))
    columns: dict[tuple[Model, str], tuple[np.ndarray, np.ndarray]] = {}
    own: dict[str, np.ndarray] = {}
    for model in (served, *(model for model in predictions if model is not served)):
        p = predictions[model]
        losses = scores.losses(not_skipped, p)
        correct = scores.correct(not_skipped, p, model.threshold).astype(np.float64)
        own = own or {"log_loss": losses, "accuracy": correct}
        aucs = ranked(not_skipped, p)[:, None]
        values = {
            "log_loss": (losses, real),
            "log_loss_difference": (losses - own["log_loss"], real),
            "accuracy": (correct, real),
            "accuracy_difference": (correct - own["accuracy"], real),
            "roc_auc": (every_track.auc_pseudovalues(not_skipped, p), real),
            "session_auc": (aucs, ~np.isnan(aucs)),
            "log_loss_known": (losses, real & known),
            "log_loss_unknown": (losses, real & ~known),
        }
        for name, (value, chosen) in values.items():
            if chosen.any() and not (model is served and name.endswith("_difference")):
                columns[model, name] = every_track.mean_over(value, chosen)
    sides = (np.column_stack(side) for side in zip(*columns.values(), strict=True))
    found = dict(zip(columns, estimate_ratios(*sides), strict=True))
    entries = [
        TrackEntry(
            model,
            **{name: found.get((model, name)) for name in values},  # type: ignore[arg-type]
            ece=expected_calibration_error(reliability_curve(not_skipped[real], p[real])),
            positions=every_track.score_positions(not_skipped, p),
        )
        for model, p in predictions.items()
    ]
    entries.sort(key=lambda entry: (entry.log_loss.value, entry.model.name))
    session_of = np.nonzero(real)[0]
    return NextTrack(
        sessions=len(not_skipped),
        tracks=len(session_of),
        share_not_skipped=float(not_skipped[real].mean(dtype=np.float64)),
        unknown_tracks=int(np.count_nonzero(real & ~known)),
        both_outcomes=int(np.count_nonzero(~np.isnan(ranked(not_skipped, predictions[served])))),
        entries=tuple(entries),
        slices=score_slices(
            not_skipped[real],
            predictions[served][real],
            slicings(sessions.of_tracks(session_of, popularity[real], known[real])),
            served.threshold,
            session_of,
        ),
        calibration=calibration,
    )


def _tracks(test: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Of every track, whether a training session played it, and its popularity: (n, 20) each."""
    known, popularity = [], []
    for part in in_parts(test, ("track_memory", "previous_tracks", "last_track")):
        known.append(part["track_memory"][:, :, _PLAYS] > 0)
        popularity.append(
            np.column_stack([part["previous_tracks"][:, :, POPULARITY], part["last_track"][:, POPULARITY]])
        )
    return np.concatenate(known), np.concatenate(popularity)
