"""Predictions for the published test set: one parquet file for each pair of log files."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema, storage
from skip_pipeline.bundles.second_half import first_half
from skip_pipeline.challenge.half_sessions import HalfSessions
from skip_pipeline.code_version import code_version
from skip_pipeline.raw.folder import data_source, shard_name
from skip_pipeline.raw.log_pairs import PREHISTORY, LogPair, log_pairs
from skip_pipeline.serving.logs import read_log_pair, sessions_of_halves
from skip_pipeline.serving.model import Scores, ServedModel
from skip_pipeline.serving.model_folder import load, read_description
from skip_pipeline.serving.sessions import Sessions
from skip_pipeline.settings import DataSource
from skip_pipeline.storage import Apply, Made, ShardJob, Staging

STAGE: Final = "skip_predictions"

NEXT_TRACKS: Final = pa.schema(
    [
        (schema.SESSION_ID, pa.string()),
        (schema.TRACK_ID, pa.string()),  # the next track; none where its features were given
        ("p_skip", pa.float64()),
        ("model_version", pa.string()),
        ("known_track", pa.bool_()),  # whether the track's features were known
    ]
)
"""One row per next track, or per candidate for it."""

SKIP_PREDICTIONS: Final = pa.schema(
    [
        *NEXT_TRACKS,
        (schema.POSITION, pa.int8()),  # of the track in its session
        ("p_skip_2", pa.float64()),  # probability of the challenge's label
        ("decision", pa.bool_()),  # whether the track is decided to have skip_2
    ]
)
"""One row per track of a second half, from the first half alone: session after session in the order of the
input file, in order of positions. So the first row of a session is its next track."""

_COUNTS: Final = ("rows", "sessions", "sessions_not_cut_in_half", "unknown_tracks", "values_of_unknown_level")


def prediction_table(sessions: Sessions, scores: Scores, model_version: str) -> pa.Table:
    """Scores of sessions as ``NEXT_TRACKS``."""
    ids = pa.array(sessions.session_id, pa.string()).take(pa.array(sessions.session_of))
    tracks = pa.array([name or None for name in sessions.track_ids], pa.string())
    versions = pa.repeat(model_version, len(scores.p_skip))
    named = tracks.take(pa.array(sessions.next_track))
    return pa.table([ids, named, scores.p_skip, versions, scores.known_track], schema=NEXT_TRACKS)


def second_half_table(model: ServedModel, sessions: Sessions, scores: Scores, model_version: str) -> pa.Table:
    """Scores of sessions whose next tracks follow one another, and decisions, as ``SKIP_PREDICTIONS``."""
    positions = (sessions.earlier[sessions.session_of] + sessions.between + 1).astype(np.int8)
    decided = [
        positions,
        scores.p_flags[:, schema.OUTCOME_FLAGS.index("skip_2")],
        model.decide(sessions, scores),
    ]
    columns = [*prediction_table(sessions, scores, model_version).columns, *decided]
    return pa.table(columns, schema=SKIP_PREDICTIONS)


def decide(halves: HalfSessions, *, model: Path) -> np.ndarray:
    """Decisions of the model in a folder on the second halves of a pair, uint8 (rows,): 1 for skipped.

    With a folder given (``functools.partial``), it decides for ``challenge.submission.submit``.
    """
    sessions = sessions_of_halves(halves)
    served = _model(model, read_description(model).fingerprint)
    scores = served.score(sessions, threads=pa.cpu_count())
    return served.decide(sessions, scores).astype(np.uint8)


def skip_predictions(
    raw: Path,
    folder: Path,
    *,
    model: Path,
    model_version: str,
    apply: Apply = storage.in_turn,
    started: float | None = None,
) -> Staging:
    """Score every second half of ``raw/test_set`` by the model in a folder, and publish the predictions.

    A pair that the same model has already scored is kept. Without a ``test_set`` no row is published. The
    manifest's details are ``model`` (fingerprint), ``model_version``, as the predictions name the model, and
    the counts.
    """
    described = read_description(model)
    source: DataSource = "synthetic" if "synthetic" in (data_source(raw), described.data_source) else "real"
    pairs = log_pairs(raw)
    logs = storage.identify([pair.prehistory for pair in pairs], {}, apply)
    asked = storage.identify([pair.input for pair in pairs], {}, apply)
    decisive = storage.digest_of(code_version(__name__), described.fingerprint, model_version)
    with storage.publish(folder, stage=STAGE, data_source=source, started=started) as staging:
        make = partial(_score_pair, model=model, model_version=model_version, data_source=source)
        jobs = [
            ShardJob(
                _shard(pair), storage.digest_of(decisive, log.sha256, tracks.sha256), partial(make, pair)
            )
            for pair, log, tracks in zip(pairs, logs, asked, strict=True)
        ]
        made = staging.make_shards(jobs, apply).values()
        counts = {name: sum(summary[name] for summary in made) for name in _COUNTS}
        staging.rows = counts.pop("rows")
        staging.details |= {"model": described.fingerprint, "model_version": model_version, **counts}
    return staging


def no_predictions(raw: Path, folder: Path, *, started: float | None = None) -> Staging:
    """Publish no row, because no model may score; its details are those of ``skip_predictions``."""
    with storage.publish(folder, stage=STAGE, data_source=data_source(raw), started=started) as staging:
        staging.rows = 0
        staging.details |= {"model": None, "model_version": None} | dict.fromkeys(_COUNTS[1:], 0)
    return staging


def _score_pair(
    pair: LogPair, *, model: Path, model_version: str, out: Path, data_source: DataSource
) -> Made:
    """Score one pair of files and write the predictions below ``out``."""
    sessions = read_log_pair(pair)
    # Arrow's number of threads: it is 1 in each of several workers that share a machine.
    served = _model(model, read_description(model).fingerprint)
    scores = served.score(sessions, threads=pa.cpu_count())
    table = second_half_table(served, sessions, scores, model_version)
    storage.write_table(table, out / _shard(pair), SKIP_PREDICTIONS, data_source=data_source)
    elsewhere = int((sessions.earlier != first_half(sessions.length)).sum())
    unknown = int((~scores.known_track).sum())
    counts = (table.num_rows, len(sessions), elsewhere, unknown, scores.unknown_levels)
    return Made((_shard(pair),), dict(zip(_COUNTS, counts, strict=True)))


def _shard(pair: LogPair) -> str:
    return f"{shard_name(pair.prehistory).removeprefix(PREHISTORY)}.parquet"


@lru_cache(maxsize=1)
def _model(folder: Path, _fingerprint: str) -> ServedModel:
    """A model, opened once for all pairs that a process scores."""
    return load(folder, threads=1)
