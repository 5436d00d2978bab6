"""From raw files to tensors as assets: shard by shard through the stages of ``flow``."""

import datetime as dt
import json
from functools import partial

import dagster as dg

from skip_pipeline import raw_folder, schema, shard_work
from skip_pipeline.code_version import stages_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.flow import bundle, ingest
from skip_pipeline.flow.parts import TRACKS, record_from_json
from skip_pipeline.settings import OWNER, SCALER_FILE, TRACK_TABLE
from skip_pipeline.storage import (
    ShardJob,
    digest_of,
    fingerprint,
    publish,
    read_manifest,
    record_files,
    shard_names,
    write_json,
)


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version="1",
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
        paths = raw_folder.find_session_logs(layout.raw)
        track_paths = raw_folder.find_track_features(layout.raw)
        logs, delivered = record_files(paths), record_files(track_paths)
        source = raw_folder.data_source(layout.raw)
        today = dt.datetime.now(tz=dt.UTC).date()
        with publish(layout.merged, stage="merged_table", data_source=source, started=run.started) as staging:
            tracks_inputs = digest_of(stages_version(), fingerprint(delivered))
            make_tracks = partial(shard_work.track_table, track_paths, out=staging.folder, data_source=source)
            tracks = staging.make_shards([ShardJob(TRACK_TABLE, tracks_inputs, make_tracks)])[TRACK_TABLE]
            make = partial(
                shard_work.merge_shard,
                among=paths,
                tracks=staging.find(TRACK_TABLE),
                out=staging.folder,
                today=today,
                data_source=source,
            )
            jobs = [
                ShardJob(
                    shard_work.table_file(path), digest_of(tracks_inputs, log.sha256), partial(make, path)
                )
                for path, log in zip(paths, logs, strict=True)
            ]
            with engine.applying("merged_table") as apply:
                made = staging.make_shards(jobs, apply)
            summaries = {
                path: shard_work.summary_of(summary, staging.find(shard_work.hashes_file(shard)))
                for path, (shard, summary) in zip(paths, made.items(), strict=True)
            }
            staging.rows = ingest.combine(summaries).rows
        describe.log_delivered(run, "session_logs", logs, paths[0].parent, schema.SESSION_LOG, staging.rows)
        describe.log_delivered(
            run,
            "track_features",
            delivered,
            track_paths[0].parent,
            schema.TRACK_FEATURES,
            tracks["rows"],
        )
        describe.log_stage(run, staging.manifest, schema.MERGED)
        run.metrics(describe.shard_counts(staging))
    return describe.result(tracker, run, describe.shards(staging, layout.merged, schema.MERGED))


