"""A small history, curves and comparisons for the report's tests."""

from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import Confusion, ReliabilityBin, RocCurve
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report.calibration import CalibrationEffect, CalibrationReport
from skip_pipeline.report.comparison_plots import ModelCurves
from skip_pipeline.report.importance import Importance, InputImportance
from skip_pipeline.report.leaderboard import Entry, Kind, Leaderboard
from skip_pipeline.report.mistakes import Mistake
from skip_pipeline.report.slices import Slice, SliceTable
from skip_pipeline.training.history import EpochReport

BALANCE = {"train": (60, 40), "validation": (5, 5), "test": (15, 5)}
LENGTHS = {10: 1, 15: 1, 20: 2}
HISTORY = tuple(
    EpochReport(
        epoch=epoch,
        max_epochs=10,
        seconds=1.0,
        seconds_left_at_most=10.0 - epoch,
        loss=0.7 - 0.1 * epoch,
        accuracy=0.6 + 0.05 * epoch,
        validation_loss=validation_loss,
        validation_accuracy=0.7,
        learning_rate=0.003,
    )
    for epoch, validation_loss in enumerate((0.65, 0.5, 0.55), start=1)
)
CONFUSION = Confusion(12, 3, 1, 4)
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
    itself = kind == "network"
    return Entry(
        name=name,
        title=name.replace("_", " "),
        description=f"What {name} does.",
        kind=kind,
        threshold=0.5,
        seconds=seconds,
        parameters=parameters,
        accuracy=around(0.751),
        log_loss=around(log_loss),
        roc_auc=around(0.8123),
        brier=around(0.1678),
        pr_auc=0.777,
        ece=0.031,
        ece_by_chance=0.024,
        log_loss_difference=None if itself else around(log_loss - 0.5),
        accuracy_difference=None if itself else around(-0.04),
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
            Slice("free", 150, 0.4, around(0.7), around(0.55)),
            Slice("premium", 1850, 0.5, around(0.8), around(0.45)),
        ),
    ),
    SliceTable("context_type", "Played from", (Slice("charts", 13, 0.3, around(0.9), around(0.2)),)),
)
IMPORTANCE = Importance(
    1000,
    0.51,
    (
        InputImportance("session_log", "the log", "branch", around(0.09)),
        InputImportance("outcomes", "what was heard", "features", around(0.18)),
        InputImportance("seeks", "seeks", "features", around(-0.001)),
    ),
)
MISTAKES = (
    Mistake("0_abc", True, 0.05, (True, False, False), "editorial_playlist", 7, True, False),
    Mistake("0_def", False, 0.9, (False, True, False), "radio", 23, False, True),
)
CALIBRATION = CalibrationReport(
    Calibration(slope=0.875, offset=-0.25, threshold=0.47, sessions=1010),
    {
        "validation": CalibrationEffect(SCORES, SCORES, 0.04, 0.03),
        "test": CalibrationEffect(SplitScores(2013, 0.741, 0.5112, 0.8123, 0.1778), SCORES, 0.05, 0.02),
    },
)
CURVES = (
    ModelCurves("best possible", "oracle", ROC, RELIABILITY),
    ModelCurves("fast network", "network", ROC, RELIABILITY),
    ModelCurves("trees", "baseline", RocCurve((0.0, 1.0), (0.0, 1.0), 0.5), (ReliabilityBin(20, 0.4, 0.4),)),
)
READINGS = {
    "verdict": "The network is second.",
    "rule": "What is beyond chance.",
    "distance": "It lacks little.",
    "calibration": "It was too sure.",
    "slices": "Worst on the radio.",
    "importance": "It listens to outcomes.",
    "mistakes": "Listeners change their minds.",
}
