"""One sentence for each plot and for the whole, in words a person without the plot can follow.

The same small numbers that ``plots`` draws go in; text comes out, and the page escapes it. What is said of
the network among others is in ``comparisons``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from skip_pipeline import schema
from skip_pipeline.metrics.curves import Confusion, ReliabilityBin, RocCurve, expected_calibration_error
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.training.history import EpochReport

OUTCOMES: Final = {0: "skipped", 1: "not skipped"}


def headline(test: SplitScores, majority_class: int, majority: float, repeat_last: float) -> str:
    """The result in one sentence.

    Args:
        majority_class: the commoner outcome of the training sessions, 0 or 1.
        majority: test accuracy of always answering that.
        repeat_last: test accuracy of repeating the listener's last outcome.
    """
    return (
        f"On {test.sessions:,} test sessions the network is right {test.accuracy:.1%} of the time; always "
        f"answering “{OUTCOMES[majority_class]}” is right {majority:.1%}, and repeating what the listener "
        f"did with the track before, {repeat_last:.1%}."
    )


def class_balance(balance: Mapping[str, tuple[int, int]]) -> str:
    """How often the last track was skipped in training and in test sessions."""
    train, test = (_share(balance[split][0], sum(balance[split])) for split in ("train", "test"))
    return f"The last track was skipped in {train} of the training sessions and {test} of the test sessions."


def session_lengths(lengths: Mapping[int, int]) -> str:
    """How long sessions are, and how much of the sequences is padding."""
    total = sum(lengths.values())
    full = lengths.get(schema.MAX_SESSION_LENGTH, 0)
    steps = sum((length - 1) * count for length, count in lengths.items())
    return (
        f"{_share(full, total)} of the sessions have all {schema.MAX_SESSION_LENGTH} tracks; shorter ones "
        f"are padded in front, which makes {_share(total * schema.STEPS - steps, total * schema.STEPS)} of "
        "all steps padding."
    )


def training_curves(history: Sequence[EpochReport], best_epoch: int) -> str:
    """Which epoch was kept, and what became of the loss."""
    first, best = history[0], history[best_epoch - 1]
    return (
        f"Of {len(history)} epochs, number {best_epoch} was kept: there the validation loss stopped falling, "
        f"at {best.validation_loss:.4f} after {first.validation_loss:.4f} in the first epoch, with "
        f"{best.validation_accuracy:.1%} of the validation sessions right."
    )


def confusion_matrix(confusion: Confusion) -> str:
    """How many of each outcome were recognised."""
    skipped, played = confusion.rows
    return (
        f"Of {sum(skipped):,} skipped tracks, {_share(skipped[0], sum(skipped))} were predicted as skipped; "
        f"of {sum(played):,} tracks that were not skipped, {_share(played[1], sum(played))} were predicted "
        "as not skipped."
    )


def roc(curve: RocCurve) -> str:
    """What the area means."""
    return (
        f"Of one skipped and one played track taken at random, the network gives the played one the higher "
        f"probability {curve.area:.1%} of the time; a coin would manage 50%."
    )


def calibration(curve: Sequence[ReliabilityBin]) -> str:
    """How far probabilities are from what happened, on average over the sessions."""
    return (
        f"In {len(curve)} groups of sessions with similar probabilities, the network's mean probability is "
        f"off by {100 * expected_calibration_error(curve):.1f} percentage points from the share that was not "
        "skipped. Points in the shaded band are off by no more than chance."
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
