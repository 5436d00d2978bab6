"""The best possible scores on the challenge's task in a synthetic world: skip_2 of every second-half track.

    python -m benchmarks.challenge_bound --sessions 10000 --seed 0
    python -m benchmarks.challenge_bound --law regions

The decision is given the first half of a session, or the listener's hidden state, beside the tracks of the
second half and every parameter of the world (``benchmarks.second_half_draws``).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.second_half_draws import Flags, Given, best_strings, second_halves
from skip_pipeline.metrics.challenge import average_accuracy
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.laws.registry import DEFAULT, LAWS
from skip_pipeline.world.world import World

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Mean average accuracy and accuracy of the first prediction, with their standard errors."""

    name: str
    maa: float
    maa_error: float
    fpa: float
    fpa_error: float


def measure(world: World, draws: int, given: Given = "past") -> list[Score]:
    """Scores over all sessions of a world, from the simplest decision to the best."""
    rng = np.random.default_rng(np.random.SeedSequence(world.seed, spawn_key=(2**20,)))
    results: dict[str, list[tuple[FloatArray, Flags]]] = {}
    for number in range(world.extent.blocks):
        for halves in second_halves(world, number, draws, rng, given):
            last, happened = halves.first[:, -1:], halves.happened
            decisions = {
                "last action": np.repeat(last, happened.shape[1], axis=1),
                "chances above one half": halves.drawn.mean(axis=1) > 0.5,
                "best possible": best_strings(halves.drawn),
            }
            for name, decided in decisions.items():
                right = decided == happened
                results.setdefault(name, []).append((average_accuracy(right), right[:, 0]))
    return [_score(name, pieces) for name, pieces in results.items()]


def _score(name: str, pieces: list[tuple[FloatArray, Flags]]) -> Score:
    average, first = (np.concatenate(part).astype(np.float64) for part in zip(*pieces, strict=True))
    error = [float(values.std() / np.sqrt(len(values))) for values in (average, first)]
    return Score(name, float(average.mean()), error[0], float(first.mean()), error[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a world in memory, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--tracks", type=int, default=50_704)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1000, help="of the second half of each session")
    parser.add_argument("--law", choices=list(LAWS), default=DEFAULT, help="of the listeners' behaviour")
    parser.add_argument("--given", choices=("past", "state"), default="past", help="what is known")
    options = parser.parse_args(arguments)
    world = World(Extent(options.sessions), options.tracks, options.seed, law=options.law)
    scores = measure(world, options.draws, options.given)
    lines = [f"{options.sessions:,} synthetic sessions, seed {options.seed}, {options.draws} draws each:"]
    lines += [f"{'':24}{'MAA':>8}{'+-':>8}{'FPA':>8}{'+-':>8}"]
    lines += [f"{s.name:24}{s.maa:8.4f}{s.maa_error:8.4f}{s.fpa:8.4f}{s.fpa_error:8.4f}" for s in scores]
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
