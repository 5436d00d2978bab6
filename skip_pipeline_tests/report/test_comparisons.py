"""What is said of the tables: true of the numbers, and of chance."""

import dataclasses

from skip_pipeline.report import comparisons
from skip_pipeline.report.importance import Importance
from skip_pipeline.report.leaderboard import Leaderboard
from skip_pipeline_tests.report.contents import BOARD, CALIBRATION, IMPORTANCE, MISTAKES, SLICES


def test_the_verdict_ranks_what_can_be_trained_and_separates_what_may_be_chance() -> None:
    assert comparisons.verdict(BOARD) == (
        "By log-loss, the fast is number 2 of 4 models. Better than the network beyond chance: trees "
        "(−0.0400 nats). Worse beyond chance: majority (+0.1800 nats). A difference that may be chance: "
        "regression (+0.0050 nats)."
    )


def test_a_network_alone_is_not_ranked() -> None:
    alone = dataclasses.replace(BOARD, entries=(BOARD.network,))
    assert "no baseline" in comparisons.verdict(alone)
    assert "materialize baseline_models" in comparisons.verdict(alone)


def test_the_best_network_is_better_than_all() -> None:
    weaker = tuple(e for e in BOARD.entries if e.name in ("fast", "majority"))
    said = comparisons.verdict(dataclasses.replace(BOARD, entries=weaker))
    assert "number 1 of 2" in said
    assert "Better than the network" not in said


def test_the_rule_says_how_intervals_come_about_and_what_they_leave_out() -> None:
    said = comparisons.rule(BOARD)
    assert "beyond chance where its 95% interval leaves out zero" in said
    assert "2,013 test sessions 1,000 times" in said
    assert "training again" in said


def test_the_distance_to_the_best_possible_is_what_the_network_lacks() -> None:
    assert comparisons.distance(BOARD) == (
        "To the oracle past, the network lacks 0.0600 nats of log-loss (interval 0.0500 to 0.0700) and "
        "-4.0 points of accuracy (-5.0 to -3.0)."
    )


def test_the_correction_and_the_threshold_are_stated() -> None:
    assert comparisons.correction(CALIBRATION) == (
        "The network's log-odds are multiplied by 0.875 and shifted by −0.2500, and from a probability of "
        "0.47 on a track counts as “not skipped”; both were chosen on the 1,010 validation sessions alone. "
        "On the test sessions log-loss goes from 0.5112 to 0.5012, and accuracy from 74.1% to 75.1%."
    )
    unshifted = dataclasses.replace(
        CALIBRATION, calibration=dataclasses.replace(CALIBRATION.calibration, offset=0.0)
    )
    assert "shifted" not in comparisons.correction(unshifted)


def test_slices_too_small_to_judge_by_are_no_extremes() -> None:
    assert comparisons.slices(SLICES) == (
        "Among slices of at least 100 sessions, log-loss is lowest for “Account: premium” (0.450) and "
        "highest for “Account: free” (0.550). Of so many slices some stand out by chance."
    )
    assert "too few" in comparisons.slices(SLICES[1:])


def test_importance_names_the_costliest_and_the_silent() -> None:
    assert comparisons.importance(IMPORTANCE) == (
        "Of the branches, session_log costs most when sessions exchange it (+0.0900 nats); of the features, "
        "“what was heard” (+0.1800 nats). Without a rise beyond chance: seeks."
    )
    audible = Importance(1000, 0.5, IMPORTANCE.inputs[:2])
    assert "Without a rise" not in comparisons.importance(audible)


def test_mistakes_tell_how_many_listeners_turned() -> None:
    assert comparisons.mistakes(MISTAKES).startswith("In 1 of these 2 sessions,")
    assert comparisons.mistakes(MISTAKES[:1]).startswith("In all of these 1 sessions,")
    assert "No outcome" in comparisons.mistakes(())


def test_a_board_without_oracles_has_no_distance() -> None:
    real = Leaderboard(BOARD.sessions, BOARD.share_not_skipped, BOARD.entries[1:])
    assert comparisons.distance(real) == ""
