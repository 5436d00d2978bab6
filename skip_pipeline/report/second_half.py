"""The challenge's task on the test sessions: ``skip_2`` of every second-half track, from the first half.

All decisions are scored on the same resamples of sessions, so that their differences are paired. The position
of a track in the second half is also its distance from the last track of the first half.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from skip_pipeline.bundles.second_half import first_half, heard_skips, lengths_of, skips
from skip_pipeline.challenge.rules import commoner_outcome, last_outcome
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.challenge import estimate_scores, score_sessions
from skip_pipeline.metrics.curves import expected_calibration_error, reliability_curve
from skip_pipeline.metrics.decision_rule import THRESHOLD, DecisionRule, best_constant_strings
from skip_pipeline.metrics.intervals import Estimate, estimate_ratios
from skip_pipeline.metrics.scores import losses
from skip_pipeline.training.second_half import SecondHalves, predict_second_half
from skip_pipeline.training.splits import Split, parts

LAST_ACTION: Final = "last_action"
_BY_THRESHOLD: Final = "threshold"
_BY_STRINGS: Final = "whole_strings"
_TITLES: Final = {
    _BY_THRESHOLD: "network, by threshold",
    _BY_STRINGS: "network, by whole strings",
    "random": "random digits",
    LAST_ACTION: "last action repeated",
    "majority": "majority of the first half",
    "constant_string": "best constant string of each length",
}
_SEED: Final = 0  # of the random digits; any fixed number


@dataclass(frozen=True)
class Decisions:
    """Scores of one way to decide."""

    name: str
    title: str
    maa: Estimate  # mean average accuracy
    fpa: Estimate  # first-prediction accuracy
    maa_difference: Estimate | None = None  # minus that of what decides, paired; None for what decides
    fpa_difference: Estimate | None = None


@dataclass(frozen=True)
class PositionScores:
    """Scores of the tracks at one position in the second half."""

    position: int  # 1 for the track that follows the first half
    tracks: int  # at least 1
    share_skipped: float
    accuracy: Estimate  # of what decides
    last_action: Estimate  # accuracy of the last action repeated
    calibration_gap: Estimate  # mean probability minus share skipped


@dataclass(frozen=True)
class SecondHalf:
    """Decisions on the second halves of the test sessions, and the probabilities behind them."""

    sessions: int
    tracks: int  # of the second halves
    share_skipped: float  # of the tracks
    decided_by: str  # name of the decisions that are served
    decisions: tuple[Decisions, ...]  # sorted by mean average accuracy, the highest first, then by name
    log_loss: Estimate  # of ``p_skip_2``
    calibration_gap: Estimate  # mean probability minus share skipped
    ece: float  # expected calibration error, without an interval
    positions: tuple[PositionScores, ...]

    def named(self, name: str) -> Decisions:
        """The decisions of this name."""
        return next(entry for entry in self.decisions if entry.name == name)

    @property
    def decided(self) -> Decisions:
        """The decisions that are served."""
        return self.named(self.decided_by)

    def metrics(self) -> dict[str, Any]:
        """As JSON values; ``Evaluation.metrics`` explains the keys."""
        return asdict(self)

    def headline_metrics(self) -> dict[str, float]:
        """The scores of what decides by their names in MLflow."""
        return {
            "second_half_maa": self.decided.maa.value,
            "second_half_fpa": self.decided.fpa.value,
            "second_half_log_loss": self.log_loss.value,
            "second_half_ece": self.ece,
        }

    def comparison_metrics(self) -> dict[str, float]:
        """Scores of all decisions, in the groups that MLflow charts together."""
        return {
            f"{name}/{entry.name}": getattr(entry, name).value
            for entry in self.decisions
            for name in ("maa", "fpa")
        }


def measure_second_half(
    network: Any,
    training: Split,
    test: Split,
    calibration: Calibration,
    rule: DecisionRule,
    *,
    p_next: np.ndarray | None = None,
) -> SecondHalf:
    """Predict, decide and judge the second halves of the test sessions.

    Args:
        network: the default network's ONNX session (``onnx_model.open_onnx``).
        training: sessions that the best constant strings are chosen on.
        test: whole sessions with ``track_memory``.
        calibration: of the network.
        rule: chosen on the validation sessions.
        p_next: of the served model, if it is no network alone (``training.second_half``).
    """
    outcomes = [(skips(part), lengths_of(part)) for part in parts(training, ())]
    strings = best_constant_strings(*(np.concatenate(each) for each in zip(*outcomes, strict=True)))
    heard = np.concatenate([heard_skips(part) for part in parts(test, ())])
    return judge_second_half(
        predict_second_half(network, test, calibration, p_next=p_next), heard, strings, rule
    )


def judge_second_half(
    halves: SecondHalves, heard: np.ndarray, strings: Mapping[int, np.ndarray], rule: DecisionRule
) -> SecondHalf:
    """Score the network's decisions and probabilities, and the decisions of rivals, on n sessions.

    Args:
        halves: outcomes and probabilities of the second halves.
        heard: ``skip_2`` of every first-half track, uint8, session after session.
        strings: a constant string for each session length.
        rule: decides; the other way to decide by the network is a rival.

    Raises:
        ContractError: outcomes of first halves that are not one for each track, or no session.
    """
    first, tracks = first_half(halves.lengths), halves.tracks
    if heard.shape != (first.sum(),):
        raise ContractError(
            f"outcomes of first halves have shape {heard.shape}, expected one for each of {first.sum()} "
            "tracks; give those of the sessions that were predicted"
        )
    if not len(tracks):
        raise ContractError("no session has a second half to judge, expected test sessions; deliver more")
    there = np.arange(tracks.max()) < tracks[:, None]  # (n, T); its True values are in the order of rows
    constant = np.zeros(there.shape, np.uint8)
    for length in np.unique(halves.lengths).tolist():
        constant[halves.lengths == length, : len(strings[length])] = strings[length]
    by_network = {_BY_THRESHOLD: THRESHOLD, _BY_STRINGS: DecisionRule(rule.correlations, joint=True)}
    decided = {
        name: each.decide(halves.p_skip_2, tracks, halves.lengths) for name, each in by_network.items()
    }
    decided |= {
        "random": np.random.default_rng(_SEED).integers(0, 2, len(halves.skip_2)),
        LAST_ACTION: np.repeat(last_outcome(heard, first), tracks),
        "majority": np.repeat(commoner_outcome(heard, first), tracks),
        "constant_string": constant[there],
    }
    served = _BY_STRINGS if rule.joint else _BY_THRESHOLD
    not_skip_2, p_not_skip_2 = 1.0 - halves.skip_2, 1.0 - halves.p_skip_2
    gap = halves.p_skip_2 - halves.skip_2
    right, last_right = (decided[name] == halves.skip_2 for name in (served, LAST_ACTION))
    of_tracks = [_placed(values, there) for values in (halves.skip_2, right, last_right, gap)]
    whole = [_placed(values, there).sum(axis=1) for values in (losses(not_skip_2, p_not_skip_2), gap)]
    log_loss, calibration_gap, *placed = estimate_ratios(
        np.column_stack([*whole, *of_tracks[1:]]), np.column_stack([tracks, tracks, there, there, there])
    )
    share = of_tracks[0].sum(axis=0) / there.sum(axis=0)
    return SecondHalf(
        sessions=len(tracks),
        tracks=len(halves.skip_2),
        share_skipped=float(halves.skip_2.mean()),
        decided_by=served,
        decisions=_score_decisions(decided, served, halves),
        log_loss=log_loss,
        calibration_gap=calibration_gap,
        ece=expected_calibration_error(reliability_curve(not_skip_2, p_not_skip_2)),
        positions=tuple(
            PositionScores(i + 1, int(there[:, i].sum()), float(share[i]), *placed[i :: there.shape[1]])
            for i in range(there.shape[1])
        ),
    )


def _placed(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Values of tracks, (rows,), at their positions in the second halves, 0 elsewhere: float64 (n, T)."""
    placed = np.zeros(there.shape)
    placed[there] = values
    return placed


def _score_decisions(
    decided: Mapping[str, np.ndarray], served: str, halves: SecondHalves
) -> tuple[Decisions, ...]:
    names = sorted(decided, key=lambda name: name != served)  # differences are to the first
    scores, differences = estimate_scores(
        [score_sessions(decided[name], halves.skip_2, halves.tracks) for name in names]
    )
    found = [Decisions(served, _TITLES[served], scores[0].maa, scores[0].fpa)]
    for name, own, less in zip(names[1:], scores[1:], differences, strict=True):
        found.append(Decisions(name, _TITLES[name], own.maa, own.fpa, less.maa, less.fpa))
    return tuple(sorted(found, key=lambda each: (-each.maa.value, each.name)))
