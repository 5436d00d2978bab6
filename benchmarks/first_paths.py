"""Seconds of what a first-time reader does, with the commands as README and docs have them.

    python -m benchmarks.first_paths
    python -m benchmarks.first_paths --venv .venv       # without the installation, with these packages

A clone of this repository is made in a temporary folder, and everything happens there: the demo until its
report shows in headless Chromium, a run on CSVs that somebody else has written, a question to the server, and
a second model that is promoted and rolled back. Printed as Markdown; port 5001 has to be free.
"""

import argparse
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from playwright.sync_api import sync_playwright

from benchmarks import summary
from benchmarks.measure import ROOT, TEMPORARY
from benchmarks.screens import chromium
from skip_pipeline import settings
from skip_pipeline_tests.pages.contents import blocks

_PATIENCE: Final = 60  # seconds for the server to answer
_INSTALLED: Final = ("pyproject.toml", "constraints.txt")  # what the Makefile installs anew for


def copied(page: str, *parts: str) -> str:
    """The one command in a page's shell blocks whose line has these parts, without its comment.

    Raises:
        LookupError: there is none, or more than one.

    >>> copied("README.md", "make demo")
    'make demo'
    """
    lines = [line for block in blocks(ROOT / page, "sh") for line in block.text.splitlines()]
    found = {line.partition("  #")[0].strip() for line in lines if all(part in line for part in parts)}
    if len(found) != 1:
        raise LookupError(f"{page} has {len(found)} commands with {' and '.join(parts)}, expected one")
    return found.pop()


DEMO: Final = copied("README.md", "make demo")
RUN: Final = copied("docs/public_data.md", "skip-pipeline run")
SERVE: Final = copied("docs/serving.md", "skip-pipeline serve", "while there is no champion")
ASK: Final = copied("docs/serving.md", "curl", "@docs/request.json")
ANOTHER: Final = copied("docs/tutorial.md", "skip-pipeline run --seed")
BACK: Final = copied("docs/tutorial.md", "skip-pipeline rollback")


def paths(clone: Path, venv: Path | None) -> Iterator[tuple[str, list[str], Callable[[], object]]]:
    """A reader's aim, the commands, and a function that does it."""
    yield ("from the clone to the report", [DEMO], lambda: _first_report(clone, venv))
    own = clone / "own"  # CSVs of one's own: other listeners than the demo's
    sh(clone, f".venv/bin/skip-pipeline synthesize --out {own}/01_raw --seed 1 --test-sessions 1000")
    yield "one's own CSV files", [RUN], lambda: sh(clone, RUN, {settings.DATA_DIR_VARIABLE: str(own)})
    yield "serve and ask", [SERVE, ASK], lambda: _asked(clone)
    yield "another model, promoted", [ANOTHER], lambda: sh(clone, ANOTHER)
    yield "and rolled back", [BACK], lambda: sh(clone, BACK)


def _first_report(clone: Path, venv: Path | None) -> None:
    """Clone, run the demo, open the report and wait for its headline."""
    sh(ROOT, f"git clone --quiet . {clone}")
    if venv is not None:
        (clone / ".venv").symlink_to(venv.absolute())
        os.environ["PYTHONPATH"] = str(clone)
        for name in _INSTALLED:  # older than the environment, or make installs the clone there, for good
            os.utime(clone / name, (0, 0))
    sh(clone, DEMO)
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page()
        page.goto((clone / "data/07_report/report.html").as_uri())
        page.get_by_role("heading", name="Will the next track be skipped?").wait_for()
        browser.close()


def _asked(clone: Path) -> None:
    """Start the server, and ask until it answers."""
    with _running(clone, SERVE):
        for _ in range(10 * _PATIENCE):
            answer = subprocess.run(["bash", "-c", ASK], cwd=clone, check=False, capture_output=True)
            if b"p_skip" in answer.stdout:
                return
            time.sleep(0.1)
    raise RuntimeError(f"{SERVE} has not answered {ASK} within {_PATIENCE} s: {answer.stdout!r}")


@contextmanager
def _running(clone: Path, command: str) -> Iterator[None]:
    server = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=clone)
    try:
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def sh(folder: Path, command: str, settings_: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a command as a reader does, with its lines shown.

    Raises:
        CalledProcessError: its status is not 0.
    """
    subprocess.run(["bash", "-c", command], cwd=folder, env=os.environ | settings_, check=True)


def main() -> None:
    """Do everything, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--venv", type=Path, help="a virtual environment in which everything is installed")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        for name, commands, follow in paths(Path(folder) / "skip_pipeline", options.venv):
            started = time.perf_counter()
            follow()
            shown = "; ".join(f"`{command}`" for command in commands)
            rows.append([name, shown, f"{time.perf_counter() - started:.0f}"])
    print(summary.markdown(["what", "commands", "seconds"], rows))


if __name__ == "__main__":
    main()
