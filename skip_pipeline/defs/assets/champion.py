"""The champion as an asset: whether the night's model replaces the model that serves."""

from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import metadata
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.promotion_record import (
    CHALLENGER,
    CHAMPION,
    LONGEST_TAG,
    NO_VERSION,
    PROMOTION_FILE,
    PROMOTION_PAGE,
)
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import OWNER
from skip_pipeline.storage import publish, read_manifest, write_json


@dg.asset(
    group_name="model",
    kinds={"mlflow", "onnx"},
    owners=[OWNER],
    code_version=asset_version("champion_model"),
    deps=["trained_model", "evaluation_report", "baseline_models", "tensor_bundles", "data_drift"],
)
def champion_model(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """The model that serves: the night's challenger, if it is at least as good as the champion so far.

    Both are scored on the same test sessions, each as its own server would answer. A refusal is a normal
    outcome: the champion stays, and the reasons are in the metadata, in MLflow and on a page, promotion.html.
    Judging the same challenger again compares the same two and moves no alias.
    """
    layout, registry = data.layout(), tracker.registry()
    with tracker.materialization(context) as record:
        before = record.read_bundles(layout, "promotion")

        # scikit-learn and matplotlib take seconds to import.
        from skip_pipeline.nightly.champion import challenger_of, promote
        from skip_pipeline.report.promotion_page import render_promotion
        from skip_pipeline.report.session_attributes import read_session_attributes
        from skip_pipeline.report.slices import slicings

        model = challenger_of(layout, before)
        version = registry.registered(record, layout.model / SERVED_MODEL, model.fingerprint)
        bundles = open_bundles(before)
        merged = read_manifest(layout.merged, made_by="merged_table")
        attributes = read_session_attributes(merged.path, bundles["train"], bundles["test"])
        promotion = promote(registry, version, model, layout, slicings(attributes))
        decision, folder = promotion.decision, layout.promotion
        page = render_promotion(
            promotion,
            made_at=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
            history=registry.history(),
            runs=tracker.run_links(context, record),
        )
        with publish(
            folder, stage="champion_model", data_source=before.data_source, started=record.started
        ) as staging:
            write_json(staging.path(PROMOTION_FILE), promotion.to_json())
            staging.path(PROMOTION_PAGE).write_text(page, encoding="utf-8")
            staging.rows = promotion.test_sessions
        versions = {
            CHALLENGER: promotion.challenger,
            "opponent": promotion.opponent or NO_VERSION,
            CHAMPION: promotion.champion or NO_VERSION,
        }
        record.tags({"decision": decision.word, "reasons": decision.summary[:LONGEST_TAG]} | versions)
        record.show(
            {
                "decision": decision.word,
                "summary": decision.summary,
                "reasons": metadata.table(map(asdict, decision.reasons)),
                "decided_before": promotion.again,
                "report": dg.MetadataValue.path(folder / PROMOTION_PAGE),
            }
            | versions
        )
        found = decision.log_loss_difference
        name = "champion_log_loss_difference"
        difference = (
            {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high} if found else {}
        )
        record.headline(difference | {"promoted": float(decision.promoted)})
        record.json(promotion.to_json(), "decision.json")
        record.made(staging.manifest, folder)
        for file in (PROMOTION_PAGE, PROMOTION_FILE):
            record.artifact(folder / file)
    context.log.info(decision.summary)
    return record.result()
