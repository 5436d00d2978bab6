"""The real servers as `make ui` starts them: Dagster's daemon, and the pages in headless Chromium."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import mlflow
import pytest
from axe_playwright_python.sync_playwright import Axe
from dagster._core.scheduler.instigation import InstigatorStatus
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.server_process import free_port
from skip_pipeline.defs.nights_view import nights_page
from skip_pipeline.defs.served_model import log_scores, log_served_model
from skip_pipeline.serving.model_folder import SERVED_MODEL, read_description
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.report.test_own_listening_page import rendered
from skip_pipeline_tests.serving.registry import track_to

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_SECONDS = 120
PATIENCE = 60_000  # milliseconds until a page shows what it is to show
RUN = 240_000  # milliseconds until everything has been made
ASSETS = (
    "session_logs", "track_features", "merged_table", "encoded_table", "scaled_table", "tensor_bundles",
    "data_drift", "baseline_models", "trained_model", "best_model", "evaluation_report",
    "champion_model",
    "skip_predictions",
)  # fmt: skip

expect.set_options(timeout=PATIENCE)

needs_browser = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("CI"), reason="no Chromium; install Debian's package chromium"
)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 2):
        assert server.poll() is None, "the servers ended by themselves"
        try:
            with urllib.request.urlopen(url):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError(f"{url} did not answer within {START_SECONDS} s")


@pytest.fixture(scope="module")
def empty(raw, tmp_path_factory) -> DataLayout:
    """A data directory with raw files in place, in which nothing has been made yet."""
    layout = DataLayout(tmp_path_factory.mktemp("served") / "data")
    shutil.copytree(raw, layout.raw)
    return layout


@pytest.fixture(scope="module")
def servers(empty, tmp_path_factory) -> Iterator[dict[str, str]]:
    """Both UIs as `make ui` starts them, on free ports, and the pages at the addresses that it prints."""
    dagster, mlflow = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME",)}
    printed = tmp_path_factory.mktemp("servers") / "log"
    with printed.open("wb") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-c", "from skip_pipeline.cli.main import app; app()", "ui"),
                *("--data-dir", str(empty.root)),
                *("--dagster-port", str(dagster), "--mlflow-port", str(mlflow)),
            ],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            addresses = {"dagster": f"http://127.0.0.1:{dagster}", "mlflow": f"http://127.0.0.1:{mlflow}"}
            for url in addresses.values():
                wait_for(url, server)
            pages = dict(re.findall(r"^(Dagster|MLflow): (\S+)$", printed.read_text(), re.MULTILINE))
            yield addresses | {"graph": pages["Dagster"], "nights": pages["MLflow"]}
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1700, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def graph(servers, page: Page) -> Page:
    """The asset graph, after a click on *Materialize all* in it, once nothing is under way."""
    page.goto(servers["graph"])
    page.get_by_role("button", name="Materialize all").click()
    under_way = page.locator("[class*=AssetSidebarNode_itemContainer] [role=progressbar]")
    expect(under_way.first).to_be_visible()
    expect(under_way).to_have_count(0, timeout=RUN)
    return page


@pytest.fixture(scope="module")
def layout(empty: DataLayout, graph) -> DataLayout:
    """The same, in which everything has been made."""
    return empty


@pytest.fixture
def instance(layout, monkeypatch) -> dg.DagsterInstance:
    monkeypatch.setenv("DAGSTER_HOME", str(layout.dagster))
    return dg.DagsterInstance.get()


@needs_browser
def test_materialize_all_in_an_empty_instance_makes_every_asset_green(graph, instance):
    for asset in ASSETS:  # in the graph itself, which is drawn as SVG, and not only in the list beside it
        node = graph.locator("svg foreignObject").filter(has=graph.get_by_text(asset, exact=True))
        expect(node.locator("[style*=accent-green]")).to_be_visible()

    [run] = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.SUCCESS


@needs_browser
def test_the_schedule_of_the_nights_is_on_and_can_be_turned_off_and_on(servers, page, instance):
    page.goto(f"{servers['dagster']}/locations/skip_pipeline/schedules/nightly_retraining")
    switch = page.locator("label").filter(has=page.locator("input[type=checkbox]"))
    expect(switch).to_be_checked()

    for turned, state in ((False, InstigatorStatus.STOPPED), (True, InstigatorStatus.RUNNING)):
        with page.expect_response(re.compile(r"op=(Start|Stop)\w*Schedule$")):
            switch.click()
        expect(switch).to_be_checked(checked=turned)
        found = {each.instigator_name: each.status for each in instance.all_instigator_state()}
        assert found["nightly_retraining"] == state


@needs_browser
def test_dagster_describes_the_columns_of_an_asset_by_their_origins(servers, page, layout):
    page.goto(f"{servers['dagster']}/assets/tensor_bundles")

    expect(page.get_by_text("float32 (n, 19, 35)")).to_be_visible()
    expect(page.get_by_text("from not_skipped of scaled_table").first).to_be_visible()
    expect(page.get_by_text("skip_pipeline", exact=True).first).to_be_visible()  # group and code location
    expect(page.get_by_text("skip_pipeline.definitions")).to_have_count(0)


@needs_browser
def test_dagster_shows_the_pictures_of_an_asset_and_the_way_to_its_mlflow_run(servers, page, layout):
    page.goto(f"{servers['dagster']}/assets/tensor_bundles?view=events")
    picture = page.get_by_alt_text("class balance")
    expect(picture).to_be_visible()

    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    ways = page.locator(f'a[href^="{servers["mlflow"]}/#/experiments/1/runs/"]')
    expect(ways.filter(has_not=page.locator("img")).first).to_be_visible()  # besides the pictures' own


@needs_browser
def test_mlflow_shows_the_parent_with_a_nested_run_per_asset(servers, page, layout):
    page.goto(f"{servers['mlflow']}/#/experiments/1/runs?workflowType=machine_learning")
    page.get_by_role("gridcell", name="Run 20").get_by_role("button").first.click()

    for asset in ASSETS:
        expect(page.get_by_role("link", name=asset).first).to_be_visible()


@needs_browser
def test_mlflow_shows_the_nights_with_decision_and_scores_without_any_setting(servers, page, layout):
    scores = json.loads((layout.report / "metrics.json").read_text())["test"]
    shown = {"decision": "promoted", "data_date": "2018-07-15"}
    shown |= {f"test_{score}": str(scores[score]) for score in ("log_loss", "accuracy")}
    page.goto(servers["nights"])

    for column, value in shown.items():
        expect(page.get_by_role("columnheader", name=column).first).to_be_visible()
        expect(page.get_by_role("gridcell", name=value, exact=True)).to_be_visible()
    expect(page.get_by_text("1 matching run", exact=True)).to_be_visible()  # parents alone
    page.goto(f"{servers['mlflow']}{nights_page('1', charts=True)}")
    expect(page.get_by_role("heading", name="test_log_loss")).to_be_visible()


@needs_browser
def test_mlflow_leads_from_a_night_to_its_report_and_promotion_page(servers, page, layout):
    client = mlflow.MlflowClient(f"sqlite:///{layout.mlflow / 'mlflow.db'}")
    [run] = client.search_runs(["1"], "tags.decision = 'promoted' and tags.`dagster.job_name` LIKE '%'")
    page.goto(f"{servers['mlflow']}/#/experiments/1/runs/{run.info.run_id}?workflowType=machine_learning")

    for title, file in (("Evaluation report", "report.html"), ("Promotion page", "promotion.html")):
        link = page.get_by_role("link", name=title)
        expect(link).to_be_visible()
        assert (link.get_attribute("href") or "").endswith(f"/artifacts/{file}")


@needs_browser
def test_the_pages_of_both_servers_ask_no_other_machine(servers, page):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    for url, text in (
        (f"{servers['dagster']}/asset-groups", "Materialize all"),
        (f"{servers['mlflow']}/", "Welcome to MLflow"),
    ):
        page.goto(url)
        expect(page.get_by_text(text).first).to_be_visible()

    assert len(requests) > 10
    assert [url for url in requests if not url.startswith((*servers.values(), "data:", "blob:"))] == []


@needs_browser
def test_the_report_opens_from_disk_with_its_pictures(layout, page):
    page.goto((layout.report / "report.html").as_uri())

    expect(page.get_by_role("heading", name="Will the next track be skipped?")).to_be_visible()
    expect(page.get_by_text("Synthetic data", exact=False).first).to_be_visible()
    pictures = page.locator("img")
    assert pictures.count() == 7
    assert all(pictures.evaluate_all("images => images.map(image => image.naturalWidth > 300)"))


@pytest.fixture(params=["light", "dark"])
def reading(request, page) -> Iterator[Page]:
    """A page of a phone's width, in one of the themes."""
    browser = page.context.browser
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=request.param)
    yield context.new_page()
    context.close()


