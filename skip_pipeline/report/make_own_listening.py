"""Make the stage ``07_own_listening``: the page about oneself, and the judgement on the newest tenth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.baselines.fit import fit_baselines
from skip_pipeline.bundles.gather import Bundle, check_made_from, open_bundles
from skip_pipeline.bundles.track_memory import read_memory, remember
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.every_track import answers_every_track
from skip_pipeline.networks.listening import all_played
from skip_pipeline.raw.own_listening import OwnListening
from skip_pipeline.raw.track_groups import read_track_groups, track_groups_file
from skip_pipeline.report.newest_tenth import (
    ByTime,
    Prediction,
    day_of,
    judge,
    judged_by_hash,
    one_outcome,
    split_by_time,
)
from skip_pipeline.report.own_listening import count_listening, read_plays
from skip_pipeline.report.own_listening_page import render_own_listening
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    METRICS_FILE,
    NAMES_FILE,
    NEWEST_TENTH_FILE,
    ONNX_FILE,
    OWN_LISTENING_PAGE,
    TRAINING_FILE,
    WITH_MEMORY,
    DataLayout,
    TrainingSettings,
)
from skip_pipeline.storage import (
    Manifest,
    publish,
    read_json,
    read_manifest,
    read_table,
    shard_names,
    write_json,
)
from skip_pipeline.training.onnx_model import open_onnx, predict_tracks

Train = Callable[[Mapping[str, Bundle], TrainingSettings, Path], object]
"""Trains on splits with some settings and writes the files of ``06_model`` (``training.trained_files``)."""


@dataclass(frozen=True)
class MadeOwnListening:
    """The published page."""

    manifest: Manifest
    newest: ByTime | str  # the judgement on the newest tenth, or why there is none
    named: bool  # whether the page has names, so that it must stay on this machine


def make_own_listening(
    layout: DataLayout, marker: OwnListening, train: Train, *, started: float
) -> MadeOwnListening:
    """Count, train on the past, judge on the newest tenth, and publish page and scores.

    Args:
        layout: of the data directory, whose raw logs are own listening.
        marker: of the raw folder.
        train: see ``Train``; it gets the settings of the published model.
        started: ``time.perf_counter()`` at which the work began.
    """
    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    model = read_manifest(layout.model, made_by="trained_model")
    check_made_from(before, model)
    settings = TrainingSettings(**read_json(model.path(TRAINING_FILE)))
    metrics = read_json(read_manifest(layout.report, made_by="evaluation_report").path(METRICS_FILE))
    merged = read_manifest(layout.merged, made_by="merged_table")
    plays = read_plays(merged.path, shard_names(merged))
    artists = read_artists(layout.raw, pc.unique(plays[schema.LOG_TRACK_ID]))
    listening = count_listening(plays, artists)
    newest = judge_newest(open_bundles(before, schema.SPLITS), settings, train)
    names = read_artist_names(layout.raw, artists)
    page = render_own_listening(
        listening,
        marker,
        newest=newest,
        by_hash=judged_by_hash(metrics),
        importance=metrics["importance"],
        names=names,
        made_at=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
    )
    with publish(
        layout.own_listening, stage="own_listening_report", data_source=before.data_source, started=started
    ) as staging:
        staging.path(OWN_LISTENING_PAGE).write_text(page, encoding="utf-8")
        found = {"not_judged": newest} if isinstance(newest, str) else newest.to_json()
        write_json(staging.path(NEWEST_TENTH_FILE), found)
        staging.rows = listening.all.plays
    return MadeOwnListening(staging.manifest, newest, bool(names))


def judge_newest(bundles: Mapping[str, Bundle], settings: TrainingSettings, train: Train) -> ByTime | str:
    """Train network and baselines on the past, and judge them on the newest tenth; or why that cannot be."""
    by_time, first = split_by_time(bundles)
    if reason := one_outcome(by_time):
        return reason
    not_skipped = all_played(by_time["test"])
    with TemporaryDirectory(prefix="skip_pipeline.") as folder:
        network = _network(by_time, settings, train, Path(folder), not_skipped)
    rivals = [
        Prediction(each.name, each.p_not_skipped["test"], each.p_tracks["test"])
        for each in fit_baselines(by_time, groups=by_time["train"].groups)
    ]
    return ByTime(
        day_of(first),
        trained=by_time["train"].sessions,
        validated=by_time["validation"].sessions,
        judged=judge(not_skipped, (network, *rivals)),
    )


def _network(
    by_time: Mapping[str, Bundle],
    settings: TrainingSettings,
    train: Train,
    folder: Path,
    not_skipped: np.ndarray,
) -> Prediction:
    """Train a network in a folder, and predict the newest sessions with it."""
    train(by_time, settings, folder)
    test = by_time["test"]
    inputs: Mapping[str, Any] = test
    if settings.preset in WITH_MEMORY:
        inputs = remember({"test": test}, read_memory(folder.joinpath, test.tracks))["test"]
    calibration = Calibration.from_json(read_json(folder / CALIBRATION_FILE))
    p = predict_tracks(open_onnx(folder / ONNX_FILE), inputs)
    every = calibration.apply(p) if answers_every_track(not_skipped, p) else None
    return Prediction(
        settings.preset, calibration.apply(p[:, -1]), every, is_network=True, threshold=calibration.threshold
    )


def read_artists(raw: Path, tracks: pa.Array) -> dict[str, int]:
    """Number of the artist by track id; empty if the import wrote none. Raises as ``raw.track_groups``."""
    path = track_groups_file(raw)
    if path is None:
        return {}
    return dict(zip(tracks.to_pylist(), read_track_groups(path, tracks)[:, 0].tolist(), strict=True))


def read_artist_names(raw: Path, artists: Mapping[str, int]) -> dict[int, str]:
    """Name of each artist by number; empty if the history was imported without names."""
    if not (raw / NAMES_FILE).is_file():
        return {}
    table = read_table(raw / NAMES_FILE, schema.NAMES, columns=["track_id", "artist"])
    columns = (table[name].to_pylist() for name in ("track_id", "artist"))
    return {artists[track]: name for track, name in zip(*columns, strict=True) if track in artists and name}
