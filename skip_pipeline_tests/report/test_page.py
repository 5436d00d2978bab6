import base64
import dataclasses
from html.parser import HTMLParser

import pytest

from skip_pipeline.flow.evaluate import SplitScores
from skip_pipeline.report import plots
from skip_pipeline.report.oracle import Distance
from skip_pipeline.report.page import (
    Baseline,
    DataRow,
    Plot,
    ReportContent,
    Rival,
    RunLink,
    render_report,
)
from skip_pipeline.settings import DataSource
from skip_pipeline_tests.report.contents import BALANCE

EVIL = "<script>alert('x')</script>\"'&"
SCORES = SplitScores(sessions=2013, accuracy=0.751, log_loss=0.5012, roc_auc=0.8123, brier=0.1678)
PNG = plots.class_balance(BALANCE, "real")
CONTENT = ReportContent(
    data_source="synthetic",
    made_at="24 November 2025, 02:03 UTC",
    preset="fast",
    parameters=20_770,
    headline="On 2,013 test sessions the network is right 75.1% of the time.",
    scores={"train": SCORES, "validation": SCORES, "test": SCORES},
    baselines=(Baseline("always “skipped”", "commoner in training", 0.55),),
    plots=(Plot("Class balance", "More are skipped than not.", PNG),),
    settings={"preset": "fast", "learning_rate": 0.003, "dropout": None},
    data=(DataRow("02_merged", 167_880, 1, 12_345_678, "3f2a" * 16),),
    runs=(
        RunLink("Dagster run", "run-1", "http://127.0.0.1:3000/runs/run-1"),
        RunLink("MLflow run", "run-2", "https://mlflow.example/#/runs/run-2"),
    ),
)


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, attribute: str) -> list[str | None]:
        return [
            attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes
        ]


def test_it_asks_for_nothing_from_outside() -> None:
    page = Page(render_report(CONTENT))

    assert {name for name, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert all((src or "").startswith("data:image/png;base64,") for src in page.values("img", "src"))
    addresses = [v for tag, attributes in page.tags for k, v in attributes.items() if k in ("href", "src")]
    assert [a for a in addresses if not (a or "").startswith("data:")] == [run.url for run in CONTENT.runs]
    assert "url(" not in render_report(CONTENT)
    assert "@import" not in render_report(CONTENT)


def test_a_policy_forbids_what_it_does_not_need() -> None:
    policy = Page(render_report(CONTENT)).values("meta", "content")
    assert any(
        (p or "").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'") for p in policy
    )


def test_plots_are_in_it_as_they_are_with_their_reading() -> None:
    ((_, image),) = [t for t in Page(render_report(CONTENT)).tags if t[0] == "img"]

    assert base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,")) == PNG
    assert image["alt"] == "Class balance. More are skipped than not."
    assert image["width"] == "624"


@pytest.mark.parametrize(("data_source", "banners"), [("synthetic", 1), ("real", 0)])
def test_a_banner_stands_above_synthetic_data_only(data_source: DataSource, banners: int) -> None:
    html = render_report(dataclasses.replace(CONTENT, data_source=data_source))

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
        "55.0%",
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
        {"scores": {EVIL: SCORES}},
        {"baselines": (Baseline(EVIL, EVIL, 0.5),)},
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

    assert page.values("a", "href") == []
    assert "run-2" in page.text


def test_a_report_without_runs_says_so() -> None:
    assert "No run recorded this report." in render_report(dataclasses.replace(CONTENT, runs=()))


def test_real_data_have_no_best_possible_score() -> None:
    assert "best possible" not in render_report(CONTENT)


def test_the_distance_to_the_best_possible_is_shown_beside_the_network() -> None:
    best = SplitScores(sessions=2013, accuracy=0.781, log_loss=0.4612, roc_auc=0.8523, brier=0.1478)
    rivals = (Rival("this network", SCORES, None), Rival("best", best, Distance(0.04, 0.03)))
    page = Page(render_report(dataclasses.replace(CONTENT, rivals=rivals)))

    assert "Distance to the best possible" in page.text
    assert "78.1%" in page.text
    assert "+3.0 points" in page.text
    assert "+0.0400 nats" in page.text
