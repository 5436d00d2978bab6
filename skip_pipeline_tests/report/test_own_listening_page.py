"""The page about oneself: what it says, that it is self-contained and safe, and when it has names."""

import dataclasses
from typing import Any

import pytest

from skip_pipeline import schema
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.raw.own_listening import OwnListening
from skip_pipeline.report.newest_tenth import ByTime, Judged, ModelScores, Question
from skip_pipeline.report.own_listening import Listening, Row
from skip_pipeline.report.own_listening_page import beside, render_own_listening, right, unknown
from skip_pipeline_tests.report.test_report_page import EVIL, FORBIDDEN, Page

MARKER = OwnListening(
    data="real",
    source="Spotify Extended streaming history",
    people=1,
    first_day="2023-11-01",
    last_day="2024-02-28",
    time_zone="Europe/Stockholm",
    pause_minutes=30.0,
    plays=12_345,
    sessions=678,
    tracks=901,
    unknown=("premium", "context_type", *schema.TRACK_ATTRIBUTES),
    left_out={"podcasts": 4321, "videos": 0},
    files={},
)
HOURS = tuple(Row(f"{hour:02d}:00", 100 + hour, 10 + hour) for hour in range(24))
LISTENING = Listening(
    all=Row("all", 12_345, 5_555),
    cut_off=77,
    periods=(
        Row("November 2023", 4_000, 1_000),
        Row("December 2023", 0, 0),
        Row("January 2024", 30, 30),
        Row("February 2024", 5_000, 2_500),
    ),
    by_quarter=False,
    hours=HOURS,
    weekdays=tuple(Row(day, 700, 300) for day in ("Monday", *"BCDEFG")),
    week=(HOURS,) * 7,
    before=(Row("a track played to its end", 6_000, 600), Row("a skip", 5_000, 4_000)),
    runs=(Row("no skip", 6_000, 600), Row("10 or more skips", 50, 49)),
    longest_skipped=88,
    longest_played=99,
    starts=(Row("the next button", 5_000, 4_000),),
    shuffle=(Row("shuffle on", 5_000, 4_000),),
    artists=(Row("7", 3_000, 300), Row("3", 2_000, 1_500), Row("5", 20, 0)),
    acquaintance=(Row("first play", 901, 400),),
    people=(Row("1", 12_345, 5_555),),
)


def scores(name: str, accuracy: float, difference: Estimate | None = None) -> ModelScores:
    around = Estimate(0.4567, 0.44, 0.47)
    right = Estimate(accuracy, accuracy - 0.01, accuracy + 0.01)
    return ModelScores(
        name, name == "fast", around, difference, right, difference, Estimate(0.9123, 0.9, 0.92)
    )


def judged(difference: tuple[float, float, float] = (0.01, -0.01, 0.03), *, every: bool = True) -> Judged:
    worse = Estimate(0.3, 0.2, 0.4)
    models = (
        scores("fast", 0.853),
        scores("gradient_boosted_trees", 0.849, Estimate(*difference)),
        scores("logistic_regression", 0.848, worse),
        scores("last_outcome", 0.821, worse),
        scores("majority", 0.547, worse),
    )
    return Judged(68, Question(68, models), Question(1234, models) if every else None)


def group(name: str, kind: str, low: float) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "kind": kind,
        "rise": {"value": low + 0.1, "low": low, "high": low + 0.2},
    }


IMPORTANCE = {
    "inputs": [
        group("a whole branch", "branch", 0.5),
        group("outcomes: how much of each earlier track was heard", "features", 0.1),
        group("sound", "features", -0.05),
    ]
}
NEWEST = ByTime("2024-02-20", trained=550, validated=60, judged=judged())


def rendered(**changed: Any) -> str:
    arguments: dict[str, Any] = {
        "listening": LISTENING,
        "marker": MARKER,
        "newest": NEWEST,
        "by_hash": judged(),
        "importance": IMPORTANCE,
        "names": {},
        "made_at": "24 November 2025, 02:03 UTC",
    }
    return render_own_listening(**arguments | changed)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(rendered())


def test_it_asks_for_nothing_from_outside(page: Page) -> None:
    assert {name for name, _ in page.tags}.isdisjoint(FORBIDDEN)
    addresses = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("href", "src")]
    assert all(address.startswith("#") for address in addresses)
    assert "url(" not in rendered()
    assert set(addresses) == {f"#{each}" for each in page.values("section", "id")}


def test_it_says_whose_listening_it_is_and_what_was_counted(page: Page) -> None:
    for shown in (
        "Real listening of 1 person, 2023-11-01 to 2024-02-28 (Spotify Extended streaming history).",
        "12,345 plays, 45.0% of them skipped. The network is right about 8.5 of 10 tracks.",
        "by month: between 25.0% (November 2023) and 50.0% (February 2024).",
        "You skip most in the hour from 23:00 (26.8%), and least in that from 00:00 (10.0%).",
        "99 tracks played to their end in a row, and 88 skipped in a row.",
        "artist 7 is skipped least (10.0%), and artist 3 most (75.0%).",
        "trained on 550 sessions of the past, stopped and calibrated by 60 others of the past, and judged "
        "on the 68 sessions from 2024-02-20 on.",
        "in this order: how much of each earlier track was heard.",
        "77 of the plays above",
        "podcasts 4,321",
        "Times are local (Europe/Stockholm)",
    ):
        assert shown in page.words.replace(" ,", ","), shown
    assert "videos" not in page.words
    assert "a whole branch" not in page.words
    assert "person 1" not in page.words


