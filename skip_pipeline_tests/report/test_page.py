import base64
import dataclasses
from html.parser import HTMLParser

import pytest

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.report import plots
from skip_pipeline.report.html import Axis, RunLink
from skip_pipeline.report.page import DataRow, Plot, ReportContent, render_report
from skip_pipeline.settings import DataSource
from skip_pipeline_tests.report.contents import (
    BALANCE,
    BOARD,
    CALIBRATION,
    IMPORTANCE,
    MISTAKES,
    READINGS,
    SCORES,
    SLICES,
    around,
)

EVIL = "<script>alert('x')</script>\"'&"
PNG = plots.class_balance(BALANCE, "real")
CONTENT = ReportContent(
    data_source="synthetic",
    made_at="24 November 2025, 02:03 UTC",
    preset="fast",
    parameters=20_770,
    headline="On 2,013 test sessions the network is right 75.1% of the time.",
    readings=READINGS,
    scores={"train": SCORES, "validation": SCORES, "test": SCORES},
    leaderboard=BOARD,
    calibration=CALIBRATION,
    slices=SLICES,
    importance=IMPORTANCE,
    mistakes=MISTAKES,
    comparisons=(Plot("ROC curve", "It ranks well.", PNG),),
    plots=(Plot("Class balance", "More are skipped than not.", PNG),),
    settings={"preset": "fast", "learning_rate": 0.003, "dropout": None},
    data=(DataRow("02_merged", 167_880, 1, 12_345_678, "3f2a" * 16),),
    runs=(
        RunLink("Dagster run", "run-1", "http://127.0.0.1:3000/runs/run-1"),
        RunLink("MLflow run", "run-2", "https://mlflow.example/#/runs/run-2"),
    ),
)
REAL = dataclasses.replace(
    CONTENT,
    data_source="real",
    leaderboard=dataclasses.replace(BOARD, entries=BOARD.entries[1:]),
    readings=READINGS | {"distance": ""},
)


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
        self.pieces.append(data)

    @property
    def words(self) -> str:
        """The text with one space wherever a tag or a line ends."""
        return " ".join(" ".join(self.pieces).split())

    def values(self, tag: str, attribute: str) -> list[str | None]:
        return [
            attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes
        ]


def test_it_asks_for_nothing_from_outside() -> None:
    page = Page(render_report(CONTENT))

    assert {name for name, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert all((src or "").startswith("data:image/png;base64,") for src in page.values("img", "src"))
    addresses = [v for tag, attributes in page.tags for k, v in attributes.items() if k in ("href", "src")]
    outside = [a for a in addresses if not (a or "").startswith(("data:", "#"))]
    assert outside == [run.url for run in CONTENT.runs]
    assert "url(" not in render_report(CONTENT)
    assert "@import" not in render_report(CONTENT)


def test_a_policy_forbids_what_it_does_not_need() -> None:
    policy = Page(render_report(CONTENT)).values("meta", "content")
    assert any(
        (p or "").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'") for p in policy
    )


def test_plots_are_in_it_as_they_are_with_their_reading() -> None:
    _, (_, image) = [t for t in Page(render_report(CONTENT)).tags if t[0] == "img"]

    assert base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,")) == PNG
    assert image["alt"] == "Class balance. More are skipped than not."
    assert image["width"] == "624"


@pytest.mark.parametrize(("data_source", "banners"), [("synthetic", 1), ("real", 0)])
def test_a_banner_stands_above_synthetic_data_only(data_source: DataSource, banners: int) -> None:
    html = render_report(dataclasses.replace(REAL, data_source=data_source))

    assert html.count("Synthetic data: these figures say nothing about real listeners.") == banners
    assert Page(html).values("p", "class").count("banner") == banners
    assert ("synthetic" in html.lower()) == bool(banners)


def test_it_shows_the_numbers() -> None:
    text = Page(render_report(CONTENT)).text

    shown = (
        "2,013",
        "75.1%",
        "0.5012",
        "0.8123",
        "0.1678",
        "0.7770",
        "1,850",
        "80.0%",
        "+0.1800",
        "5.0%",
        "0.470",
        "20,770",
        "167,880",
        "12.3 MB",
        "3f2a" * 16,
    )
    assert [number for number in shown if number not in text] == []
    assert "the network's own" in text
    assert CONTENT.headline in text
    assert "the probability of a skip is 1 − p_not_skipped" in text


@pytest.mark.parametrize(
    "changed",
    [
        {"made_at": EVIL},
        {"preset": EVIL},
        {"headline": EVIL},
        {"readings": dict.fromkeys(READINGS, EVIL)},
        {"scores": {EVIL: SCORES}},
        {
            "leaderboard": dataclasses.replace(
                BOARD, entries=(dataclasses.replace(BOARD.network, title=EVIL, description=EVIL),)
            )
        },
        {"slices": (dataclasses.replace(SLICES[0], title=EVIL),)},
        {
            "slices": (
                dataclasses.replace(
                    SLICES[0], slices=(dataclasses.replace(SLICES[0].slices[0], label=EVIL),)
                ),
            )
        },
        {"mistakes": (dataclasses.replace(MISTAKES[0], session_id=EVIL),)},
        {"mistakes": (dataclasses.replace(MISTAKES[0], context_type=EVIL),)},
        {"comparisons": (Plot(EVIL, EVIL, PNG),)},
        {"plots": (Plot(EVIL, EVIL, PNG),)},
        {"settings": {EVIL: EVIL}},
        {"data": (DataRow(EVIL, 1, 1, 1, EVIL),)},
        {"runs": (RunLink(EVIL, EVIL, None),)},
        {"runs": (RunLink("run", "run-1", f"https://example.com/{EVIL}"),)},
    ],
    ids=str,
)
def test_text_from_data_is_text_on_the_page(changed: dict[str, object]) -> None:
    html = render_report(dataclasses.replace(CONTENT, **changed))
    page = Page(html)

    assert "<script" not in html
    assert {name for name, _ in page.tags} <= {name for name, _ in Page(render_report(CONTENT)).tags}
    assert EVIL in page.text or any(EVIL in (v or "") for _, a in page.tags for v in a.values())


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//example.com",
        "http:",
        "http://[",
    ],
)
def test_only_web_addresses_are_links(url: str | None) -> None:
    page = Page(render_report(dataclasses.replace(CONTENT, runs=(RunLink("MLflow run", "run-2", url),))))

    assert [href for href in page.values("a", "href") if not (href or "").startswith("#")] == []
    assert "run-2" in page.text


