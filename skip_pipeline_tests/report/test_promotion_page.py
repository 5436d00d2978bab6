from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.nightly.promotion import Decision, Reason, SliceChange
from skip_pipeline.nightly.promotion_record import JudgedVersion, Promotion
from skip_pipeline.report.html import RunLink
from skip_pipeline.report.promotion_page import headline, render_promotion
from skip_pipeline_tests.report.test_report_page import EVIL, Page

REFUSED = Promotion(
    decision=Decision(
        (
            Reason(
                "beats the last outcome", True, "log-loss 0.5400, and 0.5977 by going by the last outcome"
            ),
            Reason("no fall in a slice of premium", False, "accuracy by premium falls for free"),
        ),
        Estimate(0.0042, -0.0011, 0.0093),
        (
            SliceChange("premium", "free", 310, Estimate(-0.062, -0.09, -0.02), 0.03),
            SliceChange("premium", "paying", 1_703, Estimate(0.011, -0.002, 0.02), 0.03),
        ),
    ),
    challenger="4",
    opponent="3",
    champion="3",
    test_sessions=2_013,
    data_source="synthetic",
    bundles="3f2a" * 16,
    again=False,
)
FIRST = dataclasses.replace(
    REFUSED,
    decision=Decision((Reason("a champion to compare with", True, "there is no champion yet"),)),
    challenger="1",
    opponent=None,
    champion="1",
    data_source="real",
)
HISTORY = (
    JudgedVersion(
        "4", datetime(2018, 7, 18, 2, 5, tzinfo=UTC), "synthetic", "refused", "3", "Refused: …", ()
    ),
    JudgedVersion("3", datetime(2018, 7, 17, 2, 5, tzinfo=UTC), "", "", "", "", ("challenger", "champion")),
)
RUNS = (RunLink("Dagster run", "run-1", "http://127.0.0.1:3000/runs/run-1"),)


def page(promotion: Promotion = REFUSED, *, history=HISTORY, runs=RUNS) -> Page:
    return Page(render_promotion(promotion, made_at="18 July 2018, 02:05 UTC", history=history, runs=runs))


def test_a_refusal_shows_who_serves_and_every_reason():
    words = page().words

    assert "Version 4 is refused, and version 3 serves." in words
    assert "beats the last outcome ✓ yes log-loss 0.5400" in words
    assert "no fall in a slice of premium ✗ no accuracy by premium falls for free" in words
    assert "A refusal is a normal outcome" in words
    assert "+0.0042 −0.0011 to +0.0093 +0.0100" in words
    assert "free falls too far 310 −6.2 −9.0 to −2.0 3" in words
    assert "paying 1,703 +1.1 −0.2 to +2.0 3" in words
    assert words.count("falls too far") == 1


def test_the_history_names_each_version_its_aliases_and_its_decision():
    words = page().words

    assert "4 2018-07-18 02:05 synthetic data refused 3 Refused: …" in words
    assert "3 challenger champion 2018-07-17 02:05 unknown data not judged – –" in words


def test_the_first_night_compares_nothing():
    first = page(FIRST, history=HISTORY[1:])

    assert "Version 1 is promoted: it serves." in first.words
    assert "not compared" in first.words
    assert {"difference", "slices"}.isdisjoint(first.values("section", "id"))
    assert "ynthetic" not in first.text


@pytest.mark.parametrize(
    ("promotion", "sentence"),
    [
        (FIRST, "Version 1 is promoted: it serves."),
        (dataclasses.replace(FIRST, again=True), "Version 1 was promoted, and serves."),
        (
            dataclasses.replace(FIRST, again=True, champion="2"),
            "Version 1 is as good as when it was promoted, and version 2 serves.",
        ),
        (dataclasses.replace(REFUSED, champion=None), "Version 4 is refused, and no version serves."),
    ],
)
def test_the_headline_names_the_decision_and_the_serving_version(promotion, sentence):
    assert headline(promotion) == sentence
    assert ("no alias was moved" in page(promotion).words) is promotion.again


def test_synthetic_data_are_marked_above_everything():
    assert page().values("p", "class").count("banner") == 1
    assert "(synthetic data)" in page().text


def test_the_page_requests_nothing_and_text_stays_text():
    evil = JudgedVersion(EVIL, HISTORY[0].registered, EVIL, EVIL, EVIL, EVIL, (EVIL,))
    promotion = dataclasses.replace(
        REFUSED,
        decision=Decision((Reason(EVIL, False, EVIL),)),
        challenger=EVIL,
        opponent=EVIL,
        champion=EVIL,
    )
    shown = page(promotion, history=(evil,), runs=(RunLink(EVIL, EVIL, "javascript:alert(1)"),))

    assert {name for name, _ in shown.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert shown.values("a", "href") == []
    assert EVIL in shown.text


def test_the_record_is_the_decision_with_the_versions():
    content = json.loads(json.dumps(REFUSED.to_json()))

    assert content["slices"][0] == {
        "way": "premium",
        "label": "free",
        "sessions": 310,
        "accuracy": {"value": -0.062, "low": -0.09, "high": -0.02},
        "limit": 0.03,
        "fallen": True,
    }
    assert (content["challenger"], content["opponent"], content["champion"]) == ("4", "3", "3")
    assert (content["test_sessions"], content["data_source"], content["decided_before"]) == (
        2_013,
        "synthetic",
        False,
    )
    assert content["bundles"] == "3f2a" * 16
    assert content["promoted"] is False
