"""The report page: its numbers, its words, and that it is self-contained and safe."""

import base64
import dataclasses
from html.parser import HTMLParser
from typing import Any

import pytest

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.report import plots
from skip_pipeline.report.evaluation import Evaluation
from skip_pipeline.report.html import Axis, RunLink
from skip_pipeline.report.leaderboard import Leaderboard
from skip_pipeline.report.report_page import DataRow, draw_plots, render_report
from skip_pipeline.settings import DataSource
from skip_pipeline_tests.report.contents import (
    BALANCE,
    EVALUATION,
    HISTORY,
    LENGTHS,
    MISTAKES,
    SCORES,
    SLICES,
    around,
)

EVIL = "<script>alert('x')</script>\"'&"
PLOT = plots.class_balance(BALANCE, "real")
NAMES = ("calibration", "roc", "class_balance", "session_lengths", "training_curves", "confusion_matrix")
SENTENCES = EVALUATION.sentences
ARGUMENTS: dict[str, Any] = {
    "plots": {name: dataclasses.replace(PLOT, title=name) for name in NAMES},
    "data_source": "synthetic",
    "made_at": "24 November 2025, 02:03 UTC",
    "settings": {"preset": "fast", "learning_rate": 0.003, "dropout": None},
    "data": (DataRow("02_merged", 167_880, 1, 12_345_678, "3f2a" * 16),),
    "runs": (
        RunLink("Dagster run", "run-1", "http://127.0.0.1:3000/runs/run-1"),
        RunLink("MLflow run", "run-2", "https://mlflow.example/#/runs/run-2"),
    ),
}
BOARD = EVALUATION.leaderboard
WITHOUT_ORACLE = dataclasses.replace(
    EVALUATION, leaderboard=dataclasses.replace(BOARD, entries=BOARD.entries[1:])
)


def rendered(evaluation: Evaluation = EVALUATION, **changed: Any) -> str:
    return render_report(evaluation, **{**ARGUMENTS, **changed})


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
    page = Page(rendered())

    assert {name for name, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert all((src or "").startswith("data:image/png;base64,") for src in page.values("img", "src"))
    addresses = [v for tag, attributes in page.tags for k, v in attributes.items() if k in ("href", "src")]
    outside = [a for a in addresses if not (a or "").startswith(("data:", "#"))]
    assert outside == [run.url for run in ARGUMENTS["runs"]]
    assert "url(" not in rendered()
    assert "@import" not in rendered()


def test_a_policy_forbids_what_it_does_not_need() -> None:
    policy = Page(rendered()).values("meta", "content")
    assert any(
        (p or "").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'") for p in policy
    )


def test_plots_are_on_the_page_with_their_captions() -> None:
    images = [attributes for tag, attributes in Page(rendered()).tags if tag == "img"]

    assert [(image["alt"] or "").split(".")[0] for image in images] == list(NAMES)
    for image in images:
        assert base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,")) == PLOT.png
        assert PLOT.caption in (image["alt"] or "")
        assert image["width"] == "624"


@pytest.mark.parametrize(("data_source", "banners"), [("synthetic", 1), ("real", 0)])
def test_a_banner_stands_above_synthetic_data_only(data_source: DataSource, banners: int) -> None:
    html = rendered(WITHOUT_ORACLE, data_source=data_source)

    assert Page(html).values("p", "class").count("banner") == banners
    assert ("synthetic" in html.lower()) == bool(banners)


def test_numbers_and_sentences_are_on_the_page() -> None:
    text = Page(rendered()).text

    shown = (
        *("2,013", "75.1%", "0.5012", "0.8123", "0.1678", "0.7770", "1,850", "80.0%", "+0.1800", "5.0%"),
        *("0.470", "20,770", "167,880", "12.3 MB", "3f2a" * 16, "the network's own"),
        *(EVALUATION.headline, *SENTENCES.values()),
    )
    assert [number for number in shown if number not in text] == []


def _of_network(**changed: Any) -> Leaderboard:
    network = BOARD.network
    return dataclasses.replace(
        BOARD, entries=(dataclasses.replace(network, model=dataclasses.replace(network.model, **changed)),)
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"scores": {EVIL: SCORES, "test": SCORES}},
        {"leaderboard": _of_network(name=EVIL)},
        {"leaderboard": _of_network(title=EVIL)},
        {"leaderboard": _of_network(description=EVIL)},
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
    ],
)
def test_text_in_results_is_text_on_the_page(changed: dict[str, Any]) -> None:
    _assert_harmless(rendered(dataclasses.replace(EVALUATION, **changed)))


