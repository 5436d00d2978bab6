"""Make the stage ``07_report`` from what the stages before it have published."""

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import published_baselines
from skip_pipeline.bundles.gather import check_made_from, open_bundles
from skip_pipeline.bundles.track_memory import read_memory, remember
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.nightly.best import CHOICE_FILE
from skip_pipeline.raw.description import describe
from skip_pipeline.report.evaluation import (
    Evaluation,
    Served,
    evaluate_model,
    network_model,
    predictions_table,
    served_model,
)
from skip_pipeline.report.html import RunLink
from skip_pipeline.report.oracle import find_oracle
from skip_pipeline.report.plots import Plot
from skip_pipeline.report.report_page import draw_plots, render_report
from skip_pipeline.report.second_half import measure_second_half
from skip_pipeline.report.session_attributes import read_session_attributes
from skip_pipeline.serving import ServedModel, load
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    ONNX_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    TRAINING_FILE,
    WITH_MEMORY,
    DataLayout,
)
from skip_pipeline.stages import bundle
from skip_pipeline.storage import (
    Manifest,
    is_published,
    publish,
    read_json,
    read_manifest,
    write_json,
    write_table,
)
from skip_pipeline.training.history import history_from_json
from skip_pipeline.training.onnx_model import open_onnx, predict_onnx, predict_tracks


@dataclass(frozen=True)
class MadeReport:
    """A published report: its manifest, what it found, and every plot by name."""

    manifest: Manifest
    evaluation: Evaluation
    preset: str
    plots: dict[str, Plot]


def make_report(
    layout: DataLayout, *, links: tuple[RunLink, ...], runs: dict[str, Any], started: float
) -> MadeReport:
    """Evaluate the best of the night on the test sessions and publish metrics, predictions and page.

    The page links to ``links``, and the metrics file names their ids (``runs``). The report was begun at
    ``started`` (``time.perf_counter()``). Model and baselines have to be made from the published bundles.
    """
    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    model = read_manifest(layout.model, made_by="trained_model")
    check_made_from(before, model)
    best = read_manifest(layout.best, made_by="best_model")
    if best.details["network"] != model.fingerprint or best.details["bundles"] != before.fingerprint:
        raise ContractError(
            f"{layout.best} holds a choice of another night than the network in {layout.model}; expected the "
            "choice that was made with it. Materialize best_model again"
        )
    bundles = open_bundles(before, schema.SPLITS)
    rivals, baselines = published_baselines(layout, before, bundles)
    merged = read_manifest(layout.merged, made_by="merged_table")
    encoded = read_manifest(layout.encoded, made_by="encoded_table")
    scaled = read_manifest(layout.scaled, made_by="scaled_table")
    manifests = (merged, encoded, scaled, before, model, rivals, best)
    history, best_epoch = history_from_json(read_json(model.path(HISTORY_FILE)))
    settings = read_json(model.path(TRAINING_FILE))
    network = open_onnx(model.path(ONNX_FILE))
    calibration = Calibration.from_json(read_json(model.path(CALIBRATION_FILE)))
    seconds = sum(epoch.seconds for epoch in history)
    splits: dict[str, Mapping[str, Any]] = dict(bundles)
    if settings["preset"] in WITH_MEMORY:
        splits |= remember(bundles, read_memory(model.path, bundles["train"].tracks))
    version = load(layout.best / SERVED_MODEL)
    p_tracks = {split: predict_tracks(network, splits[split]) for split in schema.SPLITS}
    served = _served(version, splits, p_tracks, network, calibration)
    second_half = None
    if settings["preset"] in WITH_MEMORY:
        p_next = served.p_tracks if served else None
        second_half = measure_second_half(
            network, splits["train"], splits["test"], calibration, version.rule, p_next=p_next
        )
    evaluation = evaluate_model(
        splits,
        p_tracks,
        lambda inputs: predict_onnx(network, inputs),
        network_model(settings["preset"], parameters=model.details["parameters"], seconds=seconds),
        read_session_attributes(merged.path, bundles["train"], bundles["test"]),
        baselines=baselines,
        calibration=calibration,
        served=served,
        choice=read_json(best.path(CHOICE_FILE))["sentence"],
        second_half=second_half,
        # No other asset may read the oracle: it holds the answers.
        oracle=find_oracle(layout.raw),
    )
    description = describe(layout.raw, before.data_source)
    plots = draw_plots(
        evaluation,
        balance=bundle.class_balance(before),
        lengths=bundle.session_lengths(before),
        history=history,
        best_epoch=best_epoch,
        mark=description.mark,
    )
    page = render_report(
        evaluation,
        plots,
        description=description,
        made_at=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
        settings=settings,
        data=manifests,
        runs=links,
    )
    with publish(
        layout.report, stage="evaluation_report", data_source=before.data_source, started=started
    ) as staging:
        write_table(
            predictions_table(bundles["test"], evaluation.p_not_skipped),
            staging.path(PREDICTIONS_FILE),
            schema.PREDICTIONS,
            data_source=before.data_source,
        )
        staging.path(REPORT_FILE).write_text(page, encoding="utf-8")
        facts = {
            "data_source": before.data_source,
            "preset": settings["preset"],
            "seconds": _seconds(layout, manifests)
            | {"evaluation_report": round(time.perf_counter() - started, 3)},
            "run": runs | {"training_seconds": evaluation.leaderboard.seconds()},
        }
        if description.mark:
            facts["data"] = asdict(description)
        write_json(staging.path(METRICS_FILE), evaluation.metrics() | facts)
        staging.rows = bundles["test"].sessions
    return MadeReport(staging.manifest, evaluation, settings["preset"], plots)


def _served(
    version: ServedModel,
    splits: Mapping[str, Mapping[str, Any]],
    p_tracks: Mapping[str, np.ndarray],
    network: Any,
    calibration: Calibration,
) -> Served | None:
    """The answers of a version that is no network alone, from the network's (n, 20) by split."""
    blended = version.blended
    if blended is None:
        return None

    def of_last(p_network: np.ndarray, sessions: Mapping[str, Any]) -> np.ndarray:
        return blended.of_last_tracks(calibration.apply(p_network), sessions)

    return Served(
        dataclasses.replace(served_model(version.kind), threshold=version.threshold),
        {split: of_last(p_tracks[split][:, -1], sessions) for split, sessions in splits.items()},
        blended.of_tracks(calibration.apply(p_tracks["test"]), splits["test"]),
        lambda inputs: of_last(predict_onnx(network, inputs), inputs),
    )


def _seconds(layout: DataLayout, manifests: Iterable[Manifest]) -> dict[str, float]:
    """Seconds by stage; raw files that their own asset has not read have none."""
    folders = {"session_logs": layout.session_log_summaries, "track_features": layout.track_feature_summaries}
    ingest = [read_manifest(path, made_by=name) for name, path in folders.items() if is_published(path)]
    return {manifest.stage: manifest.seconds for manifest in (*ingest, *manifests)}
