"""Probabilities for the sessions of the test set as an asset."""

import dagster as dg

from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.serving import batch
from skip_pipeline.serving import describe as describe_model
from skip_pipeline.serving.follow import VERSION_LENGTH
from skip_pipeline.serving.logs import TEST_SET, log_pairs
from skip_pipeline.serving.package import SERVED_MODEL
from skip_pipeline.settings import OWNER


@dg.asset(
    group_name="serving",
    kinds={"onnx", "parquet"},
    owners=[OWNER],
    code_version="1",
    deps=["trained_model"],
)
def skip_predictions(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """How likely the next track is to be skipped, for every session of the raw folder's test_set.

    One parquet file per pair of log_prehistory and log_input files, without TensorFlow. Where there is no
    test_set, no row is published, and the metadata say so.
    """
    layout = data.layout()
    model = layout.model / SERVED_MODEL
    with tracker.materialization(context) as run:
        version = describe_model(model).fingerprint[:VERSION_LENGTH]
        with engine.applying("skip_predictions") as apply:
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