@pytest.fixture(params=["report", "promotion", "own_listening"])
def address(request, layout: DataLayout, tmp_path: Path) -> str:
    """Address of a page; that of own listening is made of figures that need no run."""
    folder: Path = tmp_path if request.param == "own_listening" else getattr(layout, request.param)
    if folder == tmp_path:
        (folder / "own_listening.html").write_text(rendered(), encoding="utf-8")
    return (folder / f"{request.param}.html").as_uri()


@needs_browser
def test_a_page_asks_and_says_nothing_is_accessible_in_both_themes_and_fits_a_phone(address, reading):
    said, asked = [], []
    reading.on("console", lambda message: said.append(message.text))
    reading.on("pageerror", lambda error: said.append(error.message))
    reading.on("request", lambda request: asked.append(request.url))
    reading.goto(address)
    width = reading.evaluate("document.documentElement.scrollWidth")

    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert said == []
    assert width == 390
    assert [(v["id"], v["nodes"][0]["html"]) for v in Axe().run(reading).response["violations"]] == []


@needs_browser
@pytest.mark.parametrize(("theme", "turned"), [("light", False), ("dark", True)])
def test_plots_are_turned_dark_on_a_dark_page_alone(layout, page, theme, turned):
    page.emulate_media(color_scheme=theme)
    page.goto((layout.report / "report.html").as_uri())

    shown = page.locator("figure img").first.evaluate("image => getComputedStyle(image).filter")
    assert ("invert" in shown) is turned
    page.emulate_media(color_scheme="light", media="print")
    first = page.locator("header").evaluate("header => getComputedStyle(header).breakAfter")
    assert first == "page"
    page.emulate_media(media="screen")


