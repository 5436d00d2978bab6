"""Seconds of the whole demo, and of importing TensorFlow, MLflow and Dagster.

    python -m benchmarks.demo

The demo is ``make demo`` after installation: it writes a synthetic data set of the real size and materializes
every asset with new databases. Both take turns, in new processes. ``demo_over_import`` is the ratio of
medians.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import measure
from benchmarks.measure import TEMPORARY
from benchmarks.summary import headline_table

LIBRARIES: Final = "import tensorflow, mlflow, dagster"
_OF_AN_ASSET: Final = re.compile(r"✓ (\w+) +([\d.]+) s ")


def seconds_of(*commands: Sequence[str]) -> tuple[float, str]:
    """Seconds of some commands, run one after the other, and their output.

    Raises:
        ChildFailedError: one failed.
    """
    started = time.perf_counter()
    printed = [measure.output(command)[0] for command in commands]
    return time.perf_counter() - started, "".join(printed)


def demo() -> tuple[float, dict[str, float]]:
    """Seconds of one demo in a new data directory, and of each asset.

    Raises:
        ChildFailedError: it failed.
    """
    program = str(Path(sys.executable).with_name("skip-pipeline"))
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        seconds, printed = seconds_of(
            [program, "synthesize", "--out", f"{folder}/01_raw", "--test-sessions", "1000"],
            [program, "run", "--data-dir", folder],
        )
    return seconds, {name: float(text) for name, text in _OF_AN_ASSET.findall(printed)}


def compare(*, repetitions: int) -> dict[str, Any]:
    """Both in turns: headline figures, and median seconds of each asset.

    Raises:
        ChildFailedError: one failed.
    """
    imports, demos, assets = [], [], []
    for _ in range(repetitions):
        imports.append(seconds_of([sys.executable, "-c", LIBRARIES])[0])
        seconds, of_assets = demo()
        demos.append(seconds)
        assets.append(of_assets)
    return {
        "headline": {
            "demo_over_import": round(median(demos) / median(imports), 2),
            "demo_seconds": round(median(demos), 1),
            "import_seconds": round(median(imports), 1),
        },
        "assets": {name: round(median(of[name] for of in assets), 2) for name in assets[0]},
    }


@measure.refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    found = compare(repetitions=options.repetitions)
    print(headline_table(found["headline"]))
    print(headline_table(found["assets"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
