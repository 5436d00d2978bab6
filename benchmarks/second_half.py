"""The challenge's task on synthetic worlds: the default network, its rivals and the best possible, by MAA.

    python -m benchmarks.second_half --out DIR
    python -m benchmarks.second_half --out DIR --sessions 10000 --law regions habits --only rules network

For every law and seed a world of ``--sessions`` sessions is drawn: 70% training, 10% validation and 20%
held-out sessions (gate and test). All rivals learn from every training and validation session, or from one in
``--every``, and decide on the same held-out sessions. Decisions stay in ``DIR``, so a run that was stopped
goes on, and ``--only`` adds one kind of rival at a time. After each of them ``DIR/second_half.md`` is written
anew: MAA and FPA, differences to the network with paired intervals, and the share of the reachable gain,
(MAA - last action) / (best possible given the past - last action). Everything is synthetic, and belongs
beside no published score.
"""

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from benchmarks import second_half_rivals as rivals
from benchmarks.difficulty import build_bundles, open_splits
from benchmarks.networks import SEEDS
from benchmarks.second_half_draws import Given, best_strings, second_halves
from benchmarks.second_half_rivals import NETWORK, Decisions, Halves, Splits
from skip_pipeline import schema
from skip_pipeline.bundles.gather import ARRAYS, Bundle
from skip_pipeline.bundles.track_memory import TrackMemory, remember
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.challenge import SessionScores, estimate_scores, joined, score_sessions
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages.encode import split_of
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.laws.registry import DEFAULT, LAWS
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline.world.world import World

TRACKS: Final = 50_704  # as of the public mini set
LAST_ACTION: Final = "last action"
BEST: Final = "best possible given the past"

LEARNERS: Final[dict[str, Callable[[Splits, int], Decisions]]] = {
    "rules": rivals.by_rules,
    "trees": rivals.by_trees,
    "bilstm": rivals.by_bilstm,
    "network": rivals.by_network,
}
ORACLES: Final[dict[str, tuple[str, Given]]] = {
    "past": (BEST, "past"),
    "state": ("best possible given the listener's state", "state"),
}
"""Names in the table, and what is known; both ignore ``--every``."""


@dataclass(frozen=True)
class Setup:
    """One world, kept in a folder of its own."""

    out: Path
    law: str
    sessions: int
    seed: int  # of the world, and of what learns
    tracks: int = TRACKS

    @property
    def folder(self) -> Path:
        """Bundles and decisions."""
        return self.out / f"{self.law}-{self.sessions}-{self.seed}"

    @property
    def layout(self) -> DataLayout:
        """The bundles."""
        return DataLayout(self.folder)

    def decisions(self, job: str, every: int) -> Path:
        """File of a job's decisions by name."""
        return self.folder / (f"{job}.npz" if job in ORACLES else f"{job}-{every}.npz")

    def make_bundles(self) -> None:
        """Draw the world and take it through the stages, once; raw files and tables are not kept."""
        if (self.folder / "done").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder)
            synthesize(made / "raw", sessions=self.sessions, tracks=self.tracks, seed=self.seed, law=self.law)
            build_bundles(made / "raw", made / "data")
            shutil.copytree(DataLayout(made / "data").bundles, self.layout.bundles)
        (self.folder / "done").touch()

    def world(self) -> World:
        """The world that the bundles were made of."""
        return World(Extent(self.sessions), self.tracks, self.seed, law=self.law)


def thinned(bundles: Mapping[str, Bundle], every: int) -> Splits:
    """The splits with one in ``every`` training and validation sessions, and the memory of tracks."""
    splits: dict[str, Any] = dict(bundles)
    if every > 1:
        for name in ("train", "validation"):
            some = np.arange(0, bundles[name].sessions, every)
            splits[name] = {array: bundles[name][array][some] for array in ARRAYS}
    return remember(splits, TrackMemory.fit(splits["train"], bundles["train"].tracks))


def learn(setup: Setup, job: str, every: int) -> Decisions:
    """Decisions of one kind of rival."""
    return LEARNERS[job](thinned(open_splits(setup.layout.bundles), every), setup.seed)


def best_possible(setup: Setup, job: str, draws: int) -> Decisions:
    """The best decisions on the held-out sessions, whose order within a split is that of the world.

    Raises:
        ContractError: the bundles hold other sessions than the world.
    """
    name, given = ORACLES[job]
    world = setup.world()
    rng = np.random.default_rng(np.random.SeedSequence(setup.seed, spawn_key=(2**20,)))
    blocks: list[np.ndarray] = []  # int8 (2, sessions, 20): decided and happened, -1 where nothing is asked
    splits: list[np.ndarray] = []
    for number in range(world.extent.blocks):
        ids = world.block(number).oracle[schema.SESSION_ID].to_numpy()
        split = split_of(ids)
        wanted = split >= schema.SPLITS.index("gate")
        of_block = np.full((2, len(ids), schema.MAX_SESSION_LENGTH), -1, np.int8)
        for halves in second_halves(world, number, draws, rng, given, wanted):
            tracks = halves.happened.shape[1]
            of_block[0, halves.rows, :tracks] = best_strings(halves.drawn)
            of_block[1, halves.rows, :tracks] = halves.happened
        blocks.append(of_block)
        splits.append(split)
    ordered = np.concatenate(blocks, axis=1)[:, np.argsort(np.concatenate(splits), kind="stable")]
    decided, happened = (values[values >= 0].astype(np.uint8) for values in ordered)
    truth = Halves.of(open_splits(setup.layout.bundles)["held_out"]).truth
    if not np.array_equal(happened, truth):
        raise ContractError(
            f"{setup.folder} holds other sessions than the world of its name, expected the same; remove it"
        )
    return {name: decided}