def test_columns_show_every_month_with_a_play_and_mark_few_plays() -> None:
    html = rendered()

    assert "<title>November 2023: 25.0% of 4,000 plays skipped</title>" in html
    assert "<title>December 2023" not in html
    assert html.count('class="part few"') == 1
    assert html.count('class="cell') == 7 * 24


def test_both_splits_stand_side_by_side_with_every_model(page: Page) -> None:
    assert page.words.count("the newest tenth, trained on the past") == 2
    for title in (
        "the network",
        "gradient-boosted trees",
        "logistic regression",
        "always the commoner answer",
    ):
        assert page.pieces.count(title) == 2, title
    assert page.words.count("may be chance") == 2
    assert page.words.count("0.457") == 2 * 2 * 5


def test_without_a_judgement_on_the_newest_the_reason_stands_there() -> None:
    words = Page(rendered(newest="everything was skipped")).words

    assert "There is no judgement on the newest tenth: everything was skipped." in words
    assert "the newest tenth, trained on the past" not in words
    assert "sessions drawn by hash from all years" in words


def test_a_network_that_answers_last_tracks_alone_has_one_table() -> None:
    last = judged(every=False)
    words = Page(rendered(newest=dataclasses.replace(NEWEST, judged=last), by_hash=last)).words

    assert "Every track, from the tracks before it" not in words
    assert "The network is right about the last track of 8.5 of 10 sessions." in words


def test_several_people_have_a_row_each_and_are_not_addressed() -> None:
    people = (Row("1", 12_000, 5_000), Row("2", 345, 300))
    words = Page(
        rendered(
            marker=dataclasses.replace(MARKER, people=2),
            listening=dataclasses.replace(LISTENING, people=people),
        )
    ).words

    assert "2 345 87.0%" in words
    assert "They skip most" in words
    assert "you" not in words.lower().split()


def test_names_stand_in_place_of_numbers_and_the_page_says_where_it_lies() -> None:
    words = Page(rendered(names={7: "Sigur Rós", 3: "AC/DC"})).words

    assert "Sigur Rós is skipped least (10.0%), and AC/DC most (75.0%)." in words
    assert "artist 5" in words
    assert "This page names artists. It is kept on this machine alone." in words
    assert "imported without names" not in words
    assert "imported without names" in Page(rendered()).words


@pytest.mark.parametrize(
    "changed",
    [
        {"names": {7: EVIL}},
        {"made_at": EVIL},
        {"newest": EVIL},
        {"marker": dataclasses.replace(MARKER, left_out={EVIL: 1})},
        {"marker": dataclasses.replace(MARKER, time_zone=EVIL)},
        {"marker": dataclasses.replace(MARKER, source=EVIL)},
        {"listening": dataclasses.replace(LISTENING, periods=(Row(EVIL, 500, 1),))},
        {"importance": {"inputs": [group(EVIL, "features", 0.1)]}},
    ],
)
def test_text_from_outside_is_text_on_the_page(changed: dict[str, Any], page: Page) -> None:
    html = rendered(**changed)

    assert "<script" not in html
    assert {name for name, _ in Page(html).tags} <= {name for name, _ in page.tags}
    assert EVIL in Page(html).text


def test_without_artists_there_is_no_part_about_them(page: Page) -> None:
    found = Page(rendered(listening=dataclasses.replace(LISTENING, artists=())))

    assert set(page.values("section", "id")) - set(found.values("section", "id")) == {"artists"}
    assert "#artists" not in found.values("a", "href")


def test_without_a_cause_beyond_chance_it_says_so() -> None:
    words = Page(rendered(importance={"inputs": [group("sound", "features", -0.1)]})).words

    assert "No group of inputs alone matters beyond chance" in words


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (
            (0.01, -0.01, 0.03),
            "By log-loss, the best rival, gradient-boosted trees, does not differ beyond chance.",
        ),
        ((0.03, 0.01, 0.05), "By log-loss, the best rival, gradient-boosted trees, is worse beyond chance."),
        (
            (-0.03, -0.05, -0.01),
            "By log-loss, the best rival, gradient-boosted trees, is better beyond chance.",
        ),
    ],
)
def test_the_best_rival_is_judged_by_its_interval(
    difference: tuple[float, float, float], verdict: str
) -> None:
    text = beside(judged(difference))

    assert text.endswith(verdict)
    assert "the same as with the track before is right 8.2 of 10 times" in text
    assert "commoner in training, 5.5 of 10 times" in text
    assert right(judged()) == "The network is right about 8.5 of 10 tracks."


def test_what_the_export_does_not_know_is_said_in_words() -> None:
    assert unknown(("premium", *schema.TRACK_ATTRIBUTES)) == [
        "the kind of account",
        "duration, year, popularity and sound of the tracks",
    ]
    assert unknown(("tempo", "key")) == ["of some or all tracks: key, tempo"]
    assert unknown(()) == []