@pytest.mark.parametrize(
    "changed",
    [
        {"made_at": EVIL},
        {"plots": ARGUMENTS["plots"] | {"roc": dataclasses.replace(PLOT, title=EVIL)}},
        {"plots": ARGUMENTS["plots"] | {"class_balance": dataclasses.replace(PLOT, caption=EVIL)}},
        {"settings": {EVIL: EVIL}},
        {"data": (DataRow(EVIL, 1, 1, 1, EVIL),)},
        {"runs": (RunLink(EVIL, EVIL, None),)},
        {"runs": (RunLink("run", "run-1", f"https://example.com/{EVIL}"),)},
    ],
)
def test_text_in_facts_is_text_on_the_page(changed: dict[str, Any]) -> None:
    _assert_harmless(rendered(**changed))


def _assert_harmless(html: str) -> None:
    page = Page(html)
    assert "<script" not in html
    assert {name for name, _ in page.tags} <= {name for name, _ in Page(rendered()).tags}
    assert EVIL in page.text or any(EVIL in (v or "") for _, a in page.tags for v in a.values())


@pytest.mark.parametrize(
    "url",
    [
        *(
            None,
            "",
            "javascript:alert(1)",
            " JavaScript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
        ),
        *("file:///etc/passwd", "//example.com", "http:", "http://["),
    ],
)
def test_only_web_addresses_are_links(url: str | None) -> None:
    page = Page(rendered(runs=(RunLink("MLflow run", "run-2", url),)))

    assert [href for href in page.values("a", "href") if not (href or "").startswith("#")] == []
    assert "run-2" in page.text


def test_a_part_without_content_is_left_out() -> None:
    plain = Page(rendered(dataclasses.replace(WITHOUT_ORACLE, calibration=None, mistakes=()), runs=()))
    assert {"calibration"}.isdisjoint(plain.values("section", "id"))
    assert "#calibration" not in plain.values("a", "href")
    assert "best possible" not in plain.text
    assert "●" not in plain.text
    assert "No run" in plain.text


def test_every_model_has_a_row_with_its_cost_and_whether_it_differs() -> None:
    page = Page(rendered())

    assert page.values("tr", "class").count("own") == 1
    assert page.values("tr", "class").count("oracle") == 1
    assert (
        "trees What trees does. 20,770 parameters, trained in 3.2 s 0.4600 0.450 to 0.470 −0.0400"
        in page.words
    )
    assert "majority What majority does. 1 parameter, trained in under 0.1 s" in page.words
    assert "oracle past What oracle_past does. 0.4400" in page.words
    assert page.words.count("may be chance") == 2  # the verdict, and the regression's log-loss


def test_a_slice_of_few_sessions_is_marked() -> None:
    page = Page(rendered())
    assert page.values("tr", "class").count("few") == 1
    assert "charts few sessions" in page.words


def test_the_outcomes_of_a_mistake_are_marks_with_a_label() -> None:
    page = Page(rendered())
    assert "●○○" in page.text
    assert "played, skipped, skipped" in page.values("span", "aria-label")
    assert "editorial playlist, hour 7, premium account; last track in no training session" in page.words


def test_links_within_the_page_lead_somewhere() -> None:
    for evaluation in (EVALUATION, dataclasses.replace(EVALUATION, calibration=None)):
        page = Page(rendered(evaluation))
        inside = [href for href in page.values("a", "href") if (href or "").startswith("#")]
        places = page.values("section", "id")
        assert len(inside) >= 8
        assert [href for href in inside if (href or "")[1:] not in places] == []


def test_drawings_are_hidden_from_screen_readers() -> None:
    drawings = [attributes for tag, attributes in Page(rendered()).tags if tag == "svg"]
    assert len(drawings) == 2 * 3 + 3  # two for each slice, one for each group of inputs
    assert all(drawing["aria-hidden"] == "true" for drawing in drawings)


def test_an_axis_holds_its_values_with_a_margin_and_ends_for_the_rest() -> None:
    axis = Axis.over([around(0.5, 0.2), around(0.7, 0.2)], 0.3)
    assert axis.at(0.3) == pytest.approx(3.7, abs=0.1)
    assert axis.at(0.8) == pytest.approx(96.3, abs=0.1)
    assert (axis.at(-5), axis.at(5)) == (0, 100)
    assert Axis.over([]).at(1.0) == 50
    assert Axis.over([Estimate(2.0, 2.0, 2.0)]).at(2.0) == 50


def test_every_plot_of_the_report_is_drawn() -> None:
    drawn = draw_plots(
        EVALUATION, balance=BALANCE, lengths=LENGTHS, history=HISTORY, best_epoch=2, data_source="real"
    )
    assert tuple(drawn) == NAMES
    assert all(plot.png.startswith(b"\x89PNG") for plot in drawn.values())
