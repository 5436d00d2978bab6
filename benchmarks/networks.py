"""Scores of every network and its rivals on the same held-out sessions, for docs/networks.md.

    python -m benchmarks.networks data/01_raw --out DIR

The pipeline's stages make the bundles in a temporary folder, without Dagster. The default network is trained
with three seeds; its ablation and the published network (for its published number of epochs) once, each in a
new process. All are calibrated on the validation sessions, as in the pipeline. ``ensemble`` is the mean of
all their log-odds.

``DIR`` gets ``networks.md`` and the learning curve of the published network. Held-out sessions are those of
the gate and of the test split.
"""

import argparse
import dataclasses
import multiprocessing
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import expit, logit

from benchmarks.difficulty import build_bundles, open_splits
from benchmarks.measure import refusing
from skip_pipeline.baselines.fit import fit_baselines
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import TrackMemory, remember
from skip_pipeline.metrics import calibration as calibrate
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.curves import expected_calibration_error, reliability_curve
from skip_pipeline.metrics.intervals import Estimate, estimate_means
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.raw.description import describe
from skip_pipeline.report import plots
from skip_pipeline.report.oracle import best_possible, find_oracle
from skip_pipeline.settings import DEFAULT_PRESET, PRESETS, WITH_MEMORY, DataLayout, DataSource
from skip_pipeline.training.history import EpochReport
from skip_pipeline.training.onnx_model import predict_onnx

SEEDS: Final = (0, 1, 2)
PUBLISHED_EPOCHS: Final = 57
"""After which the publication's training ended, and so does this one, where early stopping would end it
elsewhere; as there, the epoch with the best validation loss is kept."""


@dataclass(frozen=True)
class Fitted:
    """One predictor, and its probabilities for validation and held-out sessions.

    Attributes:
        name: in words.
        p_not_skipped: by split, (n,), as trained.
        seconds: of building and training; 0 for what is only put together.
        parameters: 0 where it has none.
        epochs, best_epoch: 0 for what is not trained in epochs.
        peak_mib: largest resident size of its process; 0 where it has none of its own.
        onnx_difference: largest difference to its ONNX export on any held-out session.
        history: of a network.
    """

    name: str
    p_not_skipped: Mapping[str, np.ndarray]
    seconds: float = 0.0
    parameters: int = 0
    epochs: int = 0
    best_epoch: int = 0
    peak_mib: float = 0.0
    onnx_difference: float = 0.0
    history: tuple[EpochReport, ...] = ()


def fit_network(bundles_dir: Path, preset: str, seed: int) -> Fitted:
    """Train one network, and let it and its export predict."""
    from skip_pipeline.training import export, train

    bundles = open_splits(bundles_dir)
    settings = dataclasses.replace(PRESETS[preset], seed=seed)  # type: ignore[index]  # a name of ours
    if preset == "published":
        settings = dataclasses.replace(
            settings, max_epochs=PUBLISHED_EPOCHS, stopping_patience=PUBLISHED_EPOCHS
        )
    splits = with_memory(bundles, preset)
    trained = train.train(splits["train"], splits["validation"], settings, lambda it: print(it, flush=True))
    return Fitted(
        name=f"{preset}, seed {seed}",
        p_not_skipped={
            split: train.predict(trained.network, splits[split]) for split in ("validation", "held_out")
        },
        seconds=trained.seconds,
        parameters=trained.parameters,
        epochs=len(trained.history),
        best_epoch=trained.best_epoch,
        peak_mib=_peak_mib(),
        onnx_difference=export.check_export(
            trained.network,
            predict_onnx(export.to_onnx(trained.network), splits["held_out"]),
            splits["held_out"],
        ),
        history=trained.history,
    )


def with_memory(bundles: Mapping[str, Bundle], preset: str) -> dict[str, Any]:
    """The splits, with the memory of tracks if the preset has one."""
    train = bundles["train"]
    if preset in WITH_MEMORY:
        return dict(remember(bundles, TrackMemory.fit(train, train.tracks, train.groups)))
    return dict(bundles)


def _peak_mib() -> float:
    """Of this process since it began; what its parent had is not counted."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kib) / 1024


def in_processes(bundles_dir: Path, jobs: Sequence[tuple[str, int]]) -> list[Fitted]:
    """Train one network after the other, each in a fresh process: TensorFlow warms up and keeps memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as processes:
        return [processes.submit(fit_network, bundles_dir, *job).result() for job in jobs]


def ensemble(members: Sequence[Fitted]) -> Fitted:
    """Mean of the members' log-odds."""
    mean = {
        split: expit(
            np.mean([logit(np.clip(m.p_not_skipped[split], 1e-6, 1 - 1e-6)) for m in members], axis=0)
        )
        for split in ("validation", "held_out")
    }
    return Fitted(f"ensemble of these {len(members)}", mean)


@dataclass(frozen=True)
class Line:
    """One predictor's scores on the held-out sessions; differences are its own less the default network's."""

    name: str
    accuracy: float
    log_loss: float
    as_trained: float
    roc_auc: float
    calibration_error: float
    seconds: float
    parameters: int
    epochs: str
    peak_mib: float
    onnx_difference: float
    log_loss_difference: Estimate


