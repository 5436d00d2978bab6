"""Difficulty of a raw data set: scores of simple predictors, of baselines, and the best possible scores.

    python -m benchmarks.difficulty data/01_raw
    python -m benchmarks.difficulty data/01_raw --seed 1 --json difficulty.json

The pipeline's stages make the bundles in a temporary folder, without Dagster. All scores are of
held-out sessions, which are those of the gate and of the test split; the predictors learn from the others.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import refusing
from benchmarks.stages import Apart, publish_all
from skip_pipeline import schema
from skip_pipeline.baselines.fit import fit_baselines
from skip_pipeline.bundles.gather import Bundle, open_bundles
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.report.oracle import best_possible, find_oracle
from skip_pipeline.storage import write_json


@dataclass(frozen=True)
class Predictor:
    """One row of the table.

    Attributes:
        name: in words.
        scores: on the held-out sessions.
        seconds: from bundles to probabilities; None for the oracle, which is read.
    """

    name: str
    scores: SplitScores
    seconds: float | None


def build_bundles(raw: Path, folder: Path) -> dict[str, Bundle]:
    """Take a raw folder through the stages, in an empty folder, and open the bundles (``open_splits``).

    Raises:
        SkipPipelineError: whatever a stage refuses.
    """
    layout = Apart(folder, delivered=raw)  # so that errors have the user's paths
    publish_all(layout)
    return open_splits(layout.bundles)


def open_splits(bundles: Path) -> dict[str, Bundle]:
    """Open train, validation, and as ``held_out`` the gate and held-out sessions together.

    A benchmark chooses no champion, so gate sessions narrow its intervals.
    """
    opened = open_bundles(bundles, schema.SPLITS)
    return {
        "train": opened["train"],
        "validation": opened["validation"],
        "held_out": opened["gate"].joined(opened["test"]),
    }


def measure(bundles: Mapping[str, Bundle], oracle: Path | None, *, seed: int) -> list[Predictor]:
    """Score every predictor on the held-out sessions, from the simplest to the best possible."""
    for split, arrays in bundles.items():
        evaluate.need_both_outcomes(arrays.not_skipped, f"the {split} split")
    labels = bundles["held_out"].not_skipped
    predictors = [
        Predictor(
            baseline.title.lower(),
            evaluate.score(labels, baseline.p_not_skipped["held_out"]),
            baseline.seconds,
        )
        for baseline in fit_baselines(bundles, groups=bundles["train"].groups, seed=seed)
    ]
    if oracle:
        best = best_possible(oracle, bundles["held_out"])
        predictors.append(Predictor("oracle given the past", best.given_past, None))
        predictors.append(Predictor("oracle given the state", best.given_state, None))
    return predictors


def table(predictors: Sequence[Predictor]) -> str:
    """The figures as text, a line each."""
    lines = [f"{'':26}{'accuracy':>9}{'log-loss':>10}{'ROC AUC':>9}{'Brier':>8}{'seconds':>9}"]
    for predictor in predictors:
        scores, seconds = predictor.scores, predictor.seconds
        lines.append(
            f"{predictor.name:26}{scores.accuracy:9.4f}{scores.log_loss:10.4f}{scores.roc_auc:9.4f}"
            f"{scores.brier:8.4f}" + ("" if seconds is None else f"{seconds:9.1f}")
        )
    return "\n".join(lines)


@refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if the data set is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw", type=Path, metavar="RAW_DIR", help="raw folder, such as data/01_raw")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draw of training sessions, and of the trees"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    source = raw_folder.data_source(options.raw)
    with tempfile.TemporaryDirectory() as folder:
        bundles = build_bundles(options.raw, Path(folder))
        sessions = {split: arrays.sessions for split, arrays in bundles.items()}
        predictors = measure(bundles, find_oracle(options.raw), seed=options.seed)
    held_out, train = sessions["held_out"], sessions["train"]
    print(f"{held_out:,} held-out sessions, {source} data, {train:,} training sessions:")
    print(table(predictors))
    if options.json:
        figures = {p.name: {**asdict(p.scores), "seconds": p.seconds} for p in predictors}
        write_json(
            options.json,
            {"data_source": source, "sessions": sessions, "seed": options.seed, "predictors": figures},
        )


if __name__ == "__main__":
    sys.exit(main())
