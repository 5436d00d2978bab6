from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.nightly.decision import Decision, Reason, SliceChange
from skip_pipeline.nightly.evidence import LAST_TRACK, NEXT_TRACK
from skip_pipeline.nightly.power import Power
from skip_pipeline.nightly.promotion_record import JudgedVersion, Promotion
from skip_pipeline.raw.description import Description
from skip_pipeline.report.html import RunLink
from skip_pipeline.report.promotion_page import headline, render_promotion
from skip_pipeline_tests.report.test_report_page import EVIL, FORBIDDEN, Page

REFUSED = Promotion(
    decision=Decision(
        (
            Reason(
                "beats the last outcome", True, "log-loss 0.5400, and 0.5977 by going by the last outcome"
            ),
            Reason("no fall in a slice of premium", False, "accuracy by premium falls for free"),
        ),
        opponent="version 3",
        differences={
            LAST_TRACK: Estimate(0.0042, -0.0011, 0.0093),
            NEXT_TRACK: Estimate(-0.0021, -0.0034, -0.0008),
        },
        newest_day={LAST_TRACK: Estimate(0.015, -0.002, 0.032)},
        to_best={LAST_TRACK: Estimate(0.001, -0.003, 0.005)},
        small_slices=2,
        power=Power(
            sessions=2_013,
            newest_sessions=401,
            caught={LAST_TRACK: 0.0084, NEXT_TRACK: 0.0095},
            caught_on_newest_day={LAST_TRACK: 0.041},
            equal_refused=0.073,
            warnings=("too few sessions",),
        ),
        alarms=("the champion is lost",),
        slices=(
            SliceChange("premium", "free", 310, Estimate(-0.062, -0.09, -0.02), 0.03),
            SliceChange("premium", "paying", 1_703, Estimate(0.011, -0.002, 0.02), 0.03),
        ),
    ),
    challenger="4",
    opponent="3",
    best="2",
    champion="3",
    best_now="2",
    gate_sessions=2_013,
    newest_day="2018-07-17",
    newest_sessions=401,
    data_source="synthetic",
    bundles="3f2a" * 16,
    again=False,
)
NO_CHAMPION = Decision((Reason("a champion to compare with", True, "there is no champion yet"),))
FIRST = replace(
    REFUSED, decision=NO_CHAMPION, challenger="1", opponent=None, champion="1", data_source="real"
)
NIGHT = datetime(2018, 7, 18, 2, 5, tzinfo=UTC)
HISTORY = (
    JudgedVersion("4", NIGHT, "synthetic", "refused", "3", "Refused: …", ()),
    JudgedVersion("3", NIGHT, "", "", "", "", ("challenger", "champion")),
)
RUNS = (RunLink("Dagster run", "run-1", "http://127.0.0.1:3000/runs/run-1"),)


def page(promotion: Promotion = REFUSED, *, history=HISTORY, runs=RUNS, choice="") -> Page:
    synthetic = promotion.data_source == "synthetic"
    description = Description("synthetic data", "no figures") if synthetic else Description()
    made_at = "18 July 2018, 02:05 UTC"
    about = {"description": description, "made_at": made_at, "choice": choice}
    return Page(render_promotion(promotion, history=history, runs=runs, **about))


