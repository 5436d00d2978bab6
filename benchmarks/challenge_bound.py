"""The best possible score on the challenge's task in the synthetic world: skip_2 of every second-half track.

    python -m benchmarks.challenge_bound --sessions 10000 --seed 0

The decision is given the first half of a session, the tracks of the second half and every parameter of the
world. The hidden traits are drawn from the oracle's belief after the first half, and the second half is drawn
for each of them. Of all strings of decisions, the one with the largest expected average accuracy is taken.
Scores compare decisions with the outcomes of the drawn sessions, so the errors of the belief and of the draws
lower the score and never raise it: the best possible score is at least the one shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from skip_pipeline.metrics.challenge import average_accuracy
from skip_pipeline.storage import write_json
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.oracle import belief, range_of_shuffling
from skip_pipeline.world.sessions import SKIP_2, Between, listen
from skip_pipeline.world.world import Block, World

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ROWS_AT_ONCE: Final = 200_000
"""Sessions times draws that are drawn together: 100 MB."""


@dataclass(frozen=True)
class Score:
    """Mean average accuracy and accuracy of the first prediction, with their standard errors."""

    name: str
    maa: float
    maa_error: float
    fpa: float
    fpa_error: float


def best_strings(skips: Flags) -> Flags:
    """Decisions of the largest expected average accuracy for each session: (sessions, T).

    With outcomes and decisions of -1 and 1, the expectation needs the first and pairwise moments only: a
    constant plus, over T, sum of s_i m_i (1 + 1/i + H_T - H_i) / 4 and of s_i s_j m_ij / (4 i) for j < i.

    Args:
        skips: (sessions, draws, T), outcomes drawn from their joint distribution.
    """
    length = skips.shape[2]
    strings = np.array(list(np.ndindex(*(2,) * length)), dtype=np.float64) * 2.0 - 1.0  # (2 ** T, T)
    step = np.arange(1, length + 1)
    harmonic = np.cumsum(1.0 / step)
    sign = np.where(skips, np.float32(1.0), np.float32(-1.0))
    first = sign.mean(axis=1) * (1.0 + 1.0 / step + harmonic[-1] - harmonic)
    pairs = np.matmul(sign.transpose(0, 2, 1), sign) / skips.shape[1]  # (sessions, T, T)
    later, earlier = np.tril_indices(length, -1)
    expected = strings @ first.T
    expected += (strings[:, later] * strings[:, earlier]) @ (pairs[:, later, earlier] / step[later]).T
    return np.asarray(strings[expected.argmax(axis=0)] > 0.0)


def second_halves(block: Block, draws: int, rng: np.random.Generator) -> Iterator[tuple[Flags, Flags, Flags]]:
    """Sessions of one length at a time: what can be known of them and what happened.

    Yields:
        skip_2 of the last track of the first half, (sessions,); skip_2 in the second half as drawn given the
        first, (sessions, draws, T); and as it happened, (sessions, T).
    """
    behaviour, setting = block.behaviour, block.setting
    half = setting.lengths // 2
    mean, covariance = belief(behaviour, block.contrasts, half)
    factors = np.linalg.cholesky(covariance.transpose(2, 0, 1) + 1e-12 * np.eye(len(mean)))
    low, high = range_of_shuffling(behaviour, setting, half)
    skipped = behaviour.outcome <= SKIP_2
    for length in np.unique(setting.lengths):
        alike = np.flatnonzero(setting.lengths == length)
        begin = int(length) // 2
        pieces = []
        for rows in np.array_split(alike, max(1, len(alike) * draws // ROWS_AT_ONCE)):
            each = np.repeat(rows, draws)
            noise = rng.standard_normal((len(rows), draws, len(mean)))
            hidden = (mean.T[rows, None] + noise @ factors[rows].transpose(0, 2, 1)).reshape(len(each), -1)
            contrasts = block.contrasts[each]
            shuffling = low[each, 0] + (high - low)[each, 0] * rng.random(len(each))
            listeners = replace(
                _taken(block.listeners, each),
                patience=hidden[:, 0],
                taste=hidden[:, 1:],
                shuffling=shuffling,
            )
            liking = (contrasts * hidden[:, None, 1:]).sum(axis=2)
            left = Between.before(begin, _taken(behaviour, each))
            drawn = listen(rng, listeners, replace(_taken(setting, each), liking=liking), left)
            skips = drawn.outcome[:, : length - begin] <= SKIP_2
            pieces.append(skips.reshape(len(rows), draws, -1))
        yield skipped[alike, begin - 1], np.concatenate(pieces), skipped[alike, begin:length]


def _taken(record: Any, rows: npt.NDArray[np.intp]) -> Any:
    """The same dataclass of arrays with some rows only."""
    return replace(record, **{field.name: getattr(record, field.name)[rows] for field in fields(record)})


def measure(world: World, draws: int) -> list[Score]:
    """Scores over all sessions of a world, from the simplest decision to the best."""
    rng = np.random.default_rng(np.random.SeedSequence(world.seed, spawn_key=(2**20,)))
    results: dict[str, list[tuple[FloatArray, Flags]]] = {}
    for number in range(world.extent.blocks):
        for last, drawn, happened in second_halves(world.block(number), draws, rng):
            decisions = {
                "last action": np.repeat(last[:, None], happened.shape[1], axis=1),
                "chances above one half": drawn.mean(axis=1) > 0.5,
                "best possible": best_strings(drawn),
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
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    scores = measure(World(Extent(options.sessions), options.tracks, options.seed), options.draws)
    lines = [f"{options.sessions:,} synthetic sessions, seed {options.seed}, {options.draws} draws each:"]
    lines += [f"{'':24}{'MAA':>8}{'+-':>8}{'FPA':>8}{'+-':>8}"]
    lines += [f"{s.name:24}{s.maa:8.4f}{s.maa_error:8.4f}{s.fpa:8.4f}{s.fpa_error:8.4f}" for s in scores]
    print("\n".join(lines))  # noqa: T201 - the output of this command
    if options.json:
        write_json(options.json, {"data_source": "synthetic", "scores": [asdict(score) for score in scores]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
