"""From raw files to tensors as assets: shard by shard through the stages of ``flow``."""

import dagster as dg

from skip_pipeline import schema
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.settings import OWNER, SCALER_FILE, TRACK_FEATURES, TRAINING_SET
from skip_pipeline.stages import bundle
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import read_json, read_manifest


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version=asset_version("merged_table"),
    deps=["session_logs", "track_features"],
)
def merged_table(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """Every log row with the features of its track: 50 columns, as many rows as the log.

    A track of the log without features fails this asset. Beside the table lies the track table, sorted by
    id: a track's row number in it is its ordinal code.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        with engine.applying("merged_table") as apply:
            made = stages.merged_table(layout, apply=apply, started=run.started)
        staging = made.staging
        describe.log_delivered(
            run, "session_logs", made.logs, layout.raw / TRAINING_SET, schema.SESSION_LOG, staging.rows
        )
        describe.log_delivered(
            run,
            "track_features",
            made.track_files,
            layout.raw / TRACK_FEATURES,
            schema.TRACK_FEATURES,
            made.tracks,
        )
        describe.log_stage(run, staging.manifest, schema.MERGED)
        run.metrics(describe.shard_counts(staging))
    return describe.result(tracker, run, describe.shards(staging, layout.merged, schema.MERGED))


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version=asset_version("encoded_table"),
    deps=["merged_table"],
)
def encoded_table(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """Numbers for words: 24 indicator columns for four categories, ordinal codes for ids, 0/1 for booleans.

    69 columns. Levels outside the vocabulary are all zeros and counted. Beside each shard lie its
    sessions, with the split that a hash of their id puts them in for good.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.merged, made_by="merged_table")
        describe.log_input(run, before, layout.merged, schema.MERGED)
        with engine.applying("encoded_table") as apply:
            staging = stages.encoded_table(layout, apply=apply, started=run.started)
        unknown = staging.details["values_of_unknown_level"]
        describe.log_stage(run, staging.manifest, schema.ENCODED)
        run.metrics({"values_of_unknown_level": unknown, **describe.shard_counts(staging)})
    metadata = describe.shards(staging, layout.encoded, schema.ENCODED)
    metadata["values_of_unknown_level"] = dg.MetadataValue.int(unknown)
    return describe.result(tracker, run, metadata)


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version=asset_version("scaled_table"),
    deps=["encoded_table"],
)
def scaled_table(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """Track features in [0, 1], by a min-max scaler fitted on training sessions alone; 69 columns.

    Values outside the range that training sessions show are clipped and counted. The fitted ranges lie
    beside the table in scaler.json.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.encoded, made_by="encoded_table")
        describe.log_input(run, before, layout.encoded, schema.ENCODED)
        with engine.applying("scaled_table") as apply:
            staging = stages.scaled_table(layout, apply=apply, started=run.started)
        clipped = staging.details["values_clipped"]
        describe.log_stage(run, staging.manifest, schema.SCALED)
        run.metrics({"values_clipped": clipped, **describe.shard_counts(staging)})
        run.json(read_json(staging.manifest.path(SCALER_FILE)), SCALER_FILE)
    metadata = describe.shards(staging, layout.scaled, schema.SCALED)
    metadata["values_clipped"] = dg.MetadataValue.int(clipped)
    return describe.result(tracker, run, metadata)


@dg.asset(
    group_name="features",
    kinds={"numpy"},
    owners=[OWNER],
    code_version=asset_version("tensor_bundles"),
    deps=["merged_table", "encoded_table", "scaled_table"],
)
def tensor_bundles(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """The four inputs and the label of every session, in small records from which float32 is made.

    Per split: session log (n, 19, 35), previous tracks (n, 19, 31), skip sequence (n, 19, 1), last track
    (n, 31). Sequences are padded in front, so that the last step is always the track before the predicted
    one; of the predicted position only its track and the label get in. A shard's records lie in a folder of
    their own and point into one matrix of all tracks, scaled.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.scaled, made_by="scaled_table")
        encoded = read_manifest(layout.encoded, made_by="encoded_table")
        merged = read_manifest(layout.merged, made_by="merged_table")
        describe.log_input(run, before, layout.scaled, schema.SCALED)
        describe.log_input(run, encoded, layout.encoded, schema.ENCODED)  # for each row's track
        describe.log_input(run, merged, layout.merged, schema.MERGED)  # for the table of tracks
        with engine.applying("tensor_bundles") as apply:
            staging = stages.tensor_bundles(layout, apply=apply, started=run.started)
        from skip_pipeline.report import plots  # matplotlib: half a second that only drawing may cost

        balance = bundle.class_balance(staging.manifest)
        lengths = bundle.session_lengths(staging.manifest)
        pictures = {
            "class_balance": plots.class_balance(balance, before.data_source),
            "session_lengths": plots.session_lengths(lengths, before.data_source),
        }
        sessions = {f"{split}_sessions": n for split, n in staging.details["sessions"].items()}
        describe.log_stage(run, staging.manifest)
        run.metrics({**sessions, **describe.shard_counts(staging)})
        for name, plot in pictures.items():
            run.image(plot.png, name)
    metadata: describe.Metadata = {
        **{name: describe.picture(plot.png, name.replace("_", " ")) for name, plot in pictures.items()},
        **{name: dg.MetadataValue.int(n) for name, n in sessions.items()},
        **describe.shards(staging, layout.bundles),
    }
    return describe.result(tracker, run, metadata)
