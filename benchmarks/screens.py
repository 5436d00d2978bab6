"""Makes every picture of screens in README and docs, from seven nights on synthetic data: ``make screens``.

``benchmarks.nights`` plays the nights. Then ``skip-pipeline ui`` serves them, and headless Chromium takes the
pictures. A PNG gets few colours, so that it has under 150 kB.
"""

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from benchmarks import nights
from skip_pipeline import settings
from skip_pipeline.defs.nights_view import nights_page
from skip_pipeline.nightly.monitoring import SCORE_SIGNAL
from skip_pipeline.settings import DataLayout

DAGSTER: Final = "http://127.0.0.1:3000"
MLFLOW: Final = settings.DEFAULT_MLFLOW_URL
_COMMAND: Final = (sys.executable, "-c", "from skip_pipeline.cli.main import app; app()", "ui")
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_START_SECONDS: Final = 180
_COLOURS: Final = 96
_SETTLE: Final = 3_000  # milliseconds after the text is there, for pictures and the layout of a graph

# By name of the picture: address, a text that the page shows once it is complete, width, height.
_OF_SERVERS: Final = {
    "dagster_graph": (f"{DAGSTER}/asset-groups", "champion_model", 1500, 800),
    "dagster_columns": (f"{DAGSTER}/assets/encoded_table", "Columns", 1500, 900),
    "drift_checks": (f"{DAGSTER}/assets/data_drift?view=checks", SCORE_SIGNAL, 1500, 620),
    "mlflow_runs": (f"{MLFLOW}{nights_page('1')}", "refused", 1500, 520),
    "mlflow_nights": (f"{MLFLOW}{nights_page('1', charts=True)}", "Add chart", 1500, 900),
    "mlflow_model": (f"{MLFLOW}/#/models/skip_model?workflowType=machine_learning", "Version 1", 1500, 900),
}
# By name of the picture: the page, width, height, theme.
_Theme = Literal["light", "dark"]
_OF_FILES: Final[dict[str, tuple[str, int, int, _Theme]]] = {
    "promotion_page": ("mlflow/**/promotion.html", 1100, 900, "light"),  # of the refused version
    "report_page": ("07_report/report.html", 1100, 900, "light"),
    "report_page_dark": ("07_report/report.html", 1100, 900, "dark"),
}


def take(root: Path, out: Path) -> dict[str, int]:
    """Take every picture of a data directory that has had nights; returns the bytes of each."""
    sizes = {}
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        for name, (file, width, height, theme) in _OF_FILES.items():
            page = _page(browser, width, height, theme)
            page.goto(_one(root, file).as_uri())
            sizes[name] = _save(page, out / f"{name}.png")
        with serving(DataLayout(root)):
            for name, (address, text, width, height) in _OF_SERVERS.items():
                page = _page(browser, width, height)
                page.goto(address)
                page.get_by_text(text).first.wait_for(timeout=1000 * _START_SECONDS)
                _close_offers(page)
                page.wait_for_timeout(_SETTLE)
                sizes[name] = _save(page, out / f"{name}.png")
        browser.close()
    return sizes


def chromium(playwright: Playwright) -> Browser:
    """The Chromium of this machine, without a window."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    return playwright.chromium.launch(executable_path=found, args=list(FLAGS))


def _one(root: Path, pattern: str) -> Path:
    """The file of that pattern; of promotion pages, which each night has, the one of the refused version."""
    found = list(root.glob(pattern))
    refusals = [path for path in found if " is refused, and " in path.read_text(encoding="utf-8")]
    (path,) = refusals or found
    return path


def _page(browser: Browser, width: int, height: int, theme: _Theme = "light") -> Page:
    return browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)


def _close_offers(page: Page) -> None:
    """Close MLflow's panel for chats, which a first visit opens, and its note that a view is shared."""
    for label in ("Close assistant", "Close"):
        button = page.get_by_label(label, exact=True)
        if button.count():
            button.first.click()


def _save(page: Page, path: Path) -> int:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(_COLOURS).save(path, "PNG", optimize=True)
    page.close()
    return path.stat().st_size


@contextmanager
def serving(layout: DataLayout) -> Iterator[None]:
    """Both servers at the addresses that the links of the nights have."""
    environment = os.environ | {settings.DATA_DIR_VARIABLE: str(layout.root)}
    server = subprocess.Popen(_COMMAND, env=environment)
    try:
        for address in (DAGSTER, MLFLOW):
            _wait(address, server)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(_START_SECONDS):
        try:
            with urllib.request.urlopen(address):
                return
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None:
                break
            time.sleep(1)
    raise RuntimeError(f"{address} does not answer; expected it within {_START_SECONDS} s. Free its port")


def main() -> None:
    """Play the nights, unless a data directory is given, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data-dir", type=Path, help="with the nights of an earlier call; by default new ones"
    )
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.data_dir or Path(temporary) / "data"
        if options.data_dir is None:
            nights.play(root, sessions=nights.SESSIONS, tracks=settings.SYNTHETIC_TRACKS)
        for name, size in take(root.resolve(), options.out).items():
            print(f"{name}.png  {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
