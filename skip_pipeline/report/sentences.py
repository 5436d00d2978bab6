"""The results in sentences, for readers without the tables; the page escapes them."""

from collections.abc import Sequence

from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report.calibration_effect import CalibrationReport
from skip_pipeline.report.importance import Importance
from skip_pipeline.report.leaderboard import Leaderboard, Model, subject
from skip_pipeline.report.mistakes import Mistake
from skip_pipeline.report.next_track import NextTrack
from skip_pipeline.report.second_half import LAST_ACTION, SecondHalf
from skip_pipeline.report.slices import SliceTable
from skip_pipeline.settings import BOOTSTRAP_RESAMPLES, CONFIDENCE, FEW_SESSIONS


def headline(
    test: SplitScores, majority_class: int, majority: float, repeat_last: float, served: Model
) -> str:
    """The result in one sentence; arguments as in ``evaluation.Evaluation``, and the served model."""
    commoner = "not skipped" if majority_class else "skipped"
    return (
        f"On the last tracks of {test.sessions:,} test sessions {subject(served)} is right "
        f"{test.accuracy:.1%} of the time; always answering “{commoner}” is right {majority:.1%}, and "
        f"repeating what the listener did with the track before, {repeat_last:.1%}."
    )


def next_track(found: NextTrack) -> str:
    """The served model's scores on every track, beside the best baseline's."""
    served, rival = found.served, found.best_rival
    name = subject(served.model)
    text = (
        f"On the {found.tracks:,} tracks of the test sessions, each predicted from those before it, "
        f"{name} is right {served.accuracy.value:.1%} of the time; its log-loss is "
        f"{served.log_loss.value:.4f}."
    )
    if rival and (difference := rival.log_loss_difference):
        sure = "beyond chance" if difference.excludes_zero else "which may be chance"
        text += f" The best rival, {rival.model.title}, differs by {signed(difference.value)} nats, {sure}."
    if served.session_auc:
        text += (
            f" Within a session, {name} gives the played track of a pair the higher probability in "
            f"{served.session_auc.value:.1%} of the cases; by chance it would be 50%."
        )
    return text


def unknown_tracks(found: NextTrack) -> str:
    """Log-loss of the served model on tracks that no training session played, beside the others."""
    served = found.served
    if not (served.log_loss_unknown and served.log_loss_known):
        which = "No" if served.log_loss_known else "Every"
        return f"{which} track of the test sessions is one that no training session played."
    return (
        f"{found.unknown_tracks:,} of {found.tracks:,} tracks were played in no training session: there the "
        f"log-loss is {served.log_loss_unknown.value:.4f}, and {served.log_loss_known.value:.4f} "
        "on the others."
    )


def calibration_of_tracks(found: NextTrack) -> str:
    """The effect of the correction on every track of the test sessions."""
    test = found.calibration["test"]
    return (
        f"The same correction serves every track: on the test sessions log-loss goes from "
        f"{test.before.log_loss:.4f} to {test.after.log_loss:.4f}, and the calibration error from "
        f"{test.ece_before:.3f} to {test.ece_after:.3f}."
    )


def last_track_alone(network: Model) -> str:
    """Why a network has no score for the next track at any position."""
    return (
        f"The {network.title} answers only the last track of a session, so it has no score here; train the "
        "preset fast for the next track at any position."
    )


def second_half(found: SecondHalf) -> str:
    """The network's scores on second halves, beside those of repeating the last action."""
    own, rival = found.decided, found.named(LAST_ACTION)
    text = (
        f"The second halves of {found.sessions:,} test sessions, {found.tracks:,} tracks, are decided from "
        f"their first halves ({own.title}): mean average accuracy is {own.maa.value:.4f}, and the first "
        f"decision is right in {own.fpa.value:.1%} of the sessions."
    )
    if difference := rival.maa_difference:
        sure = "beyond chance" if difference.excludes_zero else "which may be chance"
        text += f" Repeating the last action differs by {signed(difference.value)}, {sure}."
    return text


def calibration_of_second_half(found: SecondHalf) -> str:
    """How the mean probability of ``skip_2`` compares with the share of skips."""
    gap = found.calibration_gap
    return (
        f"{found.share_skipped:.1%} of these tracks were skipped. The mean probability differs by "
        f"{signed(100 * gap.value, 1)} points ({CONFIDENCE:.0%} interval {signed(100 * gap.low, 1)} to "
        f"{signed(100 * gap.high, 1)}); its log-loss is {found.log_loss.value:.4f}, and its calibration "
        f"error {found.ece:.3f}."
    )


def no_second_half(network: Model) -> str:
    """Why a network decides no second half."""
    return (
        f"The {network.title} gives a probability of a session's last track alone, so it decides no second "
        "half; train the preset fast for this task."
    )


