"""The evaluation of the model that is served: everything that metrics.json, the plots and the page show."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import BaselinePredictions
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import confusion_matrix
from skip_pipeline.metrics.every_track import answers_every_track, is_track
from skip_pipeline.metrics.scores import SplitScores, score
from skip_pipeline.networks.listening import all_played
from skip_pipeline.report import sentences
from skip_pipeline.report.calibration_effect import CalibrationReport, measure_calibration
from skip_pipeline.report.importance import Importance, Predict, choose_sessions, permutation_importance
from skip_pipeline.report.leaderboard import Leaderboard, Model, compare
from skip_pipeline.report.mistakes import Mistake, worst_mistakes
from skip_pipeline.report.next_track import NextTrack, judge_next_track
from skip_pipeline.report.oracle import GIVEN_PAST, GIVEN_STATE, BestPossible, oracle_probabilities
from skip_pipeline.report.second_half import SecondHalf
from skip_pipeline.report.session_attributes import SessionAttributes
from skip_pipeline.report.slices import SliceTable, score_slices, slicings


@dataclass(frozen=True)
class Served:
    """A served model that is no network alone, and its answers."""

    model: Model  # of kind ``served``, with its threshold
    p_last: Mapping[str, np.ndarray]  # float64 (n,) of the last track by split, as served
    p_tracks: np.ndarray  # float64 (n, 20) of every track of the test sessions, as served
    predict: Predict  # of the last track, as served


@dataclass(frozen=True)
class Evaluation:
    """Scores of every split; all else is of the test sessions. Probabilities are calibrated.

    All but ``next_track`` and ``second_half`` is of the question "last track".
    """

    scores: Mapping[str, SplitScores]  # of the served model by split, in the order of ``schema.SPLITS``
    majority_class: int  # the commoner outcome of the training sessions, 0 or 1
    majority: float  # accuracy of always predicting it
    repeat_last: float  # accuracy of predicting the outcome of the track before
    p_not_skipped: np.ndarray  # float64 (n,), the served model's probabilities
    confusion: np.ndarray  # see ``metrics.curves.confusion_matrix``
    leaderboard: Leaderboard
    slices: tuple[SliceTable, ...]
    importance: Importance
    mistakes: tuple[Mistake, ...]
    calibration: CalibrationReport  # of the network
    next_track: NextTrack | None = None  # of every track; None if the model answers the last one alone
    second_half: SecondHalf | None = None  # the challenge's task; None as ``next_track``
    best_possible: BestPossible | None = None  # scores of the oracles; None for real data
    choice: str = ""  # why this model is the best of the night, in one sentence

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json as JSON values, without the facts of the run.

        An estimate is ``{"value", "low", "high"}``, with the ends of its 95% interval.

            train, validation, test   scores of the served model (``SplitScores``)
            baselines                 accuracy of two rules: majority (and its class), repeat_last_outcome
            served                    title of the served model
            threshold                 probability from which on the served model predicts "not skipped"
            choice                    why this model is the best of the night
            leaderboard               sessions, share_not_skipped, interval (confidence, resamples, seed),
                                      ece_bins, and models: the lowest log-loss first, facts and scores of
                                      each (``leaderboard.Entry``); differences are the model's minus the
                                      served one's, with beyond_chance
            slices                    per slicing its name and slices: label, sessions, tracks,
                                      share_not_skipped, accuracy and log_loss (estimates), few_sessions
            importance                sessions, seed, log_loss with the sessions' own inputs, and inputs:
                                      name, title, kind (branch or features), rise of log-loss (estimate)
            mistakes                  the worst predictions (``mistakes.Mistake``), outcomes as 0 and 1
            calibration               of the network: slope, offset, threshold, tracks (validation tracks that
                                      it was fitted to); validation and test, of last tracks: before, after
                                      (scores), ece_before, ece_after
            next_track                of every track of the test sessions, from those before it; null if the
                                      model answers the last track alone: sessions, tracks,
                                      share_not_skipped, unknown_tracks (that no training session played),
                                      both_outcomes (sessions with a played and a skipped track); models, the
                                      lowest log-loss first: name, kind, log_loss, accuracy, both with
                                      _difference, roc_auc over all tracks, session_auc (mean within sessions
                                      with both outcomes), log_loss_known, log_loss_unknown (estimates; null
                                      without a track to score), ece, and positions: position, tracks,
                                      share_not_skipped, log_loss, calibration_gap (mean probability minus
                                      share; estimates); slices as above, also with tracks; calibration by
                                      split: log_loss_before, log_loss_after, ece_before, ece_after
            second_half               the second halves of the test sessions, decided from the first halves;
                                      null as next_track: sessions, tracks, share_skipped (skip_2), decided_by
                                      (a name of decisions); decisions, the highest maa first: name, title,
                                      maa, fpa (estimates), both with _difference (minus decided_by's; null
                                      for itself); of p_skip_2: log_loss, calibration_gap (mean probability
                                      minus share; estimates), ece; positions in the second half: position,
                                      tracks, share_skipped, accuracy of decided_by and of last_action,
                                      calibration_gap (estimates)
            oracle                    given_past, given_state: scores, and distance (log_loss, accuracy) of
                                      the served model to them; absent for real data
        """
        metrics: dict[str, Any] = {
            **{split: asdict(scores) for split, scores in self.scores.items()},
            "baselines": {
                "majority": {"class": self.majority_class, "accuracy": self.majority},
                "repeat_last_outcome": {"accuracy": self.repeat_last},
            },
            "served": self.leaderboard.served.model.title,
            "threshold": self.leaderboard.served.model.threshold,
            "choice": self.choice,
            "leaderboard": self.leaderboard.metrics(),
            "slices": [table.metrics() for table in self.slices],
            "importance": self.importance.metrics(),
            "mistakes": [mistake.metrics() for mistake in self.mistakes],
            "calibration": self.calibration.metrics(),
            "next_track": self.next_track.metrics() if self.next_track else None,
            "second_half": self.second_half.metrics() if self.second_half else None,
        }
        if self.best_possible:
            metrics["oracle"] = self.best_possible.metrics(self.scores["test"])
        return metrics

    def headline_metrics(self) -> dict[str, float]:
        """Test scores by their names in MLflow."""
        names = ("accuracy", "log_loss", "roc_auc", "brier")
        metrics = {f"test_{name}": float(getattr(self.scores["test"], name)) for name in names}
        served = self.leaderboard.served
        metrics |= {"test_pr_auc": served.pr_auc, "test_ece": served.ece}
        metrics |= self.next_track.headline_metrics() if self.next_track else {}
        return metrics | (self.second_half.headline_metrics() if self.second_half else {})

    def comparison_metrics(self) -> dict[str, float]:
        """Scores of every model and importance of every input, in the groups that MLflow charts together."""
        scores = {
            f"{name}/{entry.model.name}": float(getattr(entry, name).value)
            for entry in self.leaderboard.entries
            for name in ("log_loss", "accuracy", "roc_auc")
        }
        scores |= {f"importance/{group.name}": group.rise.value for group in self.importance.inputs}
        scores |= self.next_track.comparison_metrics() if self.next_track else {}
        return scores | (self.second_half.comparison_metrics() if self.second_half else {})

    def oracle_metrics(self) -> dict[str, float]:
        """Scores of the oracles and the distance to the one given the past; empty for real data."""
        if not self.best_possible:
            return {}
        past, state = self.best_possible.metrics(self.scores["test"]).values()
        found = {"oracle_past": past, "oracle_state": state, "distance_to_oracle": past["distance"]}
        names = ("accuracy", "log_loss")
        return {f"{of}_{name}": values[name] for name in names for of, values in found.items()}

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        return sentences.headline(
            self.scores["test"],
            self.majority_class,
            self.majority,
            self.repeat_last,
            self.leaderboard.served.model,
        )

    @property
    def sentences(self) -> dict[str, str]:
        """The text of each part of the page; empty for a part that is left out."""
        return {
            "verdict": sentences.verdict(self.leaderboard),
            "interval_rule": sentences.interval_rule(self.leaderboard),
            "oracle_distance": sentences.oracle_distance(self.leaderboard),
            "calibration": sentences.calibration(self.calibration),
            "slices": sentences.slices(self.slices),
            "importance": sentences.importance(self.importance),
            "mistakes": sentences.mistakes(self.mistakes),
            "next_track": (
                sentences.next_track(self.next_track)
                if self.next_track
                else sentences.last_track_alone(self.leaderboard.served.model)
            ),
            "unknown_tracks": sentences.unknown_tracks(self.next_track) if self.next_track else "",
            "calibration_of_tracks": (
                sentences.calibration_of_tracks(self.next_track) if self.next_track else ""
            ),
            "second_half": (
                sentences.second_half(self.second_half)
                if self.second_half
                else sentences.no_second_half(self.leaderboard.served.model)
            ),
            "calibration_of_second_half": (
                sentences.calibration_of_second_half(self.second_half) if self.second_half else ""
            ),
        }


