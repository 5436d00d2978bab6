"""Ten thousand mutated files and ten thousand mutated requests: rows of a Markdown table.

    python -m benchmarks.torture.input                                # about five minutes on 2 idle cores
    python -m benchmarks.torture.input --files 700 --requests 600 --seed 2

Each file is read by the pipeline's own functions, each request sent to the server over a socket. The model is
the small network of the tests: what is tried is the reading, and no answer depends on what it has learnt.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.torture import files, requests
from benchmarks.torture.tally import report
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.serving.asking import running
from skip_pipeline_tests.serving.small_models import data_directory, pack


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tallies = files.torture(small_tables(place), place, times=chosen.files, seed=chosen.seed)
        model = pack(data_directory(place / "data"))
        with running(Follower(FolderSource(model))) as port:
            tallies += requests.torture(port, times=chosen.requests, seed=chosen.seed)
    return report(tallies)


def small_tables(folder: Path) -> list[files.Table]:
    """A session log and track features of four synthetic sessions, made in a folder."""
    raw = folder / "raw"
    synthesize(raw, sessions=4, tracks=12, seed=1)
    return [
        files.session_log((raw / "training_set" / "log_mini.csv").read_bytes()),
        files.track_features((raw / "track_features" / "tf_mini.csv").read_bytes()),
    ]


if __name__ == "__main__":
    sys.exit(main())
