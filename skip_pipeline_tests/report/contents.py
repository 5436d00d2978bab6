"""A small evaluation and a training history, for the tests of plots, sentences and pages."""

import numpy as np

from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import ReliabilityBin, RocCurve
from skip_pipeline.metrics.every_track import PositionScores
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report.calibration_effect import CalibrationEffect, CalibrationReport
from skip_pipeline.report.evaluation import Evaluation
from skip_pipeline.report.importance import GroupImportance, Importance
from skip_pipeline.report.leaderboard import Entry, Kind, Leaderboard, Model
from skip_pipeline.report.mistakes import Mistake
from skip_pipeline.report.next_track import NextTrack, TrackEntry
from skip_pipeline.report.second_half import Decisions, SecondHalf
from skip_pipeline.report.second_half import PositionScores as HalfPosition
from skip_pipeline.report.slices import Slice, SliceTable
from skip_pipeline.training.history import EpochReport

BALANCE = {"train": (60, 40), "validation": (5, 5), "gate": (6, 4), "test": (15, 5)}
LENGTHS = {10: 1, 15: 1, 20: 2}
HISTORY = tuple(
    EpochReport(
        *(epoch, 10, 1.0, 9.0),
        loss=0.7 - 0.1 * epoch,
        accuracy=0.6 + 0.05 * epoch,
        validation_loss=validation_loss,
        validation_accuracy=0.7,
        learning_rate=0.003,
    )
    for epoch, validation_loss in enumerate((0.65, 0.5, 0.55), start=1)
)
CONFUSION = np.array([[12, 3], [1, 4]])
ROC = RocCurve((0.0, 0.2, 1.0), (0.0, 0.8, 1.0), 0.8)
RELIABILITY = (ReliabilityBin(10, 0.2, 0.1), ReliabilityBin(10, 0.6, 0.4))
SCORES = SplitScores(sessions=2013, accuracy=0.751, log_loss=0.5012, roc_auc=0.8123, brier=0.1678)


def around(value: float, width: float = 0.02) -> Estimate:
    """An estimate in the middle of an interval of this width."""
    return Estimate(value, value - width / 2, value + width / 2)


def entry(
    name: str,
    log_loss: float,
    *,
    kind: Kind = "baseline",
    seconds: float | None = 3.25,
    parameters: int | None = 20_770,
) -> Entry:
    """A model of a leaderboard whose network has a log-loss of one half."""
    title, description = name.replace("_", " "), f"What {name} does."
    return Entry(
        Model(name, title, description, kind, seconds=seconds, parameters=parameters),
        accuracy=around(0.751),
        log_loss=around(log_loss),
        roc_auc=around(0.8123),
        brier=around(0.1678),
        pr_auc=0.777,
        log_loss_difference=None if kind == "network" else around(log_loss - 0.5),
        accuracy_difference=None if kind == "network" else around(-0.04),
        roc=ROC,
        reliability=RELIABILITY,
    )


BOARD = Leaderboard(
    sessions=2013,
    share_not_skipped=0.45,
    entries=(
        entry("oracle_past", 0.44, kind="oracle", seconds=None, parameters=None),
        entry("trees", 0.46),
        entry("fast", 0.5, kind="network"),
        entry("regression", 0.505),
        entry("majority", 0.68, seconds=0.0, parameters=1),
    ),
)
SLICES = (
    SliceTable(
        "premium",
        "Account",
        (
            Slice("free", 150, 150, 0.4, around(0.7), around(0.55)),
            Slice("premium", 1850, 1850, 0.5, around(0.8), around(0.45)),
        ),
    ),
    SliceTable("context_type", "Played from", (Slice("charts", 13, 13, 0.3, around(0.9), around(0.2)),)),
)
IMPORTANCE = Importance(
    1000,
    0.51,
    (
        GroupImportance("session_log", "the log", "branch", around(0.09)),
        GroupImportance("outcomes", "what was heard", "features", around(0.18)),
        GroupImportance("seeks", "seeks", "features", around(-0.001)),
    ),
)
MISTAKES = (
    Mistake("0_abc", True, 0.05, (True, False, False), "editorial_playlist", 7, True, False),
    Mistake("0_def", False, 0.9, (False, True, False), "radio", 23, False, True),
)
CALIBRATION = CalibrationReport(
    Calibration(slope=0.875, offset=-0.25, threshold=0.47, tracks=1010),
    {
        "validation": CalibrationEffect(SCORES, SCORES, 0.04, 0.03),
        "test": CalibrationEffect(SplitScores(2013, 0.741, 0.5112, 0.8123, 0.1778), SCORES, 0.05, 0.02),
    },
)
POSITIONS = (
    PositionScores(1, 2013, 0.5, around(0.64), around(0.001)),
    PositionScores(2, 2013, 0.45, around(0.52), around(-0.031)),
)


def track_entry(name: str, log_loss: float, kind: Kind = "baseline") -> TrackEntry:
    """A model on every track, whose network has a log-loss of 0.48."""
    own = kind == "network"
    return TrackEntry(
        Model(name, name.replace("_", " "), f"What {name} does.", kind),
        log_loss=around(log_loss),
        log_loss_difference=None if own else around(log_loss - 0.48),
        accuracy=around(0.761),
        accuracy_difference=None if own else around(-0.03),
        roc_auc=around(0.822),
        session_auc=around(0.683),
        log_loss_known=around(0.474),
        log_loss_unknown=around(0.501),
        ece=0.012,
        positions=POSITIONS,
    )


NEXT_TRACK = NextTrack(
    sessions=2013,
    tracks=34_395,
    share_not_skipped=0.46,
    unknown_tracks=8_499,
    both_outcomes=1_880,
    entries=(track_entry("fast", 0.48, "network"), track_entry("trees", 0.491)),
    slices=(
        SliceTable(
            "track_in_training",
            "Predicted track",
            (Slice("played in a training session", 2013, 25_896, 0.4, around(0.7), around(0.474)),),
        ),
    ),
    calibration=CALIBRATION.effects,
)
SECOND_HALF = SecondHalf(
    sessions=2013,
    tracks=16_104,
    share_skipped=0.512,
    decided_by="whole_strings",
    decisions=(
        Decisions("whole_strings", "network, by whole strings", around(0.6206), around(0.797, 0.014)),
        Decisions(
            *("threshold", "network, by threshold", around(0.6173), around(0.798)),
            maa_difference=around(-0.0033, 0.002),
            fpa_difference=around(0.0004),
        ),
        Decisions(
            *("last_action", "last action repeated", around(0.5431), around(0.745)),
            maa_difference=around(-0.0775),
            fpa_difference=around(-0.052),
        ),
    ),
    log_loss=around(0.5702),
    calibration_gap=around(0.004),
    ece=0.011,
    positions=(
        HalfPosition(1, 2013, 0.53, around(0.795), around(0.744), around(0.003)),
        HalfPosition(2, 1997, 0.54, around(0.733), around(0.669), around(-0.005)),
    ),
)
EVALUATION = Evaluation(
    scores={"train": SCORES, "validation": SCORES, "gate": SCORES, "test": SCORES},
    majority_class=0,
    majority=0.55,
    repeat_last=0.612,
    p_not_skipped=np.array([0.5]),
    confusion=CONFUSION,
    leaderboard=BOARD,
    slices=SLICES,
    importance=IMPORTANCE,
    mistakes=MISTAKES,
    calibration=CALIBRATION,
    next_track=NEXT_TRACK,
    second_half=SECOND_HALF,
)
