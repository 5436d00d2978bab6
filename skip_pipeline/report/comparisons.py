"""What the tables of the report say, in a sentence or two each: who is better, where, by what, how surely.

Like ``readings``, words for people without the table; the page escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from skip_pipeline.report.calibration import CalibrationReport
from skip_pipeline.report.importance import Importance
from skip_pipeline.report.leaderboard import Entry, Leaderboard
from skip_pipeline.report.mistakes import Mistake
from skip_pipeline.report.slices import SliceTable
from skip_pipeline.settings import BOOTSTRAP_RESAMPLES, CONFIDENCE, FEW_SESSIONS


def verdict(board: Leaderboard) -> str:
    """Where the network stands among what can be trained, and which of it is beyond chance."""
    network, contestants = board.network, board.contestants
    if len(contestants) == 1:
        return "There is no baseline to set the network beside; materialize baseline_models for that."
    place = contestants.index(network) + 1
    better, worse, open_ = _by_log_loss(contestants)
    sentences = [f"By log-loss, the {network.title} is number {place} of {len(contestants)} models."]
    if better:
        sentences.append(f"Better than the network beyond chance: {_titles(better)}.")
    if worse:
        sentences.append(f"Worse beyond chance: {_titles(worse)}.")
    if open_:
        sentences.append(f"A difference that may be chance: {_titles(open_)}.")
    return " ".join(sentences)


def _by_log_loss(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Better than the network, worse, and neither beyond chance."""
    better: list[Entry] = []
    worse: list[Entry] = []
    open_: list[Entry] = []
    for entry in entries:
        difference = entry.log_loss_difference
        if difference is None:
            continue
        if not difference.excludes_zero:
            open_.append(entry)
        else:
            (better if difference.value < 0 else worse).append(entry)
    return better, worse, open_


def _titles(entries: Sequence[Entry]) -> str:
    """Who, and by how much log-loss each differs from the network."""
    differences = [(entry.title, entry.log_loss_difference) for entry in entries]
    return ", ".join(f"{title} ({signed(d.value)} nats)" for title, d in differences if d)


def signed(value: float) -> str:
    """Four decimals with a sign that is as wide as a plus."""
    return f"{value:+.4f}".replace("-", "−")


def rule(board: Leaderboard) -> str:
    """How to read the differences of the leaderboard."""
    return (
        f"A difference to the network is beyond chance where its {CONFIDENCE:.0%} interval leaves out zero. "
        f"Intervals come from drawing the {board.sessions:,} test sessions {BOOTSTRAP_RESAMPLES:,} times "
        "with replacement, the same draw for all models; so trust the interval of a difference, not whether "
        "two models' own intervals overlap. They say how far other test sessions would move a figure, not "
        "how far training again would. Of 20 comparisons without any difference, one looks beyond chance "
        "by luck."
    )


def distance(board: Leaderboard) -> str:
    """How far the network is from the best possible, and how much of the way from the worst it has come."""
    oracles = [entry for entry in board.entries if entry.kind == "oracle"]
    return " ".join(
        f"To the {oracle.title}, the network lacks {-oracle.log_loss_difference.value:.4f} nats of log-loss "
        f"(interval {-oracle.log_loss_difference.high:.4f} to {-oracle.log_loss_difference.low:.4f}) and "
        f"{100 * oracle.accuracy_difference.value:.1f} points of accuracy "
        f"({100 * oracle.accuracy_difference.low:.1f} to {100 * oracle.accuracy_difference.high:.1f})."
        for oracle in reversed(oracles)
        if oracle.log_loss_difference and oracle.accuracy_difference
    )


def correction(report: CalibrationReport) -> str:
    """What was done to the network's probabilities, where that was learnt, and how it shows on test."""
    test = report.effects["test"]
    calibration = report.calibration
    shift = f" and shifted by {signed(calibration.offset)}" if calibration.offset else ""
    return (
        f"The network's log-odds are multiplied by {calibration.slope:.3f}{shift}, and from a probability of "
        f"{calibration.threshold:.2f} on a track counts as “not skipped”; both were chosen on the "
        f"{calibration.sessions:,} validation sessions alone. On the test "
        f"sessions log-loss goes from {test.before.log_loss:.4f} to {test.after.log_loss:.4f}, and accuracy "
        f"from {test.before.accuracy:.1%} to {test.after.accuracy:.1%}."
    )


def slices(tables: Sequence[SliceTable]) -> str:
    """Where predictions are best and worst, among slices that are large enough to tell."""
    large = [(table, part) for table in tables for part in table.slices if not part.few]
    if not large:
        return f"Every slice has fewer than {FEW_SESSIONS} sessions, too few to tell them apart."
    (best_table, best), (worst_table, worst) = (
        f(large, key=lambda pair: pair[1].log_loss.value) for f in (min, max)
    )
    return (
        f"Among slices of at least {FEW_SESSIONS} sessions, log-loss is lowest for “{best_table.title}: "
        f"{best.label}” ({best.log_loss.value:.3f}) and highest for “{worst_table.title}: {worst.label}” "
        f"({worst.log_loss.value:.3f}). Of so many slices some stand out by chance."
    )


def importance(measured: Importance) -> str:
    """Which branch and which features cost most, and what shows nothing."""
    branches, features = measured.of_kind("branch"), measured.of_kind("features")
    silent = [entry.title for entry in features if not entry.rise.low > 0]
    text = (
        f"Of the branches, {branches[0].name} costs most when sessions exchange it "
        f"({signed(branches[0].rise.value)} nats); of the features, “{features[0].title}” "
        f"({signed(features[0].rise.value)} nats)."
    )
    return f"{text} Without a rise beyond chance: {', '.join(silent)}." if silent else text


def mistakes(shown: Sequence[Mistake]) -> str:
    """What the worst predictions have in common."""
    if not shown:
        return "No outcome was given a probability below one half."
    turned = sum(not mistake.like_the_last for mistake in shown)
    which = f"all of these {len(shown)}" if turned == len(shown) else f"{turned} of these {len(shown)}"
    return (
        f"In {which} sessions, the listener did with the last track the opposite of what they did with the "
        "one before."
    )
