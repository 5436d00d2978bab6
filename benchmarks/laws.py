"""The default network and its rivals on worlds with other laws, and on raw data of one's own.

    python -m benchmarks.laws --out laws.md
    python -m benchmarks.laws --out laws.md --laws regions habits --seeds 0 --raw my_data/01_raw

For every law, 10,000 sessions are drawn, the stages make the bundles, rivals are fitted and the network is
trained with each seed. All are scored on the same held-out sessions (gate and test), without calibration, on
both questions: the last track, and the next track at any position. ``--variants`` also trains the network
without one of its parts. Intervals are over sessions, paired.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.difficulty import build_bundles
from benchmarks.networks import SEEDS, with_memory
from skip_pipeline import schema
from skip_pipeline.baselines.fit import fit_baselines
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import Remembered, TrackMemory
from skip_pipeline.metrics.intervals import estimate_means
from skip_pipeline.metrics.scores import losses
from skip_pipeline.networks.listening import all_played
from skip_pipeline.report.oracle import GIVEN_PAST, find_oracle, oracle_probabilities
from skip_pipeline.settings import DEFAULT_PRESET, PRESETS
from skip_pipeline.training import export, train
from skip_pipeline.training.onnx_model import predict_tracks
from skip_pipeline.world.laws.registry import LAWS
from skip_pipeline.world.synthesize import synthesize

VARIANTS: Final = (
    "without cuts",
    "without memory of tracks",
    "without company of tracks",
    "without hour and premium",
)
"""The network as it is, but for one thing."""

_OWN: Final = 2  # appeal and plays, before a track's company


@dataclass(frozen=True)
class Scored:
    """Losses of one predictor on the held-out sessions."""

    name: str
    last: np.ndarray  # float64 (n,), of the last track
    every: np.ndarray  # float64 (n, 2), sum of the losses of every track, and number of tracks

    @classmethod
    def of(cls, name: str, p: np.ndarray, played: np.ndarray) -> Scored:
        """Score probabilities (n, 20) of every track, given whether it was played (n, 20), NaN in padding."""
        real = ~np.isnan(played)
        each = losses(np.nan_to_num(played), np.where(real, p, 0.5)) * real
        return cls(name, each[:, -1], np.column_stack([each.sum(axis=1), real.sum(axis=1)]))


def score_data(raw: Path, seeds: Sequence[int], variants: Sequence[str]) -> Iterator[Scored]:
    """Rivals, networks, and the best possible where it is known, on one raw folder."""
    with tempfile.TemporaryDirectory() as folder:
        bundles = build_bundles(raw, Path(folder))
        played = all_played(bundles["held_out"])
        for rival in fit_baselines(bundles, groups=bundles["train"].groups):
            yield Scored.of(rival.name, rival.p_tracks["held_out"], played)
        for seed in seeds:
            yield Scored.of(f"network, seed {seed}", _network(bundles, seed), played)
        for variant in variants:
            yield Scored.of(f"network {variant}", _network(bundles, seeds[0], variant), played)
        if oracle := find_oracle(raw):
            p = oracle_probabilities(oracle, np.asarray(bundles["held_out"][schema.SESSION_ID]))[GIVEN_PAST]
            last = losses(bundles["held_out"].not_skipped, p)
            yield Scored("best possible given the past", last, np.full((len(last), 2), np.nan))


class _Without(Mapping[str, Any]):
    """A split whose array of some name is zeros."""

    def __init__(self, split: Mapping[str, Any], name: str) -> None:
        self._split, self._name = split, name

    def __getitem__(self, name: str) -> Any:
        return np.zeros_like(self._split[name][:]) if name == self._name else self._split[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._split)

    def __len__(self) -> int:
        return len(self._split)


def _forgetful(split: Remembered, keep: int) -> Remembered:
    """The same split with the first ``keep`` numbers of the memory, and zeros after them."""
    values, without_fold = split.memory.values.copy(), split.memory.without_fold.copy()
    values[:, keep:] = 0.0
    without_fold[:, :, keep:] = 0.0
    return Remembered(split.split, TrackMemory(values, without_fold), training=split.training)


def _network(bundles: Mapping[str, Bundle], seed: int, variant: str = "") -> np.ndarray:
    """Probabilities (n, 20) of the default network for the held-out sessions, from its ONNX export."""
    splits: dict[str, Any] = with_memory(bundles, DEFAULT_PRESET)
    if "memory" in variant or "company" in variant:
        splits = {
            name: _forgetful(split, keep=_OWN if "company" in variant else 0)
            for name, split in splits.items()
        }
    elif "hour" in variant:
        splits = {name: _Without(split, "circumstances") for name, split in splits.items()}
    settings = dataclasses.replace(PRESETS[DEFAULT_PRESET], seed=seed)
    if "cuts" in variant:
        settings = dataclasses.replace(settings, cut_sessions=0.0)
    trained = train.train(splits["train"], splits["validation"], settings, lambda _: None)
    return predict_tracks(export.to_onnx(trained.network), splits["held_out"])


def table(title: str, scored: Sequence[Scored]) -> str:
    """One data set's scores as Markdown; differences are to the first network, negative where it is worse."""
    network = next(one for one in scored if one.name.startswith("network"))
    lines = [
        f"### {title}",
        "",
        f"{len(network.last):,} held-out sessions.",
        "",
        "| predictor | last track | less the network's (95%) | every track | less the network's (95%) |",
        "|---|---:|---:|---:|---:|",
    ]
    for one in sorted(scored, key=lambda each: float(each.last.mean())):
        lines.append(
            f"| {one.name} | {one.last.mean():.4f} | {_difference(one, network, last=True)} | "
            f"{_mean(one):.4f} | {_difference(one, network, last=False)} |"
        )
    return "\n".join(lines)


def _mean(scored: Scored) -> float:
    total, tracks = scored.every.sum(axis=0)
    return float(total / tracks)


def _difference(one: Scored, network: Scored, *, last: bool) -> str:
    """Mean difference of losses, per track, with its interval."""
    if one is network or (not last and np.isnan(one.every).any()):
        return ""
    if last:
        found = estimate_means((one.last - network.last)[:, None])[0]
    else:
        tracks = network.every[:, 1]
        found = estimate_means(((one.every - network.every)[:, 0] / tracks.mean())[:, None])[0]
    return f"{found:+.4f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, and write one table per data set as each is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.laws", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--laws", nargs="*", default=list(LAWS), choices=list(LAWS))
    parser.add_argument("--raw", nargs="*", type=Path, default=[], help="raw folders to score as well")
    parser.add_argument("--sessions", type=int, default=10_000, help="of each law")
    parser.add_argument("--world-seed", type=int, default=0)
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS), help="of the network")
    parser.add_argument("--variants", nargs="*", default=[], choices=VARIANTS)
    options = parser.parse_args(arguments)
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for law in options.laws:
            raw = Path(folder) / law
            synthesize(raw, sessions=options.sessions, tracks=50_704, seed=options.world_seed, law=law)
            tables.append(
                table(
                    f"{law} (synthetic): {LAWS[law]}", list(score_data(raw, options.seeds, options.variants))
                )
            )
            options.out.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
        for raw in options.raw:
            tables.append(table(raw.parent.name, list(score_data(raw, options.seeds, options.variants))))
            options.out.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