def score(fitted: Sequence[Fitted], bundles: Mapping[str, Bundle], against: Fitted) -> list[Line]:
    """Calibrate each on validation sessions and score it on held-out sessions."""
    labels = bundles["held_out"].not_skipped
    reference = evaluate.losses(labels, _calibrated(against, bundles)[0])
    lines = []
    for each in fitted:
        p, calibration = _calibrated(each, bundles)
        scores = evaluate.score(labels, p, calibration.threshold)
        (difference,) = estimate_means((evaluate.losses(labels, p) - reference)[:, None])
        lines.append(
            Line(
                name=each.name,
                accuracy=scores.accuracy,
                log_loss=scores.log_loss,
                as_trained=evaluate.score(labels, each.p_not_skipped["held_out"]).log_loss,
                roc_auc=scores.roc_auc,
                calibration_error=expected_calibration_error(reliability_curve(labels, p)),
                seconds=each.seconds,
                parameters=each.parameters,
                epochs=f"{each.best_epoch} of {each.epochs}" if each.epochs else "",
                peak_mib=each.peak_mib,
                onnx_difference=each.onnx_difference,
                log_loss_difference=difference,
            )
        )
    return lines


def _calibrated(fitted: Fitted, bundles: Mapping[str, Bundle]) -> tuple[np.ndarray, Calibration]:
    calibration = calibrate.fit(bundles["validation"].not_skipped, fitted.p_not_skipped["validation"])
    return calibration.apply(fitted.p_not_skipped["held_out"]), calibration


def table(lines: Sequence[Line]) -> str:
    """The scores as Markdown."""
    head = (
        "| model | accuracy | log-loss | less the default's (95%) | as trained | ROC AUC | ECE | seconds "
        "| parameters | best epoch | peak MiB | ONNX differs by |"
    )
    rows = [
        f"| {line.name} | {line.accuracy:.4f} | {line.log_loss:.4f} | {_interval(line.log_loss_difference)} "
        f"| {line.as_trained:.4f} | {line.roc_auc:.4f} | {line.calibration_error:.4f} "
        f"| {_or_nothing(line.seconds, '.1f')} | {_or_nothing(line.parameters, ',')} | {line.epochs} "
        f"| {_or_nothing(line.peak_mib, ',.0f')} | {_or_nothing(line.onnx_difference, '.1e')} |"
        for line in lines
    ]
    return "\n".join([head, "|---|" + "---:|" * 11, *rows])


def _interval(difference: Estimate) -> str:
    if difference.low == difference.high:
        return ""
    return f"{difference:+.4f}"


def _or_nothing(value: float, form: str) -> str:
    return format(value, form) if value else ""


def oracles(raw: Path, bundle: Bundle) -> list[str]:
    """Log-loss and accuracy of the best possible, on synthetic data, in words."""
    oracle = find_oracle(raw)
    if oracle is None:
        return []
    best = best_possible(oracle, bundle)
    return [
        f"Best possible given {what}: log-loss {scores.log_loss:.4f}, accuracy {scores.accuracy:.4f}."
        for what, scores in (("the past", best.given_past), ("the listener's true state", best.given_state))
    ]


def compare(raw: Path, out: Path, source: DataSource) -> list[str]:
    """All networks and rivals on one data set, as lines of Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        bundles = build_bundles(raw, Path(folder))
        jobs = [(DEFAULT_PRESET, seed) for seed in SEEDS]
        jobs += [(preset, 0) for preset in PRESETS if preset != DEFAULT_PRESET]
        networks = in_processes(DataLayout(Path(folder)).bundles, jobs)
        rivals = [
            Fitted(b.title.lower(), b.p_not_skipped, b.seconds, b.parameters or 0)
            for b in fit_baselines(bundles, seed=0)
        ]
        everyone = [*networks, *rivals]
        lines = score([*everyone, ensemble(everyone[: len(networks)] + rivals[2:])], bundles, networks[0])
        counts = {split: bundle.sessions for split, bundle in bundles.items()}
        best = oracles(raw, bundles["held_out"])
    published = networks[len(SEEDS)]
    (out / "published_curve.png").write_bytes(
        plots.training_curves(published.history, published.best_epoch, describe(raw, source).mark).png
    )
    times = [network.seconds for network in networks[: len(SEEDS)]]
    slowest, mean = max(times), sum(times) / len(times)
    return [
        f"{source.capitalize()} data: {counts['train']:,} training, {counts['validation']:,} validation and "
        f"{counts['held_out']:,} held-out sessions.",
        "",
        table(lines),
        "",
        *best,
        f"The published network took {published.seconds / slowest:.1f} times as long to train as the slowest "
        f"of the {len(SEEDS)} default ones, and {published.seconds / mean:.1f} times as long as their mean.",
    ]


@refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if a data set is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw", type=Path, metavar="RAW_DIR", help="raw folder, such as data/01_raw")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the figures")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    text = compare(options.raw, options.out, raw_folder.data_source(options.raw))
    print("\n".join(text))
    (options.out / "networks.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
