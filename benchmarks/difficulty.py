"""How hard a raw data set is: simple predictors, strong ones without a network, and the best possible.

    python benchmarks/difficulty.py data/01_raw
    python benchmarks/difficulty.py data/01_raw --seed 1 --json difficulty.json

Bundles are made in a temporary folder by the pipeline's own stages, without Dagster. All scores are of the
test sessions; everything is learnt from the others.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from skip_pipeline import raw_folder, schema
from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.flow import bundle, encode, evaluate, ingest, merge, scale
from skip_pipeline.flow.evaluate import SplitScores
from skip_pipeline.networks.handmade import handmade_features, training_examples
from skip_pipeline.networks.rivals import fit_boosted_trees, fit_regression
from skip_pipeline.networks.tastes import Tastes
from skip_pipeline.report.oracle import best_possible, find_oracle
from skip_pipeline.storage import read_table, write_json, write_table


@dataclass(frozen=True)
class Predictor:
    """One row of the table.

    Attributes:
        name: in words.
        scores: on the test sessions.
        seconds: from bundles to probabilities, features and fitting included; None for what is only read.
    """

    name: str
    scores: SplitScores
    seconds: float | None


def build_bundles(raw: Path, folder: Path) -> dict[str, bundle.Bundle]:
    """Take a raw folder through the stages, shard by shard, and open the bundles of every split.

    Raises:
        SkipPipelineError: whatever a stage refuses.
    """
    paths = raw_folder.find_session_logs(raw)
    tracks = ingest.read_track_features(raw_folder.find_track_features(raw))
    source, today = raw_folder.data_source(raw), dt.datetime.now(tz=dt.UTC).date()
    summaries, sessions, ranges = {}, {}, []
    for path in paths:
        log, summaries[path] = ingest.load_session_log(path, among=paths, today=today)
        merged = merge.merge(log, tracks, shard=str(path))
        encoded = encode.encode(merged, tracks[schema.TRACK_ID])
        name = f"{raw_folder.shard_name(path)}.parquet"
        sessions[name] = encode.sessions(merged)
        ranges.append(scale.feature_range(encoded, sessions[name]))
        write_table(encoded, folder / name, schema.ENCODED, data_source=source)
    ingest.combine(summaries)  # refuses a session that lies in two files
    scaler = scale.fit_scaler(ranges)
    writer = bundle.BundleWriter(folder, bundle.track_matrix(tracks, scaler))
    for name, of_shard in sessions.items():
        encoded = read_table(folder / name, schema.ENCODED)
        scaled, _ = scaler.apply(encoded)
        writer.add(Path(name).stem, scaled, of_shard, encoded[schema.LOG_TRACK_ID])
    writer.close()
    return {split: bundle.open_bundle(folder, split) for split in schema.SPLITS}


def measure(bundles: Mapping[str, bundle.Bundle], oracle: Path | None, *, seed: int) -> list[Predictor]:
    """Score every predictor on the test sessions, from the simplest to the best possible."""
    for split, arrays in bundles.items():
        evaluate.need_both_outcomes(arrays.not_skipped, f"the {split} split")
    predictors = [*_simple(bundles), *_strong(bundles, seed)]
    if oracle:
        best = best_possible(oracle, bundles["test"])
        predictors.append(Predictor("oracle given the past", best.given_past, None))
        predictors.append(Predictor("oracle given the state", best.given_state, None))
    return predictors


def _simple(bundles: Mapping[str, bundle.Bundle]) -> list[Predictor]:
    """What needs one or two numbers: the share played in training, overall and by the last outcome."""
    train, test = bundles["train"], bundles["test"]
    share = float(train.not_skipped.mean())
    before, before_test = train.skip_sequence[:, -1, 0], test.skip_sequence[:, -1, 0]
    after = [_share(train.not_skipped[before == outcome], share) for outcome in (0, 1)]
    constant = np.full(test.sessions, share)
    repeated = np.where(before_test == 1, after[1], after[0])
    return [
        Predictor("majority class", evaluate.score(test.not_skipped, constant), 0.0),
        Predictor("repeat the last outcome", evaluate.score(test.not_skipped, repeated), 0.0),
    ]


def _share(not_skipped: np.ndarray, otherwise: float) -> float:
    return float(not_skipped.mean()) if len(not_skipped) else otherwise


def _strong(bundles: Mapping[str, bundle.Bundle], seed: int) -> list[Predictor]:
    """Regression and trees on hand-made features; the trees' seconds include the regression they need."""
    labels = bundles["test"].not_skipped
    started = time.perf_counter()
    tastes = Tastes.fit(bundles["train"])
    training = training_examples(bundles["train"], tastes)
    features, _ = handmade_features(bundles["test"], tastes)
    regression = fit_regression(training)
    by_regression = regression.p_not_skipped(features)
    seconds = time.perf_counter() - started
    validation = training_examples(bundles["validation"], tastes)
    by_trees = fit_boosted_trees(training, validation, regression, seed=seed).p_not_skipped(features)
    return [
        Predictor("logistic regression", evaluate.score(labels, by_regression), seconds),
        Predictor("gradient-boosted trees", evaluate.score(labels, by_trees), time.perf_counter() - started),
    ]


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if the data set is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw", type=Path, metavar="RAW_DIR", help="raw folder, such as data/01_raw")
    parser.add_argument("--seed", type=int, default=0, help="of the trees")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    try:
        source = raw_folder.data_source(options.raw)
        with tempfile.TemporaryDirectory() as folder:
            bundles = build_bundles(options.raw, Path(folder))
            sessions = {split: arrays.sessions for split, arrays in bundles.items()}
            predictors = measure(bundles, find_oracle(options.raw), seed=options.seed)
    except SkipPipelineError as refusal:
        sys.stderr.write(f"error: {refusal}\n")
        return 1
    print(f"{sessions['test']:,} test sessions, {source} data, {sessions['train']:,} training sessions:")  # noqa: T201
    print(table(predictors))  # noqa: T201 - the output of this command
    if options.json:
        figures = {p.name: {**asdict(p.scores), "seconds": p.seconds} for p in predictors}
        write_json(
            options.json,
            {"data_source": source, "sessions": sessions, "seed": options.seed, "predictors": figures},
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
