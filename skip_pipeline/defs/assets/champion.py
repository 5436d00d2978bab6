"""The champion as an asset: whether the night's model replaces the model that serves."""

from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.defs import metadata
from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.promotion_record import (
    BEST,
    CHALLENGER,
    CHAMPION,
    CHECKS,
    LONGEST_TAG,
    NO_VERSION,
    PROMOTION_FILE,
    PROMOTION_PAGE,
)
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.storage import publish, read_json, read_manifest, write_json

_SEVERITIES = (dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN)  # of ``CHECKS``; neither blocks


@pipeline_asset(
    "model",
    kinds={"mlflow", "onnx"},
    deps=["best_model", "baseline_models", "tensor_bundles", "data_drift"],
    check_specs=[
        dg.AssetCheckSpec(name, asset="champion_model", description=text) for name, text in CHECKS.items()
    ],
)
def champion_model(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """The model that serves: the night's challenger, if it is as good as the champion and the best version.

    All are scored on the same gate sessions, each as its own server would answer. A refusal is a normal
    outcome: the champion stays, and the reasons are in the metadata, in MLflow and on a page, promotion.html.
    Judging the same challenger again compares the same versions and moves no alias.
    """
    layout, registry = data.layout(), tracker.registry()
    with tracker.materialization(context) as record:
        before = record.read_stage(layout, "bundles", "promotion")

        # scikit-learn and matplotlib take seconds to import.
        from skip_pipeline.nightly.best import CHOICE_FILE
        from skip_pipeline.nightly.champion import challenger_of, promote
        from skip_pipeline.report.promotion_page import render_promotion
        from skip_pipeline.report.session_attributes import read_session_attributes
        from skip_pipeline.report.slices import slicings

        model = challenger_of(layout, before)
        version = registry.registered(record.run_id, layout.best / SERVED_MODEL, model.fingerprint)
        bundles = open_bundles(before)
        merged = read_manifest(layout.merged, made_by="merged_table")
        attributes = read_session_attributes(merged.path, bundles["train"], bundles["gate"])
        promotion = promote(registry, version, model, layout, slicings(attributes))
        decision, folder = promotion.decision, layout.promotion
        made_at = f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC"
        links = tracker.run_links(context, record)
        page = render_promotion(
            promotion,
            description=record.description,
            made_at=made_at,
            history=registry.history(),
            runs=links,
            choice=read_json(layout.best / CHOICE_FILE)["sentence"],
        )
        with publish(
            folder, stage="champion_model", data_source=before.data_source, started=record.started
        ) as staging:
            write_json(staging.path(PROMOTION_FILE), promotion.to_json())
            staging.path(PROMOTION_PAGE).write_text(page, encoding="utf-8")
            staging.rows = promotion.gate_sessions
        versions = {
            CHALLENGER: promotion.challenger,
            "opponent": promotion.opponent or NO_VERSION,
            CHAMPION: promotion.champion or NO_VERSION,
            BEST: promotion.best_now or NO_VERSION,
        }
        warnings = decision.power.warnings if decision.power else ()
        alarms = "; ".join(promotion.alarms)[:LONGEST_TAG] or "none"
        record.tags(
            {"decision": decision.word, "reasons": decision.summary[:LONGEST_TAG], "alarms": alarms}
            | versions
        )
        record.show(
            {
                "decision": decision.word,
                "summary": decision.summary,
                "reasons": metadata.table(map(asdict, decision.reasons)),
                "alarms": "\n".join(promotion.alarms) or "none",
                "decided_before": promotion.again,
                "report": dg.MetadataValue.path(folder / PROMOTION_PAGE),
            }
            | versions
        )
        headline = {"promoted": float(decision.promoted)}
        differences = {
            "champion_log_loss_difference": decision.log_loss_difference,
            "champion_next_track_difference": decision.next_track_difference,
        }
        for name, found in differences.items():
            if found:
                values = {"": found.value, "_low": found.low, "_high": found.high}
                headline |= {f"{name}{end}": value for end, value in values.items()}
        if decision.power:
            headline["gate_equal_refused"] = decision.power.equal_refused
        record.headline(headline)
        if not promotion.again:
            opponent = f"version {promotion.opponent}" if promotion.opponent else "no champion"
            record.judged(version, layout.best / SERVED_MODEL, f"{decision.summary}. Against {opponent}.")
        record.json(promotion.to_json(), "decision.json")
        record.made(staging.manifest, folder)
        record.page(f"Promotion page: version {version} {decision.word}", folder / PROMOTION_PAGE)
        record.artifact(folder / PROMOTION_FILE)
        shown = {"decision": decision.word, "data_date": promotion.newest_day or NO_VERSION}
        record.parent_tags(shown | {"version": version})
        record.outcome(f"version {version} {decision.word}")
        context.instance.add_run_tags(
            context.run.run_id, {f"skip_pipeline/{name}": value for name, value in shown.items()}
        )
    context.log.info(decision.summary)
    messages = zip(CHECKS, (promotion.alarms, warnings), _SEVERITIES, strict=True)
    return record.result(
        dg.AssetCheckResult(
            asset_key="champion_model",
            check_name=name,
            passed=not said,
            severity=severity,
            description="; ".join(said) or "Nothing to report.",
            metadata={"says": "; ".join(said) or "none"},
        )
        for name, said, severity in messages
    )
