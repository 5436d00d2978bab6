"""The report of each epoch, and a training's history as JSON; free of TensorFlow, as displays import it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch."""

    epoch: int  # counted from 1
    max_epochs: int  # number of epochs if training does not stop early
    seconds: float  # duration of this epoch, validation included
    seconds_left_at_most: float  # duration of all remaining epochs at this epoch's pace
    loss: float  # mean training loss over the epoch, with dropout
    accuracy: float  # training accuracy over the epoch, in [0, 1], with dropout
    validation_loss: float  # on the validation sessions after the epoch
    validation_accuracy: float
    learning_rate: float  # at the end of this epoch, before a plateau lowers it

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch} of at most {self.max_epochs}: "
            f"loss {self.loss:.4f}, accuracy {self.accuracy:.3f}, "
            f"validation loss {self.validation_loss:.4f}, accuracy {self.validation_accuracy:.3f}; "
            f"{self.seconds:.1f} s, at most {self.seconds_left_at_most:.0f} s left"
        )


def history_to_json(history: Sequence[EpochReport], best_epoch: int) -> dict[str, Any]:
    """The history and the epoch whose weights were kept, as JSON values."""
    return {"best_epoch": best_epoch, "epochs": [asdict(report) for report in history]}


def history_from_json(content: Mapping[str, Any]) -> tuple[tuple[EpochReport, ...], int]:
    """The history and the best epoch that ``history_to_json`` wrote."""
    return tuple(EpochReport(**fields) for fields in content["epochs"]), int(content["best_epoch"])
