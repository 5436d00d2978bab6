"""The report page: its numbers, its words, and that it is self-contained and safe."""

import base64
import dataclasses
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

from skip_pipeline.raw.description import Description
from skip_pipeline.report import plots
from skip_pipeline.report.evaluation import Evaluation
from skip_pipeline.report.html import Axis, RunLink
from skip_pipeline.report.leaderboard import Leaderboard
from skip_pipeline.report.report_page import render_report
from skip_pipeline_tests.report import contents
from skip_pipeline_tests.report.contents import BOARD, EVALUATION, MISTAKES, SCORES, SLICES, around

EVIL = "<script>alert('x')</script>\"'&"
FORBIDDEN = {"script", "link", "iframe", "object", "base", "form"}
PLOT = plots.class_balance(contents.BALANCE, "")
NAMES = ("calibration", "roc", "class_balance", "session_lengths", "training_curves", "confusion_matrix")
NAMES_OF_PAGE = ("positions", *NAMES)  # in the page's order
PLOTS = {name: dataclasses.replace(PLOT, title=name) for name in NAMES_OF_PAGE}
RUNS = (
    RunLink("Dagster run", "run-1", "http://127.0.0.1:3000/runs/run-1"),
    RunLink("MLflow run", "run-2", "https://mlflow.example/#/runs/run-2"),
)
SYNTHETIC = Description("synthetic data", "these figures say nothing about real listeners")
OWN = Description("real listening of 2 people, 2019-01-02 to 2024-03-31 (an export)", "premium is not known")
WITHOUT_ORACLE = dataclasses.replace(
    EVALUATION, leaderboard=dataclasses.replace(BOARD, entries=BOARD.entries[1:])
)


def _stage(name: str, sha256: str) -> SimpleNamespace:
    """What the page shows of a manifest."""
    return SimpleNamespace(stage=name, rows=167_880, files=[None], bytes=12_345_678, fingerprint=sha256)


def rendered(evaluation: Evaluation = EVALUATION, **changed: Any) -> str:
    arguments: dict[str, Any] = {
        "plots": PLOTS,
        "description": SYNTHETIC,
        "made_at": "24 November 2025, 02:03 UTC",
        "settings": {"preset": "fast", "learning_rate": 0.003, "dropout": None},
        "data": (_stage("02_merged", "3f2a" * 16),),
        "runs": RUNS,
    }
    return render_report(evaluation, **arguments | changed)


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def words(self) -> str:
        """The text with one space wherever a tag or a line ends."""
        return " ".join(" ".join(self.pieces).split())

    def values(self, tag: str, attribute: str) -> list[str]:
        return [
            attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes
        ]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(rendered())


def test_it_asks_for_nothing_from_outside(page: Page) -> None:
    assert {name for name, _ in page.tags}.isdisjoint(FORBIDDEN)
    assert all(src.startswith("data:image/png;base64,") for src in page.values("img", "src"))
    addresses = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("href", "src")]
    assert [a for a in addresses if not a.startswith(("data:", "#"))] == [run.url for run in RUNS]
    assert "url(" not in rendered()
    assert "@import" not in rendered()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert any(content.startswith(policy) for content in page.values("meta", "content"))


def test_plots_are_on_the_page_with_their_captions(page: Page) -> None:
    images = [attributes for tag, attributes in page.tags if tag == "img"]

    assert [image["alt"].split(".")[0] for image in images] == list(NAMES_OF_PAGE)
    for image in images:
        assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PLOT.png
        assert PLOT.caption in image["alt"]
        assert image["width"] == "624"


def test_a_banner_and_the_title_say_what_the_data_are() -> None:
    html = rendered(WITHOUT_ORACLE)
    assert "<title>Will the next track be skipped? Evaluation report (synthetic data)</title>" in html
    assert Page(html).values("p", "class").count("banner") == 1
    assert "Synthetic data: these figures say nothing about real listeners." in html
    own = rendered(WITHOUT_ORACLE, description=OWN)
    assert "(real listening of 2 people, 2019-01-02 to 2024-03-31 (an export))</title>" in own
    banner = "Real listening of 2 people, 2019-01-02 to 2024-03-31 (an export): premium is not known."
    assert own.count(banner) == 1
    assert "synthetic" not in own.lower()


def test_public_data_have_no_banner() -> None:
    html = rendered(WITHOUT_ORACLE, description=Description())
    assert Page(html).values("p", "class").count("banner") == 0
    assert "Evaluation report</title>" in html
    assert "synthetic" not in html.lower()


