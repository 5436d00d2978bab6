from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.nightly.promotion import Decision, Reason, SliceChange
from skip_pipeline.nightly.promotion_record import JudgedVersion, Promotion
from skip_pipeline.report.html import RunLink
from skip_pipeline.report.promotion_page import PromotionContent, headline, render_promotion
from skip_pipeline_tests.report.test_page import EVIL, Page

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
CONTENT = PromotionContent(REFUSED, "18 July 2018, 02:05 UTC", HISTORY, RUNS)


def test_a_refusal_says_who_serves_every_reason_and_that_it_is_normal():
    words = Page(render_promotion(CONTENT)).words

    assert "Version 4 is refused, and version 3 serves." in words
    assert "beats the last outcome ✓ yes log-loss 0.5400" in words
    assert "no fall in a slice of premium ✗ no accuracy by premium falls for free" in words
    assert "A refusal is a normal outcome" in words
    assert "+0.0042 −0.0011 to +0.0093 +0.0100" in words
    assert "free falls too far 310 −6.2 −9.0 to −2.0 3" in words
    assert "paying 1,703 +1.1 −0.2 to +2.0 3" in words
    assert words.count("falls too far") == 1


def test_the_history_names_each_version_its_aliases_and_what_became_of_it():
    words = Page(render_promotion(CONTENT)).words

    assert "4 2018-07-18 02:05 synthetic data refused 3 Refused: …" in words
    assert "3 challenger champion 2018-07-17 02:05 unknown data not judged – –" in words


def test_the_first_night_compares_with_nobody():
    html = render_promotion(dataclasses.replace(CONTENT, promotion=FIRST, history=HISTORY[1:]))
    words = Page(html).words

    assert "Version 1 is promoted: it serves." in words
    assert "not compared" in words
    assert 'id="difference"' not in html
    assert 'id="slices"' not in html
    assert "ynthetic" not in html


def test_judging_again_moves_nothing_and_says_who_serves():
    again = dataclasses.replace(FIRST, again=True, champion="2")

    assert headline(again) == "Version 1 is as good as when it was promoted, and version 2 serves."
    assert (
        headline(dataclasses.replace(REFUSED, champion=None))
        == "Version 4 is refused, and no version serves."
    )
    page = render_promotion(dataclasses.replace(CONTENT, promotion=again))
    assert "no alias was moved" in page


def test_synthetic_data_are_called_so_above_everything():
    page = Page(render_promotion(CONTENT))

    assert page.values("p", "class").count("banner") == 1
    assert "(synthetic data)" in page.text


def test_it_asks_for_nothing_and_text_stays_text():
    evil = JudgedVersion(EVIL, HISTORY[0].registered, EVIL, EVIL, EVIL, EVIL, (EVIL,))
    promotion = dataclasses.replace(
        REFUSED,
        decision=Decision((Reason(EVIL, False, EVIL),)),
        challenger=EVIL,
        opponent=EVIL,
        champion=EVIL,
    )
    links = (RunLink(EVIL, EVIL, "javascript:alert(1)"),)
    page = Page(render_promotion(PromotionContent(promotion, EVIL, (evil,), links)))

    assert {name for name, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert page.values("a", "href") == []
    assert EVIL in page.text
