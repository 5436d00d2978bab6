"""A small history and curves for the report's tests."""

from skip_pipeline.flow.evaluate import Confusion, ReliabilityBin, RocCurve
from skip_pipeline.flow.history import EpochReport

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
