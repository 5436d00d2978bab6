"""Rates of reading and of training, and the growth of training's memory with the data.

    python -m benchmarks.data_path --sessions 1000000 --shards 100 --keep DIR
    python -m benchmarks.loader DIR

``DIR/large`` is a bundle with ten times the sessions of ``DIR/small``.

* delivered: sessions per second that the large bundle gives in training's random order, in batches of the
  default preset, on one thread. It is the process's first pass over the files.
* trained: sessions per second that the default network learns from arrays in memory, on all cores: the median
  of whole epochs after the first, which compiles. One batch is validated.
* memory: ``train`` runs an epoch with the same number of batches from the small and from the large bundle,
  with sessions from all files in random order, as in training. A whole epoch needs no more memory, except
  pages of mapped files, which the system drops when memory is short. ``train_rss_growth`` includes such
  pages, ``train_anonymous_growth`` does not.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks import measure, summary
from benchmarks.one_run import Made
from benchmarks.raw_sets import absolute
from benchmarks.summary import Summary
from skip_pipeline import schema
from skip_pipeline.bundles.gather import INPUTS, Bundle, Gathered, open_bundle
from skip_pipeline.bundles.track_memory import TrackMemory, remember
from skip_pipeline.settings import DEFAULT_PRESET, PRESETS, DataLayout

SETTINGS: Final = PRESETS[DEFAULT_PRESET]
DELIVERED_BATCHES: Final = 1_000  # a quarter of a million sessions: some seconds
LEARNT_SESSIONS: Final = 20_000  # a warm epoch of some seconds
LEARNT_EPOCHS: Final = 4  # the first warms up
SPREAD_BATCHES: Final = 200  # less than an epoch of 70,000 sessions, the small bundle's


# --- What is measured, each in a process of its own -----------------------------------------------------


def deliver(data: Path, _folder: Path, *, batches: int = DELIVERED_BATCHES) -> Made:
    """The first batches of an epoch over a whole training split, dropped as soon as they are there."""
    bundle = open_bundle(DataLayout(data).bundles, "train")
    order = np.random.default_rng([SETTINGS.seed, 0]).permutation(bundle.sessions)
    wanted = order[: batches * SETTINGS.batch_size]
    started = time.perf_counter()
    for start in range(0, len(wanted), SETTINGS.batch_size):
        bundle.batch(wanted[start : start + SETTINGS.batch_size], INPUTS)
    return Made(None, 0, len(wanted), seconds=time.perf_counter() - started)


def learn(data: Path, _folder: Path, *, sessions: int = LEARNT_SESSIONS, epochs: int = LEARNT_EPOCHS) -> Made:
    """Whole epochs of the default network over the first sessions of the training split, in memory."""
    from skip_pipeline.training.train import train

    layout = DataLayout(data)
    whole = open_bundle(layout.bundles, "train")
    arrays = whole.batch(slice(sessions), INPUTS)
    watched = open_bundle(layout.bundles, "validation").batch(slice(SETTINGS.batch_size), INPUTS)
    splits = remember({"train": arrays, "validation": watched}, TrackMemory.fit(arrays, whole.tracks))
    settings = replace(SETTINGS, max_epochs=epochs, least_steps=0, stopping_patience=epochs)
    trained = train(splits["train"], splits["validation"], settings, lambda _report: None)
    seconds = median(report.seconds for report in trained.history[1:])
    return Made(trained.network, 0, len(arrays["not_skipped"]), seconds=seconds)


def train_spread(data: Path, _folder: Path, *, batches: int = SPREAD_BATCHES) -> Made:
    """An epoch of so many batches, spread over a whole bundle."""
    from skip_pipeline.training.train import train

    layout = DataLayout(data)
    whole = open_bundle(layout.bundles, "train")
    spread = Spread(whole, batches * SETTINGS.batch_size)
    watched = open_bundle(layout.bundles, "validation").batch(slice(SETTINGS.batch_size), INPUTS)
    splits = remember({"train": spread, "validation": watched}, TrackMemory.fit(spread, whole.tracks))
    settings = replace(SETTINGS, max_epochs=1, least_steps=0)
    trained = train(splits["train"], splits["validation"], settings, lambda _report: None)
    return Made((trained, spread), 0, whole.sessions)


class Spread(Bundle):
    """So many sessions drawn over the whole of a bundle; in memory is what all of them would need."""

    def __init__(self, whole: Bundle, sessions: int) -> None:
        """Draw them from the seed of training."""
        vars(self).update(vars(whole))
        self._whole = whole
        self._labels = whole.not_skipped
        self._order = np.random.default_rng([SETTINGS.seed, 0]).permutation(whole.sessions)
        self._sessions = min(sessions, whole.sessions)
        for name in INPUTS:
            setattr(self, name, Gathered(self, name, np.dtype(np.float32)))

    @property
    def sessions(self) -> int:
        """Number of sessions drawn."""
        return self._sessions

    @cached_property
    def not_skipped(self) -> np.ndarray:
        """Their labels, float32 (n,)."""
        return np.asarray(self._labels[self._order[: self.sessions]])

    def batch(self, index: Any, names: Sequence[str] = tuple(schema.BRANCH_SHAPES)) -> dict[str, np.ndarray]:
        """See ``Bundle.batch``."""
        return self._whole.batch(self._order[self.numbers(index)], names)

    def gather(self, name: str, chosen: np.ndarray) -> np.ndarray:
        """See ``Bundle.gather``."""
        return self._whole.gather(name, self._order[chosen])


# --- Measuring ------------------------------------------------------------------------------------------


def compare(small: Path, large: Path, *, sessions: int, batches: int) -> dict[str, Any]:
    """All of it, on two data directories that hold bundles.

    Args:
        sessions: that are trained on, of the large bundle.
        batches: of the training whose memory is measured.

    Returns:
        See ``summary.result``.

    Raises:
        ChildFailedError: a run failed.
    """
    delivered = measure.run("benchmarks.loader:deliver", large)
    trained = measure.run("benchmarks.loader:learn", large, sessions=sessions)
    before = measure.run("benchmarks.loader:train_spread", small, batches=batches)
    as_many = min(batches, max(1, before.sessions // SETTINGS.batch_size))
    last = measure.run("benchmarks.loader:train_spread", large, batches=as_many)
    rates = [run.sessions / run.seconds for run in (delivered, trained)]
    headline = {
        "loader_over_network": round(rates[0] / rates[1], 2),
        "loader_sessions_per_second": round(rates[0]),
        "network_sessions_per_second": round(rates[1]),
        "train_rss_mib": last.peak_rss_mib,
        "train_rss_growth": round(last.peak_rss_mib / before.peak_rss_mib, 3),
    }
    if before.peak_anonymous_mib:
        growth = last.peak_anonymous_mib / before.peak_anonymous_mib
        headline["train_anonymous_growth"] = round(growth, 3)
    runs = {
        "delivered by the large bundle": delivered,
        "trained, an epoch in memory": trained,
        "trained, spread over the small bundle": before,
        "trained, spread over the large bundle": last,
    }
    found = {name: Summary.of([run]) for name, run in runs.items()}
    return summary.result(headline, found, {"sessions": [before.sessions, last.sessions]})


@measure.refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=absolute, help="holds the data directories small and large with bundles")
    parser.add_argument("--sessions", type=int, default=LEARNT_SESSIONS, help="that are trained on")
    parser.add_argument("--batches", type=int, default=SPREAD_BATCHES, help="where memory is measured")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    small, large = options.data / "small", options.data / "large"
    result = compare(small, large, sessions=options.sessions, batches=options.batches)
    summary.finish(result, f"{result['data']['sessions'][1]:,} training sessions", options.json)


if __name__ == "__main__":
    sys.exit(main())
