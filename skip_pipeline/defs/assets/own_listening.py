"""The page about oneself as an asset, which only own listening has."""

from collections.abc import Iterator

import dagster as dg

from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.raw.own_listening import own_listening
from skip_pipeline.settings import NEWEST_TENTH_FILE, OWN_LISTENING_MARKER, OWN_LISTENING_PAGE


@pipeline_asset(
    "report",
    kinds={"keras", "sklearn", "html"},
    deps=["evaluation_report", "trained_model", "tensor_bundles", "merged_table"],
    output_required=False,
)
def own_listening_report(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> Iterator[dg.MaterializeResult]:
    """What one skips when and after what, and how predictably; nothing is made of other data.

    Network and baselines are trained once more, on the past, and judged on the newest tenth of the sessions:
    newest_tenth.json for programs, own_listening.html for people. A page with names stays in its folder; it
    is in no record.
    """
    layout = data.layout()
    marker = own_listening(layout.raw)
    if marker is None:
        context.log.info(f"no page about oneself: {layout.raw} holds no {OWN_LISTENING_MARKER}")
        return
    with tracker.materialization(context) as record:
        record.read_stage(layout, "bundles", "evaluation")

        # TensorFlow, scikit-learn and matplotlib: seconds, and 700 MB that only training needs.
        from skip_pipeline.report.make_own_listening import make_own_listening
        from skip_pipeline.training.trained_files import train_and_export

        made = make_own_listening(
            layout,
            marker,
            lambda bundles, settings, folder: train_and_export(bundles, settings, lambda _: None, folder),
            started=record.started,
        )
        if isinstance(made.newest, str):
            record.show({"not_judged": made.newest})
        else:
            record.numbers(made.newest.headline_metrics())
        record.show({"report": dg.MetadataValue.path(layout.own_listening / OWN_LISTENING_PAGE)})
        record.made(made.manifest, layout.own_listening)
        for name in (NEWEST_TENTH_FILE, *(() if made.named else (OWN_LISTENING_PAGE,))):
            record.artifact(layout.own_listening / name)
    yield record.result()
