"""The results in sentences: true of the numbers, and of chance."""

import dataclasses

from skip_pipeline.report import sentences
from skip_pipeline.report.importance import Importance
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.report.contents import (
    BOARD,
    CALIBRATION,
    IMPORTANCE,
    MISTAKES,
    NEXT_TRACK,
    SCORES,
    SECOND_HALF,
    SLICES,
    around,
)


def test_the_headline_sets_the_network_beside_the_rules() -> None:
    assert_says(sentences.headline(SCORES, 0, 0.55, 0.612), "2,013", "75.1%", "“skipped”", "55.0%", "61.2%")
    assert "“not skipped”" in sentences.headline(SCORES, 1, 0.55, 0.612)


def test_the_verdict_ranks_trainable_models_and_separates_what_may_be_chance() -> None:
    assert_says(
        sentences.verdict(BOARD),
        "number 2 of 4",
        "Better than the network beyond chance: trees (−0.0400 nats).",
        "Worse beyond chance: majority (+0.1800 nats).",
        "A difference that may be chance: regression (+0.0050 nats).",
    )
    weaker = tuple(e for e in BOARD.entries if e.model.name in ("fast", "majority"))
    best = sentences.verdict(dataclasses.replace(BOARD, entries=weaker))
    assert "number 1 of 2" in best
    assert "Better than" not in best
    alone = dataclasses.replace(BOARD, entries=(BOARD.network,))
    assert_says(sentences.verdict(alone), "no baseline", "materialize baseline_models")


def test_the_rule_names_confidence_sessions_and_resamples() -> None:
    assert_says(sentences.interval_rule(BOARD), "95%", "2,013 test sessions 1,000 times")


def test_the_distance_to_an_oracle_is_the_networks_loss() -> None:
    assert_says(
        sentences.oracle_distance(BOARD),
        "To the oracle past",
        "0.0600 nats of log-loss (interval 0.0500 to 0.0700)",
        "-4.0 points of accuracy (-5.0 to -3.0)",
    )
    assert sentences.oracle_distance(dataclasses.replace(BOARD, entries=BOARD.entries[1:])) == ""


def test_the_calibration_is_stated_with_its_effect_on_test_sessions() -> None:
    text = sentences.calibration(CALIBRATION)
    assert_says(
        text, "multiplied by 0.875 and shifted by −0.2500", "0.47", "1,010 tracks of the validation sessions"
    )
    assert_says(text, "0.5112 to 0.5012", "74.1% to 75.1%")
    unshifted = dataclasses.replace(CALIBRATION.calibration, offset=0.0)
    assert "shifted" not in sentences.calibration(dataclasses.replace(CALIBRATION, calibration=unshifted))


def test_the_best_and_worst_slices_are_large_enough_to_judge_by() -> None:
    text = sentences.slices(SLICES)
    assert_says(text, "lowest for “Account: premium” (0.450)", "highest for “Account: free” (0.550)")
    assert_says(sentences.slices(SLICES[1:]), "fewer than 100", "too few")


def test_importance_names_the_highest_rises_and_those_that_may_be_chance() -> None:
    text = sentences.importance(IMPORTANCE)
    assert_says(text, "session_log", "+0.0900", "“what was heard” (+0.1800 nats)", "beyond chance: seeks.")
    assert "beyond chance" not in sentences.importance(Importance(1000, 0.5, IMPORTANCE.inputs[:2]))


def test_mistakes_count_the_listeners_who_changed() -> None:
    assert "In 1 of these 2 sessions" in sentences.mistakes(MISTAKES)
    assert "In all of these 1 sessions" in sentences.mistakes(MISTAKES[:1])
    assert "below one half" in sentences.mistakes(())


def test_the_next_track_is_stated_beside_the_best_rival() -> None:
    assert_says(
        sentences.next_track(NEXT_TRACK),
        "On the 34,395 tracks of the test sessions",
        "right 76.1% of the time; its log-loss is 0.4800.",
        "The best rival, trees, differs by +0.0110 nats, beyond chance.",
        "higher probability in 68.3% of the cases",
    )
    alone = dataclasses.replace(NEXT_TRACK, entries=NEXT_TRACK.entries[:1])
    assert "rival" not in sentences.next_track(alone)


def test_unknown_tracks_are_set_beside_the_others() -> None:
    assert_says(sentences.unknown_tracks(NEXT_TRACK), "8,499 of 34,395 tracks", "0.5010, and 0.4740 on")
    [network, *rivals] = NEXT_TRACK.entries
    all_known = dataclasses.replace(network, log_loss_unknown=None)
    none_known = dataclasses.replace(network, log_loss_known=None)
    for changed, which in ((none_known, "Every track"), (all_known, "No track")):
        found = dataclasses.replace(NEXT_TRACK, entries=(changed, *rivals))
        assert sentences.unknown_tracks(found).startswith(which)


def test_second_halves_are_stated_beside_the_last_action() -> None:
    assert_says(
        sentences.second_half(SECOND_HALF),
        "second halves of 2,013 test sessions, 16,104 tracks",
        "(network, by whole strings): mean average accuracy is 0.6206",
        "right in 79.7% of the sessions.",
        "Repeating the last action differs by −0.0775, beyond chance.",
    )
    as_good = dataclasses.replace(SECOND_HALF.decisions[-1], maa_difference=around(0.001))
    unsure = dataclasses.replace(SECOND_HALF, decisions=(SECOND_HALF.decisions[0], as_good))
    assert "differs by +0.0010, which may be chance." in sentences.second_half(unsure)


def test_the_calibration_of_second_halves_is_stated() -> None:
    assert_says(
        sentences.calibration_of_second_half(SECOND_HALF),
        "51.2% of these tracks were skipped.",
        "differs by +0.4 points (95% interval −0.6 to +1.4)",
        "log-loss is 0.5702, and its calibration error 0.011.",
    )