@pytest.fixture(scope="module")
def second_version(layout, tmp_path_factory) -> float:
    """Registers a second version in the store of the servers; gives its log-loss."""
    uri = f"sqlite:///{layout.mlflow / 'mlflow.db'}"
    place = tmp_path_factory.mktemp("second").as_uri()
    experiment = mlflow.MlflowClient(uri).create_experiment("second", place)
    track_to(uri)
    with mlflow.start_run(experiment_id=experiment):
        log_served_model(mlflow, layout.best / SERVED_MODEL, params={}, tags={})
    fingerprint = read_description(layout.best / SERVED_MODEL).fingerprint
    log_scores(mlflow, fingerprint, {"test_log_loss": 0.123}, None)
    return 0.123


@needs_browser
def test_mlflow_compares_two_versions_by_their_metrics(servers, page, layout, second_version):
    first = json.loads((layout.report / "metrics.json").read_text())["test"]["log_loss"]
    page.goto(f"{servers['mlflow']}/#/models/skip_model")
    expect(page.get_by_role("link", name="Version 2")).to_be_visible()
    expect(page.get_by_text("Not for decisions about a person", exact=False)).to_be_visible()  # model card
    for box in page.locator(".table-row-select-cell input[type=checkbox]").all()[1:]:
        box.check(force=True)
    page.get_by_test_id("compareButton").click()

    expect(page.get_by_text("Comparing 2 Versions")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="test_log_loss")
    for shown in (second_version, first):
        expect(row.get_by_role("cell", name=f"{shown:.3g}", exact=True)).to_be_visible()


@needs_browser
def test_mlflow_describes_model_and_version_and_opens_the_promotion_page(servers, page, layout):
    page.goto(f"{servers['mlflow']}/#/models/skip_model/versions/1")
    expect(page.get_by_text("Against no champion.", exact=False)).to_be_visible()
    expect(page.get_by_text("Real sessions: it was trained on synthetic data.", exact=False)).to_be_visible()

    client = mlflow.MlflowClient(f"sqlite:///{layout.mlflow / 'mlflow.db'}")
    [run] = client.search_runs(["1"], "tags.`dagster.asset_key` = 'champion_model'")
    page.goto(f"{servers['mlflow']}/#/experiments/1/runs/{run.info.run_id}/artifacts/promotion.html")
    shown = page.frame_locator("iframe").get_by_text("Version 1 is promoted", exact=False)
    expect(shown.first).to_be_visible()
