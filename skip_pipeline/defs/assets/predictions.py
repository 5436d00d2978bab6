"""Probabilities and decisions for the second halves of the test set, as an asset."""

from contextlib import ExitStack
from typing import Final

import dagster as dg

from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.errors import NoChampionError
from skip_pipeline.raw.log_pairs import log_pairs
from skip_pipeline.serving import batch
from skip_pipeline.settings import TEST_SET

_NO_TEST_SET: Final = "{} holds no sessions to score; put the public archive's test_set there"


@pipeline_asset("serving", kinds={"onnx", "parquet"}, deps=["champion_model", "best_model"])
def skip_predictions(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """Probability and decision of a skip for every second-half track of the raw folder's test_set.

    Each is predicted from the session's first half alone; the first row of a session is its next track.
    The registry's champion predicts, as the server does, and no other model. There is one parquet file per
    pair of log_prehistory and log_input files. TensorFlow is not used. Without a champion or a test_set, no
    row is published, and the metadata name the reason.
    """
    layout = data.layout()
    with tracker.materialization(context) as record:
        from skip_pipeline.nightly.champion import scoring_model

        with ExitStack() as opened:
            try:
                model, version = opened.enter_context(scoring_model(tracker.registry(), layout))
            except NoChampionError as reason:
                staging = batch.no_predictions(layout.raw, layout.predictions, started=record.started)
                nothing = str(reason)
                context.log.warning(nothing)
            else:
                staging = batch.skip_predictions(
                    layout.raw,
                    layout.predictions,
                    model=model,
                    model_version=version,
                    apply=opened.enter_context(engine.applying("skip_predictions")),
                    started=record.started,
                )
                record.tags({"model_version": version})
                record.show({"model_version": version})
                nothing = "" if log_pairs(layout.raw) else _NO_TEST_SET.format(layout.raw / TEST_SET)
        counted = ("sessions", "sessions_not_cut_in_half", "unknown_tracks", "values_of_unknown_level")
        record.numbers({name: staging.details[name] for name in counted})
        record.made(staging.manifest, layout.predictions, batch.SKIP_PREDICTIONS)
        record.shards(staging)
        if nothing:
            record.show({"nothing_to_score": nothing})
    return record.result()
