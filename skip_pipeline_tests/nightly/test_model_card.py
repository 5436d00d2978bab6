"""Descriptions of versions, of literal facts."""

from types import SimpleNamespace
from typing import Any

from skip_pipeline.nightly.model_card import version_card
from skip_pipeline.serving import Description


def described(source: Any) -> Description:
    return Description("fast", source, "b" * 64, 50_704, {}, ())


def reference(shards: int, day: str) -> Any:
    return SimpleNamespace(
        newest_day=day, profile=SimpleNamespace(sessions=3_500), shards=dict.fromkeys(range(shards))
    )


def test_a_card_tells_what_on_which_data_how_it_was_judged_and_its_limits():
    card = version_card(described("synthetic"), reference(2, "2018-07-16"), "Promoted: a; b")

    judged, what, learnt, limits = card.strip().split("\n\n")
    assert what.startswith("**What.** Skips of the next track, by the network; preset fast, model ")
    assert learnt == (
        "**Trained on.** Synthetic data, bundles bbbbbbbbbbbb, 50,704 tracks known; 3,500 training "
        "sessions of 2 delivered session logs, newest day 2018-07-16."
    )
    assert judged == "Promoted: a; b"
    assert limits.startswith(
        "**Not for.** Real sessions: it was trained on synthetic data. Decisions about a"
    )


def test_a_card_of_real_data_without_a_profile_or_a_decision_says_so():
    card = version_card(described("real"), None)

    assert "**Trained on.** Real data, bundles bbbbbbbbbbbb, 50,704 tracks known.\n" in card
    assert "Not judged yet" in card
    assert "synthetic" not in card.lower()
    assert "1 delivered session log." in version_card(described("real"), reference(1, ""))


def test_the_reasons_stay_one_paragraph():
    assert version_card(described("real"), None, "a\n\n# b").startswith("a # b\n")