@pytest.mark.parametrize(
    "shown",
    [
        "Version 4 is refused, and version 3 serves. Alarm",
        "beats the last outcome ✓ yes log-loss 0.5400",
        "no fall in a slice of premium ✗ no accuracy by premium falls for free",
        "A refusal is a normal outcome",
        "It fails 1 of 2 rules: accuracy by premium falls for free",
        "version 3, on all 2,013 gate sessions last track +0.0042 −0.0011 to +0.0093 +0.0100",
        "version 3, on 401 of the newest day, 2018-07-17 last track +0.0150 −0.0020 to +0.0320 +0.0100",
        "the best version, version 2, on all gate sessions last track +0.0010 −0.0030 to +0.0050",
        "best version until then 2 and now; alias best_version",
        "last track +0.0084 +0.0410",
        "next track at any position +0.0095 not judged",
        "A model exactly as good as its opponents, with such standard errors, is refused in at most 7.3% of "
        "the nights.",
        "The gate is weak: too few sessions.",
        "Alarm: the champion is lost.",
        "2 more with fewer than 100 sessions: not judged",
        "next track at any position −0.0021 −0.0034 to −0.0008 +0.0100",
        "free falls too far 310 −6.2 −9.0 to −2.0 3",
        "paying 1,703 +1.1 −0.2 to +2.0 3",
        "4 2018-07-18 02:05 – synthetic data refused 3 Refused: …",
        "3 challenger champion 2018-07-18 02:05 – unknown data not judged – –",
    ],
)
def test_a_refusal_shows_the_serving_version_every_reason_and_the_history(shown):
    assert page().words.count(shown) == 1


def test_the_first_night_compares_nothing():
    first = page(FIRST, history=HISTORY[1:])

    assert "It passes every rule." in first.words
    assert {"difference", "slices", "power"}.isdisjoint(first.values("section", "id"))
    assert "ynthetic" not in first.text


@pytest.mark.parametrize(
    ("promotion", "sentence"),
    [
        (FIRST, "Version 1 is promoted: it serves."),
        (replace(FIRST, again=True), "Version 1 was promoted, and serves."),
        (
            replace(FIRST, again=True, champion="2"),
            "Version 1 is as good as when it was promoted, and version 2 serves.",
        ),
        (replace(REFUSED, champion=None), "Version 4 is refused, and no version serves."),
        (
            replace(REFUSED, champion="2", decision=replace(REFUSED.decision, serves="best")),
            "Version 4 is refused, and version 2 serves, the best so far, in place of version 3.",
        ),
    ],
)
def test_the_headline_names_the_decision_and_the_serving_version(promotion, sentence):
    assert headline(promotion) == sentence
    assert sentence in page(promotion).words
    assert ("no alias was moved" in page(promotion).words) is promotion.again


def test_synthetic_data_are_marked_above_everything():
    assert page().values("p", "class")[0] == "banner"
    assert "(synthetic data)" in page().text
    assert "Synthetic data: no figures." in page().text


def test_the_page_requests_nothing_and_text_stays_text():
    evil = JudgedVersion(EVIL, NIGHT, EVIL, EVIL, EVIL, EVIL, (EVIL,), EVIL)
    decision = Decision((Reason(EVIL, False, EVIL),))
    promotion = replace(REFUSED, decision=decision, challenger=EVIL, opponent=EVIL, champion=EVIL)
    shown = page(promotion, history=(evil,), runs=(RunLink(EVIL, EVIL, "javascript:alert(1)"),), choice=EVIL)

    assert {name for name, _ in shown.tags}.isdisjoint(FORBIDDEN)
    assert shown.values("a", "href") == []
    assert EVIL in shown.text


def test_why_the_challenger_is_the_best_of_the_night_and_what_each_version_is():
    history = (replace(HISTORY[0], kind="gradient_boosted_trees"), *HISTORY[1:])
    shown = page(history=history, choice="Best of the night: the trees").words

    assert "Best of the night: the trees." in shown
    assert "2018-07-18 02:05 gradient boosted trees synthetic data" in shown
    assert "Best of the night" not in page().text


def test_the_record_is_the_decision_with_the_versions():
    content = json.loads(json.dumps(REFUSED.to_json()))

    accuracy = {"value": -0.062, "low": -0.09, "high": -0.02}
    free = {"way": "premium", "label": "free", "sessions": 310, "accuracy": accuracy, "limit": 0.03}
    assert content["slices"][0] == free | {"fallen": True}
    versions = {"challenger": "4", "opponent": "3", "champion": "3", "bundles": "3f2a" * 16}
    facts = {"gate_sessions": 2_013, "data_source": "synthetic", "decided_before": False, "promoted": False}
    assert content.items() >= (versions | facts).items()
