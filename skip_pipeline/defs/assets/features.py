"""From raw files to tensors as assets: shard by shard through the stages of ``flow``."""

import datetime as dt

import dagster as dg

from skip_pipeline import raw_folder, schema
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.flow import bundle, encode, ingest, merge, scale
from skip_pipeline.settings import OWNER, SCALER_FILE, SESSIONS_FOLDER, TRACK_TABLE
from skip_pipeline.storage import (
    publish,
    read_manifest,
    read_table,
    shard_names,
    write_json,
    write_table,
)


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version="1",
    deps=["session_logs", "track_features"],
)
def merged_table(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Every log row with the features of its track: 50 columns, as many rows as the log.

    A track of the log without features fails this asset. Beside the table lies the track table, sorted by
    id: a track's row number in it is its ordinal code.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        paths = raw_folder.find_session_logs(layout.raw)
        track_paths = raw_folder.find_track_features(layout.raw)
        tracks = ingest.read_track_features(track_paths)
        source = raw_folder.data_source(layout.raw)
        today = dt.datetime.now(tz=dt.UTC).date()
        with publish(layout.merged, stage="merged_table", data_source=source, started=run.started) as staging:
            write_table(tracks, staging.path(TRACK_TABLE), schema.TRACK_FEATURES, data_source=source)
            summaries = {}
            for path in paths:
                log, summaries[path] = ingest.load_session_log(path, among=paths, today=today)
                merged = merge.merge(log, tracks, shard=str(path))
                write_table(
                    merged,
                    staging.path(f"{raw_folder.shard_name(path)}.parquet"),
                    schema.MERGED,
                    data_source=source,
                )
            staging.rows = ingest.combine(summaries).rows
        describe.log_delivered(run, "session_logs", paths, schema.SESSION_LOG, staging.rows)
        describe.log_delivered(run, "track_features", track_paths, schema.TRACK_FEATURES, tracks.num_rows)
        describe.log_stage(run, staging.manifest, schema.MERGED)
    return describe.result(tracker, run, describe.stage(staging.manifest, layout.merged, schema.MERGED))


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version="1",
    deps=["merged_table"],
)
def encoded_table(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Numbers for words: 24 indicator columns for four categories, ordinal codes for ids, 0/1 for booleans.

    69 columns. Levels outside the vocabulary are all zeros and counted. Beside each shard lie its
    sessions, with the split that a hash of their id puts them in for good.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.merged, made_by="merged_table")
        describe.log_input(run, before, layout.merged, schema.MERGED)
        track_ids = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES, columns=[schema.TRACK_ID])[
            schema.TRACK_ID
        ]
        with publish(
            layout.encoded, stage="encoded_table", data_source=before.data_source, started=run.started
        ) as staging:
            unknown = 0
            for shard in shard_names(before):
                merged = read_table(layout.merged / shard, schema.MERGED)
                table = encode.encode(merged, track_ids)
                write_table(table, staging.path(shard), schema.ENCODED, data_source=before.data_source)
                write_table(
                    encode.sessions(merged),
                    staging.path(f"{SESSIONS_FOLDER}/{shard}"),
                    schema.SESSIONS,
                    data_source=before.data_source,
                )
                staging.rows += table.num_rows
                unknown += sum(sum(counts.values()) for counts in ingest.unknown_levels(merged).values())
            staging.details["values_of_unknown_level"] = unknown
        describe.log_stage(run, staging.manifest, schema.ENCODED)
        run.metrics({"values_of_unknown_level": unknown})
    metadata = describe.stage(staging.manifest, layout.encoded, schema.ENCODED)
    metadata["values_of_unknown_level"] = dg.MetadataValue.int(unknown)
    return describe.result(tracker, run, metadata)


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version="1",
    deps=["encoded_table"],
)
def scaled_table(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Track features in [0, 1], by a min-max scaler fitted on training sessions alone; 69 columns.

    Values outside the range that training sessions show are clipped and counted. The fitted ranges lie
    beside the table in scaler.json.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.encoded, made_by="encoded_table")
        describe.log_input(run, before, layout.encoded, schema.ENCODED)
        shards = {
            name: read_table(layout.encoded / SESSIONS_FOLDER / name, schema.SESSIONS)
            for name in shard_names(before)
        }
        scaler = scale.fit_scaler(
            scale.feature_range(read_table(layout.encoded / name, schema.ENCODED), sessions)
            for name, sessions in shards.items()
        )
        with publish(
            layout.scaled, stage="scaled_table", data_source=before.data_source, started=run.started
        ) as staging:
            clipped = 0
            for name, sessions in shards.items():
                table, beyond = scaler.apply(read_table(layout.encoded / name, schema.ENCODED))
                write_table(table, staging.path(name), schema.SCALED, data_source=before.data_source)
                write_table(
                    sessions,
                    staging.path(f"{SESSIONS_FOLDER}/{name}"),
                    schema.SESSIONS,
                    data_source=before.data_source,
                )
                staging.rows += table.num_rows
                clipped += beyond
            write_json(staging.path(SCALER_FILE), scaler.to_json())
            staging.details["values_clipped"] = clipped
        describe.log_stage(run, staging.manifest, schema.SCALED)
        run.metrics({"values_clipped": clipped})
        run.artifact(layout.scaled / SCALER_FILE)
    metadata = describe.stage(staging.manifest, layout.scaled, schema.SCALED)
    metadata["values_clipped"] = dg.MetadataValue.int(clipped)
    return describe.result(tracker, run, metadata)


@dg.asset(
    group_name="features",
    kinds={"numpy"},
    owners=[OWNER],
    code_version="1",
    deps=["scaled_table"],
)
def tensor_bundles(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """The four inputs and the label of every session, as float32 arrays per split.

    Session log (n, 19, 35), previous tracks (n, 19, 31), skip sequence (n, 19, 1), last track (n, 31).
    Sequences are padded in front, so that the last step is always the track before the predicted one; of
    the predicted position only its track gets in.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.scaled, made_by="scaled_table")
        describe.log_input(run, before, layout.scaled, schema.SCALED)
        shards = {
            name: read_table(layout.scaled / SESSIONS_FOLDER / name, schema.SESSIONS)
            for name in shard_names(before)
        }
        with publish(
            layout.bundles, stage="tensor_bundles", data_source=before.data_source, started=run.started
        ) as staging:
            writer = bundle.BundleWriter(staging.folder, list(shards.values()))
            for name, sessions in shards.items():
                writer.add(bundle.bundle_shard(read_table(layout.scaled / name, schema.SCALED), sessions))
            writer.close()
            staging.rows = sum(writer.sessions.values())
            staging.details["sessions"] = writer.sessions
        from skip_pipeline.report import plots  # matplotlib: half a second that only drawing may cost

        balance = bundle.class_balance(layout.bundles)
        lengths = bundle.session_lengths(layout.bundles)
        pictures = {
            "class_balance": plots.class_balance(balance, before.data_source),
            "session_lengths": plots.session_lengths(lengths, before.data_source),
        }
        describe.log_stage(run, staging.manifest)
        run.metrics({f"{split}_sessions": n for split, n in writer.sessions.items()})
        for name, png in pictures.items():
            run.image(png, name)
    metadata: describe.Metadata = {
        **{name: describe.picture(png, name.replace("_", " ")) for name, png in pictures.items()},
        **{f"{split}_sessions": dg.MetadataValue.int(n) for split, n in writer.sessions.items()},
        **describe.stage(staging.manifest, layout.bundles),
    }
    return describe.result(tracker, run, metadata)