def test_what_is_not_known_of_a_session_is_said() -> None:
    mistake = dataclasses.replace(MISTAKES[0], premium=None, context_type="")
    html = rendered(dataclasses.replace(EVALUATION, mistakes=(mistake,)))
    assert f"context unknown, hour {mistake.hour}, account unknown" in html


def test_a_model_that_is_no_network_alone_is_the_pages_own() -> None:
    stack = dataclasses.replace(
        BOARD.served,
        model=dataclasses.replace(BOARD.served.model, name="best", title="served stack", kind="served"),
    )
    network = dataclasses.replace(BOARD.served, log_loss_difference=around(0.03))
    others = [entry for entry in BOARD.entries if entry is not BOARD.served]
    board = dataclasses.replace(BOARD, entries=(stack, network, *others))
    html = rendered(dataclasses.replace(EVALUATION, leaderboard=board, choice="Best of the night: a stack"))
    page = Page(html)

    assert "<strong>served stack</strong>, beside the fast network" in html
    assert "<p>Best of the night: a stack.</p>" in html
    assert "minus the<br>served model's" in html
    assert html.index('class="own"') < html.index("served stack<small>")
    assert "The served model, split by split" in page.text


def test_numbers_and_sentences_are_on_the_page(page: Page) -> None:
    shown = (
        *("2,013", "75.1%", "0.5012", "0.8123", "0.1678", "0.7770", "1,850", "80.0%", "+0.1800", "5.0%"),
        *("0.470", "20,770", "167,880", "12.3 MB", "3f2a" * 16, "the network's own"),
        *(EVALUATION.headline, *EVALUATION.sentences.values()),
    )
    assert [number for number in shown if number not in page.text] == []


def _of_network(**changed: Any) -> Leaderboard:
    network = dataclasses.replace(BOARD.served, model=dataclasses.replace(BOARD.served.model, **changed))
    return dataclasses.replace(BOARD, entries=(network,))


@pytest.mark.parametrize(
    "changed",
    [
        {"scores": {EVIL: SCORES, "test": SCORES}},
        *({"leaderboard": _of_network(**{name: EVIL})} for name in ("name", "title", "description")),
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
def test_text_in_results_is_text_on_the_page(changed: dict[str, Any], page: Page) -> None:
    _assert_harmless(rendered(dataclasses.replace(EVALUATION, **changed)), page)


@pytest.mark.parametrize(
    "changed",
    [
        {"made_at": EVIL},
        {"plots": PLOTS | {"roc": dataclasses.replace(PLOT, title=EVIL)}},
        {"plots": PLOTS | {"class_balance": dataclasses.replace(PLOT, caption=EVIL)}},
        {"settings": {EVIL: EVIL}},
        {"data": (_stage(EVIL, EVIL),)},
        {"runs": (RunLink(EVIL, EVIL, None),)},
        {"runs": (RunLink("run", "run-1", f"https://example.com/{EVIL}"),)},
    ],
)
def test_text_in_facts_is_text_on_the_page(changed: dict[str, Any], page: Page) -> None:
    _assert_harmless(rendered(**changed), page)


def _assert_harmless(html: str, usual: Page) -> None:
    page = Page(html)
    assert "<script" not in html
    assert {name for name, _ in page.tags} <= {name for name, _ in usual.tags}
    assert EVIL in page.text or any(EVIL in value for _, a in page.tags for value in a.values())


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
        *("file:///etc/passwd", "//example.com", "http:", "http://", "http://[", "x http://example.com"),
    ],
)
def test_only_web_addresses_are_links(url: str | None) -> None:
    page = Page(rendered(runs=(RunLink("MLflow run", "run-2", url),)))

    assert [href for href in page.values("a", "href") if not href.startswith("#")] == []
    assert "run-2" in page.text


@pytest.mark.parametrize("url", ["HTTPS://example.com", "http://[::1]:5000/", "http://user@10.0.0.1"])
def test_every_web_address_is_a_link(url: str) -> None:
    assert url in Page(rendered(runs=(RunLink("MLflow run", "run-2", url),))).values("a", "href")


def test_a_part_without_content_is_left_out() -> None:
    plain = Page(rendered(dataclasses.replace(WITHOUT_ORACLE, mistakes=()), runs=()))
    assert "best possible" not in plain.text
    assert "●" not in plain.text
    assert "No run" in plain.text


def test_every_model_has_a_row_with_its_cost_and_whether_it_differs(page: Page) -> None:
    assert page.values("tr", "class").count("own") == 3  # one for each question
    assert page.values("tr", "class").count("oracle") == 1
    trees = "trees What trees does. 20,770 parameters, trained in 3.2 s 0.4600 0.450 to 0.470 −0.0400"
    assert trees in page.words
    assert "majority What majority does. 1 parameter, trained in under 0.1 s" in page.words
    assert "oracle past What oracle_past does. 0.4400" in page.words
    # The verdict, the regression's log-loss, and the threshold's first predictions.
    assert page.words.count("may be chance") == 3


