"""Probabilities for the sessions of the test set as an asset."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.served_model import CHAMPION
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.errors import RefusedError
from skip_pipeline.raw.folder import data_source
from skip_pipeline.serving import batch, read_description
from skip_pipeline.serving.follow import VERSION_LENGTH
from skip_pipeline.serving.logs import log_pairs
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import OWNER, TEST_SET, DataLayout


@dg.asset(
    group_name="serving",
    kinds={"onnx", "parquet"},
    owners=[OWNER],
    code_version=asset_version("skip_predictions"),
    deps=["champion_model", "trained_model"],
)
def skip_predictions(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """How likely the next track is to be skipped, for every session of the raw folder's test_set.

    The registry's champion says so, as the server does; where there is none, the model trained last, whose
    model_version is the start of its fingerprint. One parquet file per pair of log_prehistory and log_input
    files, without TensorFlow. Where there is no test_set, no row is published, and the metadata say so.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        with (
            _model(Registry(tracker.client(), tracker.tracking_uri), layout) as (model, version),
            engine.applying("skip_predictions") as apply,
        ):
            staging = batch.skip_predictions(
                layout.raw,
                layout.predictions,
                model=model,
                model_version=version,
                apply=apply,
                started=run.started,
            )
        counts = {name: staging.details[name] for name in ("unknown_tracks", "values_of_unknown_level")}
        describe.log_stage(run, staging.manifest, batch.SKIP_PREDICTIONS)
        run.tags({"model_version": version})
        run.metrics({**counts, **describe.shard_counts(staging)})
    metadata = describe.shards(staging, layout.predictions, batch.SKIP_PREDICTIONS)
    metadata |= {name: dg.MetadataValue.int(count) for name, count in counts.items()}
    metadata["model_version"] = dg.MetadataValue.text(version)
    if not log_pairs(layout.raw):
        nothing = (
            f"{layout.raw / TEST_SET} holds no sessions to score; put the public archive's test_set there"
        )
        metadata["nothing_to_score"] = dg.MetadataValue.text(nothing)
        context.log.info(nothing)
    return describe.result(tracker, run, metadata)


@contextmanager
def _model(registry: Registry, layout: DataLayout) -> Iterator[tuple[Path, str]]:
    """Folder of the model that scores, and how the predictions call it.

    Raises:
        MissingInputError: the registry does not answer, its champion holds no served model, or there is no
            model at all.
        RefusedError: the sessions are real, and every model there is was trained on synthetic data.
    """
    real = data_source(layout.raw) == "real"
    version = registry.aliases().get(CHAMPION)
    if version is not None:
        with registry.fetched(version) as champion:
            if not real or read_description(champion).data_source == "real":
                yield champion, version
                return
    latest = layout.model / SERVED_MODEL
    described = read_description(latest)
    if real and described.data_source == "synthetic":
        raise RefusedError(
            f"{latest} was trained on synthetic data, expected a model of real data for the real sessions in "
            f"{layout.raw / TEST_SET}; materialize trained_model on real data first"
        )
    yield latest, described.fingerprint[:VERSION_LENGTH]