def run(setup: Setup, job: str, every: int, draws: int) -> None:
    """Decide and keep the decisions, unless they are there."""
    if (file := setup.decisions(job, every)).exists():
        return
    started = time.perf_counter()
    if job in ORACLES:
        made = in_new_process(best_possible, setup, job, draws)
    else:
        made = in_new_process(learn, setup, job, every)
    part = file.with_suffix(".part.npz")
    np.savez(part, **cast(dict[str, Any], made))
    part.replace(file)
    print(f"{setup.folder.name}, {job}, one in {every}: {time.perf_counter() - started:.0f} s", flush=True)


def in_new_process(task: Callable[..., Decisions], *arguments: Any) -> Decisions:
    """The result of a call, from a fresh process: TensorFlow warms up and keeps memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(task, *arguments).result()


# --- Table ------------------------------------------------------------------------------------------------


def scores_of(setups: Sequence[Setup], every: int) -> dict[str, dict[int, SessionScores]]:
    """Scores of every predictor that has decided, by name and seed."""
    found: dict[str, dict[int, SessionScores]] = {}
    for setup in setups:
        files = [setup.decisions(job, every) for job in (*LEARNERS, *ORACLES)]
        if not any(file.exists() for file in files):
            continue
        test = Halves.of(open_splits(setup.layout.bundles)["held_out"])
        for file in files:
            if file.exists():
                with np.load(file) as decisions:
                    for name in decisions.files:
                        scored = score_sessions(decisions[name], test.truth, test.tracks)
                        found.setdefault(name, {})[setup.seed] = scored
    return found


def table(title: str, scored: Mapping[str, Mapping[int, SessionScores]]) -> str:
    """Scores as Markdown, from the lowest MAA; differences to ``NETWORK`` are on the seeds that both have."""
    lines = [
        f"### {title}",
        "",
        "| predictor | seeds | MAA | FPA | MAA less the network's (95%) | FPA less the network's (95%) "
        "| share of the reachable gain |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, own in sorted(scored.items(), key=lambda item: _mean(item[1], item[1])):
        maa, fpa = (
            float(np.mean([np.mean(getattr(one, field)) for one in own.values()]))
            for field in ("average_accuracy", "first_right")
        )
        shown = ["", ""]
        if name != NETWORK and (seeds := sorted(own.keys() & scored.get(NETWORK, {}).keys())):
            pair = [joined([of[seed] for seed in seeds]) for of in (scored[NETWORK], own)]
            (less,) = estimate_scores(pair)[1]
            shown = [f"{less.maa:+.4f}", f"{less.fpa:+.4f}"]
        share = _share(own, scored)
        lines.append(f"| {name} | {len(own)} | {maa:.4f} | {fpa:.4f} | {' | '.join(shown)} | {share} |")
    return "\n".join(lines)


def _mean(scores: Mapping[int, SessionScores], seeds: Any) -> float:
    return float(np.mean([scores[seed].average_accuracy.mean() for seed in seeds]))


def _share(own: Mapping[int, SessionScores], scored: Mapping[str, Mapping[int, SessionScores]]) -> str:
    """(MAA - last action) / (best possible - last action), on the seeds that all three have."""
    ends = [scored.get(name, {}) for name in (LAST_ACTION, BEST)]
    seeds = own.keys() & ends[0].keys() & ends[1].keys()
    if not seeds:
        return ""
    low, high = (_mean(end, seeds) for end in ends)
    return f"{(_mean(own, seeds) - low) / (high - low):.3f}"


def write_tables(setups: Sequence[Setup], every: Sequence[int]) -> None:
    """Write ``second_half.md``, a table of each law and size, from all decisions that are there."""
    text = [
        "Synthetic sessions: these scores say nothing of real listeners, and belong beside no published one."
    ]
    for law in dict.fromkeys(setup.law for setup in setups):
        own = [setup for setup in setups if setup.law == law]
        for one_in in every:
            if scored := scores_of(own, one_in):
                training = round(0.7 * own[0].sessions / one_in)
                title = f"{law} (synthetic), about {training:,} training sessions"
                text += ["", table(title, scored)]
    (setups[0].out / "second_half.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Decide with everything that has not decided yet, and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.second_half",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    jobs = (*LEARNERS, *ORACLES)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="worlds, decisions, tables")
    parser.add_argument("--sessions", type=int, default=100_000, help="of each world")
    parser.add_argument("--tracks", type=int, default=TRACKS, help="of each world")
    parser.add_argument("--law", nargs="*", default=[DEFAULT], choices=list(LAWS))
    parser.add_argument("--seed", nargs="*", type=int, default=list(SEEDS), help="of world and learners")
    parser.add_argument(
        "--every", nargs="*", type=int, default=[10, 1], help="learn from one session in so many"
    )
    parser.add_argument("--only", nargs="*", default=list(jobs), choices=jobs)
    parser.add_argument("--draws", type=int, default=300, help="of each second half, for the best possible")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    setups = [
        Setup(options.out, law, options.sessions, seed, options.tracks)
        for law in options.law
        for seed in options.seed
    ]
    for setup in setups:
        setup.make_bundles()
        for every in options.every:
            for job in options.only:
                run(setup, job, every, options.draws)
                write_tables(setups, options.every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