def test_every_model_is_scored_on_the_next_track(page: Page) -> None:
    of_trees = "Trees 0.4910 0.481 to 0.501 +0.0110 +0.001 to +0.021 worse 76.1% 75.1 to 77.1 0.6830"
    assert of_trees in page.words
    assert "34,395 tracks, each from the tracks before it" in page.words
    assert "mean over the 1,880 sessions with a played and a skipped track" in page.words
    assert "played in a training session 2,013 25,896 40.0%" in page.words


def test_decisions_on_second_halves_have_scores_and_paired_differences(page: Page) -> None:
    by_strings = "Network, by whole strings chosen on the validation sessions 0.6206 0.611 to 0.631 – 0.7970"
    assert by_strings in page.words
    by_threshold = "Network, by threshold 0.6173 0.607 to 0.627 −0.0033 −0.0043 to −0.0023 worse 0.7980"
    assert by_threshold in page.words
    assert "1 2,013 53.0% 79.5% 78.5 to 80.5 74.4% 73.4 to 75.4 +0.3 −0.7 to +1.3" in page.words


@pytest.mark.parametrize("description", [SYNTHETIC, Description()])
def test_no_published_score_stands_beside_second_halves(description: Description) -> None:
    html = rendered(WITHOUT_ORACLE, description=description)
    section = html[html.index('<section id="second-half">') : html.index('<section id="curves">')]
    assert ("These scores are of synthetic data." in section) == (description is SYNTHETIC)
    assert "something else than the challenge's leaderboard" in section
    published = ("0.537", "0.604", "0.637", "0.641", "0.648", "0.651", "0.742", "0.792", "0.807")
    assert [score for score in published if score in section] == []


def test_a_network_of_last_tracks_alone_has_no_second_half() -> None:
    alone = dataclasses.replace(EVALUATION, second_half=None)
    page = Page(rendered(alone))
    assert "The fast gives a probability of a session's last track alone, so it decides no" in page.words
    assert "MAA" not in page.words


def test_a_network_of_last_tracks_alone_has_no_score_of_the_next_track() -> None:
    alone = dataclasses.replace(EVALUATION, next_track=None)
    page = Page(rendered(alone, plots={name: PLOTS[name] for name in NAMES}))

    assert page.words.count("The fast answers only the last track of a session") == 2
    assert "AUC within" not in page.words


def test_scores_that_no_track_has_are_dashes() -> None:
    found = EVALUATION.next_track
    assert found is not None
    entries = tuple(dataclasses.replace(e, session_auc=None, log_loss_unknown=None) for e in found.entries)
    changed = dataclasses.replace(found, entries=entries, unknown_tracks=0)
    page = Page(rendered(dataclasses.replace(EVALUATION, next_track=changed)))

    assert "76.1% 75.1 to 77.1 – 0.8220" in page.words
    assert "No track of the test sessions is one that no training session played." in page.words


def test_a_slice_of_few_sessions_is_marked(page: Page) -> None:
    assert page.values("tr", "class").count("few") == 1
    assert "charts few sessions" in page.words


def test_the_outcomes_of_a_mistake_are_marks_with_a_label(page: Page) -> None:
    assert "●○○" in page.text
    assert "played, skipped, skipped" in page.values("span", "aria-label")
    assert "editorial playlist, hour 7, premium account; last track in no training session" in page.words


def test_links_within_the_page_lead_somewhere(page: Page) -> None:
    inside = {href for href in page.values("a", "href") if href.startswith("#")}
    assert len(inside) >= 8
    assert inside <= {f"#{place}" for place in page.values("section", "id")}


def test_drawings_are_hidden_from_screen_readers(page: Page) -> None:
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    # Two for each slice of either question, one for each group of inputs.
    assert len(drawings) == 2 * (3 + 1) + 3
    assert all(drawing["aria-hidden"] == "true" for drawing in drawings)


def test_an_axis_holds_its_values_with_a_margin_and_ends_for_the_rest() -> None:
    axis = Axis.over([around(0.5, 0.2), around(0.7, 0.2)], 0.3)
    assert axis.at(0.3) == pytest.approx(3.7, abs=0.1)
    assert axis.at(0.8) == pytest.approx(96.3, abs=0.1)
    assert (axis.at(-5), axis.at(5)) == (0, 100)
    assert Axis.over([]).at(1.0) == Axis.over([around(2.0, 0.0)]).at(2.0) == 50