def verdict(board: Leaderboard) -> str:
    """The served model's rank among the models that can be trained, and which differences are significant."""
    served, models = board.served, board.trainable
    if len(models) == 1:
        return "There is no baseline to set the network beside; materialize baseline_models for that."
    rank = models.index(served) + 1
    text = f"By log-loss, the {served.model.title} is number {rank} of {len(models)} models."
    groups: dict[str, list[str]] = {
        f"Better than {subject(served.model)} beyond chance": [],
        "Worse beyond chance": [],
        "A difference that may be chance": [],
    }
    better, worse, unclear = groups.values()
    for entry in models:
        if difference := entry.log_loss_difference:
            sure = better if difference.value < 0 else worse
            group = sure if difference.excludes_zero else unclear
            group.append(f"{entry.model.title} ({signed(difference.value)} nats)")
    return " ".join([text, *(f"{name}: {', '.join(titles)}." for name, titles in groups.items() if titles)])


def signed(value: float, digits: int = 4) -> str:
    """A number with a sign as wide as a plus.

    >>> signed(-0.5, 1)
    '−0.5'
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def interval_rule(board: Leaderboard) -> str:
    """How to read the differences of the leaderboard."""
    return (
        f"A difference to {subject(board.served.model)} is beyond chance where its {CONFIDENCE:.0%} interval "
        f"leaves out zero. Intervals come from drawing the {board.sessions:,} test sessions "
        f"{BOOTSTRAP_RESAMPLES:,} times with replacement, the same draw for all models; so trust the "
        "interval of a difference, not whether two models' own intervals overlap. They say how far other "
        "test sessions would move a figure, not how far training again would. Of 20 comparisons without "
        "any difference, one looks beyond chance by luck."
    )


def oracle_distance(board: Leaderboard) -> str:
    """The served model's distance from each oracle; empty without one."""
    name = subject(board.served.model)
    return " ".join(
        f"To the {entry.model.title}, {name} lacks {-log_loss.value:.4f} nats of log-loss "
        f"(interval {-log_loss.high:.4f} to {-log_loss.low:.4f}) and {100 * accuracy.value:.1f} points of "
        f"accuracy ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})."
        for entry in reversed(board.entries)
        if entry.model.kind == "oracle"
        and (log_loss := entry.log_loss_difference)
        and (accuracy := entry.accuracy_difference)
    )


def calibration(report: CalibrationReport) -> str:
    """The correction of the network's probabilities, where it was fitted, and its effect on test sessions."""
    test, fitted = report.effects["test"], report.calibration
    shift = f" and shifted by {signed(fitted.offset)}" if fitted.offset else ""
    return (
        f"The network's log-odds are multiplied by {fitted.slope:.3f}{shift}, and from a probability of "
        f"{fitted.threshold:.2f} on a track counts as “not skipped”; both were chosen on "
        f"{fitted.tracks:,} tracks of the validation sessions alone. On the last tracks of the test sessions "
        f"log-loss goes from {test.before.log_loss:.4f} to {test.after.log_loss:.4f}, and accuracy from "
        f"{test.before.accuracy:.1%} to {test.after.accuracy:.1%}."
    )


def slices(tables: Sequence[SliceTable]) -> str:
    """The best and the worst of the slices that are large enough to judge by."""
    large = sorted(
        (part.log_loss.value, f"“{table.title}: {part.label}” ({part.log_loss.value:.3f})")
        for table in tables
        for part in table.slices
        if not part.few
    )
    if not large:
        return f"Every slice has fewer than {FEW_SESSIONS} sessions, too few to tell them apart."
    return (
        f"Among slices of at least {FEW_SESSIONS} sessions, log-loss is lowest for {large[0][1]} and "
        f"highest for {large[-1][1]}. Of so many slices some stand out by chance."
    )


def importance(measured: Importance) -> str:
    """The most important branch and features, and the features without a significant rise."""
    branch, features = measured.of_kind("branch")[0], measured.of_kind("features")
    text = (
        f"Of the branches, {branch.name} costs most when sessions exchange it ({signed(branch.rise.value)} "
        f"nats); of the features, “{features[0].title}” ({signed(features[0].rise.value)} nats)."
    )
    silent = [group.title for group in features if group.rise.low <= 0]
    return f"{text} Without a rise beyond chance: {', '.join(silent)}." if silent else text


def mistakes(shown: Sequence[Mistake]) -> str:
    """How many of the worst predictions are of listeners who changed their behaviour."""
    if not shown:
        return "No outcome was given a probability below one half."
    turned = sum(not mistake.repeats_last_outcome for mistake in shown)
    which = f"all of these {len(shown)}" if turned == len(shown) else f"{turned} of these {len(shown)}"
    return (
        f"In {which} sessions, the listener did with the last track the opposite of what they did with the "
        "one before."
    )