def network_model(preset: str, *, parameters: int, seconds: float) -> Model:
    """The model of a trained network, with the seconds of all its epochs."""
    description = "This pipeline's network, on the four branches."
    return Model(preset, f"{preset} network", description, "network", seconds=seconds, parameters=parameters)


def served_model(kind: str) -> Model:
    """The model of a version of this kind (``nightly.best.KINDS``), other than a network alone."""
    title, description = _SERVED[kind]
    return Model("best_of_the_night", title, description, "served")


_SERVED: Final = {
    "logistic_regression": ("served regression", "The logistic regression, calibrated."),
    "gradient_boosted_trees": ("served trees", "The gradient-boosted trees, calibrated."),
    "stack": (
        "served stack",
        "Network, trees and regression, with weights from 0 up fitted on the validation sessions.",
    ),
}

_ORACLES: Final = {
    GIVEN_PAST: ("oracle_past", "best possible, given the past", "Knows the world's laws, and the log."),
    GIVEN_STATE: (
        "oracle_state",
        "best possible, given the state",
        "Also knows what is hidden, such as taste.",
    ),
}


def evaluate_model(
    bundles: Mapping[str, Mapping[str, Any]],
    p_tracks: Mapping[str, np.ndarray],
    predict: Predict,
    network: Model,
    sessions: SessionAttributes,
    *,
    baselines: Sequence[BaselinePredictions],
    calibration: Calibration,
    served: Served | None = None,
    choice: str = "",
    second_half: SecondHalf | None = None,
    oracle: Path | None = None,
) -> Evaluation:
    """Score the served model, and compare it with the network, the baselines and the oracles.

    Args:
        bundles: per split, the network's inputs, the label (n,) and the session ids (n,).
        p_tracks: per split (n, 20), the network's probability of every track, not calibrated; all but the
            last column NaN of a network that answers the last track alone.
        predict: the network's probability of the last track (n,), not calibrated.
        network: facts about it.
        sessions: attributes of the test sessions.
        baselines: with probabilities of both questions.
        calibration: of the network.
        served: the model that is served; None if it is the network.
        choice: why it is served, in one sentence.
        second_half: the decisions of the served model; None of a network that answers the last track alone.
        oracle: file of the true probabilities, which only synthetic data have.
    """
    labels = {split: bundles[split][schema.LABEL] for split in schema.SPLITS}
    p_not_skipped = {split: p_tracks[split][:, -1] for split in schema.SPLITS}
    test = labels["test"]
    network = dataclasses.replace(network, threshold=calibration.threshold)
    own = network if served is None else served.model
    last = {
        split: calibration.apply(p_not_skipped[split]) if served is None else served.p_last[split]
        for split in schema.SPLITS
    }
    scores = {split: score(labels[split], last[split], own.threshold) for split in schema.SPLITS}
    majority_class = int(np.mean(labels["train"]) > 0.5)

    predictions = {own: last["test"], network: calibration.apply(p_not_skipped["test"])}
    played = {split: all_played(bundles[split]) for split in ("validation", "test")}
    models: dict[str, Model] = {}
    for rival in baselines:
        title = rival.title[:1].lower() + rival.title[1:]  # it is used inside sentences
        model = Model(
            rival.name,
            title,
            rival.description,
            "baseline",
            seconds=rival.seconds,
            parameters=rival.parameters,
        )
        predictions[model] = rival.p_not_skipped["test"]
        models[rival.name] = model
    best_possible = None
    if oracle:
        truth = oracle_probabilities(oracle, np.asarray(bundles["test"][schema.SESSION_ID]))
        predictions |= {Model(*facts, "oracle"): truth[name] for name, facts in _ORACLES.items()}
        best_possible = BestPossible(score(test, truth[GIVEN_PAST]), score(test, truth[GIVEN_STATE]))
    next_track = None
    if answers_every_track(played["test"], p_tracks["test"]):
        real = {split: is_track(of_split) for split, of_split in played.items()}
        effect = measure_calibration(
            {split: of_split[real[split]] for split, of_split in played.items()},
            {split: p_tracks[split][real[split]] for split in played},
            calibration,
        )
        of_tracks = {network: calibration.apply(p_tracks["test"])}
        of_tracks |= {} if served is None else {own: served.p_tracks}
        of_tracks |= {models[rival.name]: rival.p_tracks["test"] for rival in baselines}
        next_track = judge_next_track(played["test"], of_tracks, bundles["test"], sessions, effect.effects)
    chosen = choose_sessions(len(test))
    return Evaluation(
        scores=scores,
        majority_class=majority_class,
        majority=float(np.mean(test == majority_class)),
        repeat_last=float(np.mean(test == bundles["test"]["skip_sequence"][:, -1, 0])),  # padded in front
        p_not_skipped=last["test"],
        confusion=confusion_matrix(test, last["test"], own.threshold),
        leaderboard=compare(test, predictions),
        slices=score_slices(test, last["test"], slicings(sessions), own.threshold),
        importance=permutation_importance(
            {name: bundles["test"][name][chosen] for name in schema.INPUT_SHAPES if name in bundles["test"]},
            test[chosen],
            served.predict if served else lambda inputs: calibration.apply(predict(inputs)),
        ),
        mistakes=worst_mistakes(bundles["test"], last["test"], sessions),
        calibration=measure_calibration(labels, p_not_skipped, calibration),
        next_track=next_track,
        second_half=second_half,
        best_possible=best_possible,
        choice=choice,
    )


def predictions_table(test: Mapping[str, Any], p_not_skipped: np.ndarray) -> pa.Table:
    """The test sessions with outcome and probability, as ``schema.PREDICTIONS``."""
    columns = [np.asarray(test[schema.SESSION_ID]), test[schema.LABEL].astype(np.int8), p_not_skipped]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema.PREDICTIONS)