@dg.asset(
    group_name="features",
    kinds={"pyarrow", "parquet"},
    owners=[OWNER],
    code_version="1",
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
        tracks = before.record(TRACK_TABLE).sha256
        with publish(
            layout.encoded, stage="encoded_table", data_source=before.data_source, started=run.started
        ) as staging:
            make = partial(
                shard_work.encode_shard,
                merged=layout.merged,
                tracks=layout.merged / TRACK_TABLE,
                out=staging.folder,
                data_source=before.data_source,
            )
            jobs = [
                ShardJob(
                    shard,
                    digest_of(stages_version(), tracks, before.record(shard).sha256),
                    partial(make, shard),
                )
                for shard in shard_names(before)
            ]
            with engine.applying("encoded_table") as apply:
                summaries = staging.make_shards(jobs, apply).values()
            unknown = sum(summary["values_of_unknown_level"] for summary in summaries)
            staging.rows = sum(summary["rows"] for summary in summaries)
            staging.details["values_of_unknown_level"] = unknown
        describe.log_stage(run, staging.manifest, schema.ENCODED)
        run.metrics({"values_of_unknown_level": unknown, **describe.shard_counts(staging)})
    metadata = describe.shards(staging, layout.encoded, schema.ENCODED)
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
        shards = shard_names(before)
        scaler = shard_work.fit_scaler(before.shards[shard].summary for shard in shards)
        fitted = json.dumps(scaler.to_json())
        with publish(
            layout.scaled, stage="scaled_table", data_source=before.data_source, started=run.started
        ) as staging:
            make = partial(
                shard_work.scale_shard,
                encoded=layout.encoded,
                scaler=scaler,
                out=staging.folder,
                data_source=before.data_source,
            )
            # A shard that widens the training range moves every value, and every shard is made again.
            jobs = [
                ShardJob(
                    shard,
                    digest_of(
                        stages_version(),
                        fitted,
                        before.record(shard).sha256,
                        before.record(shard_work.sessions_file(shard)).sha256,
                    ),
                    partial(make, shard),
                )
                for shard in shards
            ]
            with engine.applying("scaled_table") as apply:
                summaries = staging.make_shards(jobs, apply).values()
            clipped = sum(summary["values_clipped"] for summary in summaries)
            staging.rows = sum(summary["rows"] for summary in summaries)
            write_json(staging.path(SCALER_FILE), scaler.to_json())
            staging.details["values_clipped"] = clipped
        describe.log_stage(run, staging.manifest, schema.SCALED)
        run.metrics({"values_clipped": clipped, **describe.shard_counts(staging)})
        run.artifact(layout.scaled / SCALER_FILE)
    metadata = describe.shards(staging, layout.scaled, schema.SCALED)
    metadata["values_clipped"] = dg.MetadataValue.int(clipped)
    return describe.result(tracker, run, metadata)


@dg.asset(
    group_name="features",
    kinds={"numpy"},
    owners=[OWNER],
    code_version="2",
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
        tracks = merged.record(TRACK_TABLE).sha256
        with publish(
            layout.bundles, stage="tensor_bundles", data_source=before.data_source, started=run.started
        ) as staging:
            make_matrix = partial(
                shard_work.track_matrix,
                tracks=layout.merged / TRACK_TABLE,
                scaler=layout.scaled / SCALER_FILE,
                out=staging.folder,
            )
            scaler = before.record(SCALER_FILE).sha256
            matrix_inputs = digest_of(stages_version(), tracks, scaler)
            staging.make_shards([ShardJob("_tracks", matrix_inputs, make_matrix)])
            make = partial(
                shard_work.bundle_shard,
                encoded=layout.encoded,
                scaled=layout.scaled,
                matrix=staging.find(TRACKS),
                out=staging.folder,
            )
            jobs = [
                ShardJob(
                    shard,
                    digest_of(
                        stages_version(),
                        tracks,
                        encoded.record(shard).sha256,
                        before.record(shard).sha256,
                        before.record(shard_work.sessions_file(shard)).sha256,
                    ),
                    partial(make, shard),
                )
                for shard in shard_names(before)
            ]
            with engine.applying("tensor_bundles") as apply:
                made = staging.make_shards(jobs, apply)
            parts = [record_from_json(summary) for summary in made.values()]
            bundle.write_parts(staging.folder, parts)
            sessions = {split: sum(part.sessions[split] for part in parts) for split in schema.SPLITS}
            staging.rows = sum(sessions.values())
            staging.details["sessions"] = sessions
        from skip_pipeline.report import plots  # matplotlib: half a second that only drawing may cost

        balance = bundle.class_balance(layout.bundles)
        lengths = bundle.session_lengths(layout.bundles)
        pictures = {
            "class_balance": plots.class_balance(balance, before.data_source),
            "session_lengths": plots.session_lengths(lengths, before.data_source),
        }
        describe.log_stage(run, staging.manifest)
        run.metrics({f"{split}_sessions": n for split, n in sessions.items()})
        run.metrics(describe.shard_counts(staging))
        for name, png in pictures.items():
            run.image(png, name)
    metadata: describe.Metadata = {
        **{name: describe.picture(png, name.replace("_", " ")) for name, png in pictures.items()},
        **{f"{split}_sessions": dg.MetadataValue.int(n) for split, n in sessions.items()},
        **describe.shards(staging, layout.bundles),
    }
    return describe.result(tracker, run, metadata)
