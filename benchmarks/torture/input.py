"""Ten thousand mutated files of each kind and ten thousand mutated requests: rows of a Markdown table.

    python -m benchmarks.torture.input
    python -m benchmarks.torture.input --files 700 --requests 600 --seed 2

Each file is read by the pipeline's own functions, each request sent to the server over a socket. The model is
the small network of the tests: what is tried is the reading, and no answer depends on what it has learnt.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.torture import exports, files, parquet_logs, requests, submissions
from benchmarks.torture.plain_log import read_rows
from benchmarks.torture.tally import report
from skip_pipeline import schema
from skip_pipeline.raw.log_pairs import log_pairs
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.settings import TRUTH_FOLDER
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.serving.asking import running
from skip_pipeline_tests.serving.small_models import data_directory, pack


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="of each kind")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tallies = []
        for subjects in subjects_of(place / "raw"):
            tallies += files.torture(subjects, place, times=chosen.files, seed=chosen.seed)
        model = pack(data_directory(place / "data"))
        with running(Follower(FolderSource(model))) as port:
            tallies += requests.torture(port, times=chosen.requests, seed=chosen.seed)
    return report(tallies)


def subjects_of(raw: Path) -> list[list[files.Subject]]:
    """Right files of each kind, made of a few synthetic sessions in a new raw folder."""
    synthesize(raw, sessions=4, tracks=12, seed=1, test_sessions=4)
    log = (raw / "training_set" / "log_mini.csv").read_bytes()
    features = (raw / "track_features" / "tf_mini.csv").read_bytes()
    (pair,) = log_pairs(raw)
    return [
        [files.session_log(log), files.track_features(features)],
        [files.log_input(pair.prehistory, pair.input.read_bytes())],
        [parquet_logs.parquet_log(read_rows(log, schema.SESSION_LOG))],
        [submissions.submission(raw / TRUTH_FOLDER)],
        [exports.export()],
    ]


if __name__ == "__main__":
    sys.exit(main())
