"""Log-loss of a served model on unfinished sessions, with and without the session's length.

    python -m benchmarks.midway data/01_raw/training_set/log_mini.csv data/06_best/served_model

The log's gate and test sessions are cut in half, and the first track of the second half is scored: with the
session's true length, with an unknown length, and as if that track were the last one. The log-loss of the
constant share of played tracks is printed for comparison.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.measure import refusing
from skip_pipeline import schema, serving
from skip_pipeline.bundles.records import flag
from skip_pipeline.errors import BadInputError
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.serving.logs import read_whole_log
from skip_pipeline.serving.sessions import Sessions
from skip_pipeline.stages.encode import split_of

NAMES: Final = ("true length", "nobody knows", "taken for the last")


def halves(whole: Sessions) -> tuple[Sessions, np.ndarray, np.ndarray]:
    """The first half of each gate and test session, its true length, and whether the next track was played.

    Raises:
        BadInputError: there is none.
    """
    held_out = split_of(np.array(whole.session_id, object)) >= schema.SPLITS.index("gate")
    wanted = np.flatnonzero(held_out & (whole.earlier > 1))
    if len(wanted) == 0:
        raise BadInputError("the log has no gate or test session of three tracks or more; name a larger one")
    starts, kept = whole.bounds[wanted], whole.earlier[wanted] // 2
    offsets = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    following = starts + kept
    cut = Sessions(
        session_id=[whole.session_id[i] for i in wanted.tolist()],
        earlier=kept,
        length=np.full(len(kept), schema.MAX_SESSION_LENGTH),
        rows=whole.rows[np.repeat(starts, kept) + offsets],
        next_track=whole.rows["track"][following].astype(np.int64),
        track_ids=whole.track_ids,
        hour=None if whole.hour is None else whole.hour[wanted],
        premium=None if whole.premium is None else whole.premium[wanted],
    )
    return cut, whole.length[wanted], flag(whole.rows[following], schema.LABEL)


def compare(log: Path, model: Path) -> tuple[int, dict[str, float]]:
    """Number of sessions, and log-losses by name.

    Raises:
        SkipPipelineError: the log or the model is refused.
    """
    cut, length, played = halves(read_whole_log(log))
    served = serving.load(model)
    lengths = (length, cut.length, cut.earlier + 1)
    found = {
        name: float(evaluate.losses(played, 1 - served.score(replace(cut, length=told)).p_skip).mean())
        for name, told in zip(NAMES, lengths, strict=True)
    }
    share = np.full(len(played), played.mean())
    return len(played), found | {"share of tracks played": float(evaluate.losses(played, share).mean())}


@refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if something is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", type=Path, help="a log of whole sessions")
    parser.add_argument("model", type=Path, help="folder of a served model")
    options = parser.parse_args(arguments)
    sessions, found = compare(options.log, options.model)
    print(f"{sessions:,} held-out sessions cut in half, log-loss of the track that follows:")
    for name, loss in found.items():
        print(f"{name:24}{loss:8.4f}")


if __name__ == "__main__":
    sys.exit(main())