def test_a_report_without_runs_says_so() -> None:
    assert "No run recorded this report." in render_report(dataclasses.replace(CONTENT, runs=()))


def test_real_data_have_no_best_possible_score() -> None:
    assert "best possible" not in render_report(REAL)


def test_the_distance_to_the_best_possible_is_told_where_there_is_one() -> None:
    text = Page(render_report(CONTENT)).text
    assert "Distance to the best possible" in text
    assert READINGS["distance"] in text


def test_every_reading_is_on_the_page() -> None:
    text = Page(render_report(CONTENT)).text
    assert [reading for reading in READINGS.values() if reading not in text] == []


def test_every_model_has_a_row_with_what_it_cost_and_whether_it_differs() -> None:
    page = Page(render_report(CONTENT))

    assert page.values("tr", "class").count("own") == 1
    assert page.values("tr", "class").count("oracle") == 1
    assert (
        "trees What trees does. 20,770 parameters, trained in 3.2 s 0.4600 0.450 to 0.470 −0.0400"
        in page.words
    )
    assert "majority What majority does. 1 parameter, trained in under 0.1 s" in page.words
    assert "oracle past What oracle_past does. 0.4400" in page.words
    assert (
        page.words.count("may be chance") == 1
    )  # the regression's log-loss; its accuracy is lower beyond chance


def test_a_slice_of_few_sessions_is_marked() -> None:
    page = Page(render_report(CONTENT))
    assert page.values("tr", "class").count("few") == 1
    assert "charts few sessions" in page.words


def test_the_history_of_a_mistake_can_be_seen_and_heard() -> None:
    page = Page(render_report(CONTENT))
    assert "●○○" in page.text
    assert "played, skipped, skipped" in page.values("span", "aria-label")
    assert "editorial playlist, hour 7, premium account; last track in no training session" in page.words


def test_what_is_not_there_is_left_out() -> None:
    plain = Page(render_report(dataclasses.replace(CONTENT, calibration=None, mistakes=())))
    assert "Calibration and threshold" not in plain.text
    assert "#calibration" not in plain.values("a", "href")
    assert "earlier tracks, the first one first" not in plain.text


def test_links_within_the_page_lead_somewhere() -> None:
    for content in (CONTENT, REAL, dataclasses.replace(CONTENT, calibration=None)):
        page = Page(render_report(content))
        inside = [href for href in page.values("a", "href") if (href or "").startswith("#")]
        places = page.values("section", "id")
        assert len(inside) >= 8
        assert [href for href in inside if (href or "")[1:] not in places] == []


def test_drawings_are_for_the_eye_alone() -> None:
    drawings = [attributes for tag, attributes in Page(render_report(CONTENT)).tags if tag == "svg"]
    assert len(drawings) == 2 * 3 + 3  # two for each slice, one for each group of inputs
    assert all(drawing["aria-hidden"] == "true" for drawing in drawings)


def test_an_axis_holds_what_it_is_made_for_and_ends_for_the_rest() -> None:
    axis = Axis.over([around(0.5, 0.2), around(0.7, 0.2)], 0.3)
    assert axis.at(0.3) == pytest.approx(3.7, abs=0.1)
    assert axis.at(0.8) == pytest.approx(96.3, abs=0.1)
    assert (axis.at(-5), axis.at(5)) == (0, 100)
    assert Axis.over([]).at(1.0) == 50
    assert Axis.over([Estimate(2.0, 2.0, 2.0)]).at(2.0) == 50
