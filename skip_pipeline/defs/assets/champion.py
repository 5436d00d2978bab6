"""The champion as an asset: the night's model takes the place of the one that serves, or does not."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.assets.baselines import published_baselines
from skip_pipeline.defs.registry import (
    CHALLENGER,
    DATA_SOURCE,
    DECISION,
    FINGERPRINT,
    NOBODY,
    OPPONENT,
    PREVIOUS_CHAMPION,
    REASONS,
    Registry,
    registered,
)
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.served_model import CHAMPION
from skip_pipeline.defs.tracked_materialization import TrackedMaterialization
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.defs.tracking_guard import LONGEST_REASON
from skip_pipeline.errors import ContractError, MissingInputError, SkipPipelineError
from skip_pipeline.nightly.promotion_record import PROMOTION_FILE, PROMOTION_PAGE, Promotion
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import OWNER, DataLayout
from skip_pipeline.storage import Manifest, publish, read_manifest, write_json

if TYPE_CHECKING:
    import numpy as np

    from skip_pipeline.bundles.gather import Bundle
    from skip_pipeline.metrics.scores import Slicing
    from skip_pipeline.nightly.promotion import Candidate, Decision, Unusable
    from skip_pipeline.report.html import RunLink
    from skip_pipeline.serving import ServedModel


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

    Both score the same test sessions, each as its own server would. A refusal is a normal outcome: the
    champion stays, and the reasons are in the metadata, in MLflow and on a page, promotion.html. Judging the
    same challenger again compares the same two and moves no alias.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.bundles, made_by="tensor_bundles")
        describe.log_bundles(run, before, layout.bundles, context="promotion")

        from skip_pipeline.serving import load

        model = load(layout.model / SERVED_MODEL)
        if model.bundles != before.fingerprint:
            raise ContractError(
                f"{layout.model / SERVED_MODEL} was trained on other bundles than those in {layout.bundles}; "
                "expected a model and the bundles it comes from. Materialize trained_model again"
            )
        registry = _registry(tracker)
        promotion = _promote(registry, _version(tracker, run, layout, model), model, layout, before)
        folder = layout.promotion
        with publish(
            folder, stage="champion_model", data_source=before.data_source, started=run.started
        ) as staging:
            write_json(staging.path(PROMOTION_FILE), promotion.to_json())
            page = _page(promotion, registry, describe.run_links(context, tracker, run))
            staging.path(PROMOTION_PAGE).write_text(page, encoding="utf-8")
            staging.rows = promotion.test_sessions
        _record(run, promotion, staging.manifest)
        for name in (PROMOTION_PAGE, PROMOTION_FILE):
            run.artifact(folder / name)
    decision = promotion.decision
    context.log.info(decision.summary)
    metadata: describe.Metadata = {
        "decision": dg.MetadataValue.text(_word(decision)),
        "summary": dg.MetadataValue.text(decision.summary),
        "reasons": dg.MetadataValue.table(
            [
                dg.TableRecord({"rule": r.rule, "passed": r.passed, "facts": r.facts})
                for r in decision.reasons
            ],
            schema=dg.TableSchema(
                columns=[
                    dg.TableColumn("rule"),
                    dg.TableColumn("passed", type="bool"),
                    dg.TableColumn("facts"),
                ]
            ),
        ),
        "challenger": dg.MetadataValue.text(promotion.challenger),
        "opponent": dg.MetadataValue.text(promotion.opponent or NOBODY),
        "champion": dg.MetadataValue.text(promotion.champion or NOBODY),
        "decided_before": dg.MetadataValue.bool(promotion.again),
        **{name: dg.MetadataValue.float(value) for name, value in _difference(decision).items()},
        "report": dg.MetadataValue.path(folder / PROMOTION_PAGE),
        **describe.stage(staging.manifest, folder),
    }
    return describe.result(tracker, run, metadata)


def _registry(tracker: MlflowTracker) -> Registry:
    return Registry(tracker.client(), tracker.tracking_uri)


def _version(
    tracker: MlflowTracker, run: TrackedMaterialization, layout: DataLayout, model: "ServedModel"
) -> str:
    """Version of today's model."""
    if run.run_id is None:
        raise MissingInputError(
            f"MLflow is not being recorded to ({tracker.unavailable or 'no tracking configured'}); expected "
            "a registry to promote in. The model is kept: mend it and materialize champion_model, or wait "
            "for the next night"
        )
    import mlflow

    folder = layout.model / SERVED_MODEL
    return registered(tracker.client(), tracker.tracking_uri, mlflow, folder, model.fingerprint)


def _promote(
    registry: Registry, challenger: str, model: "ServedModel", layout: DataLayout, before: Manifest
) -> Promotion:
    """Judge a challenger and move the aliases; for one that was judged before, none is moved."""
    tags, aliases = registry.tags(challenger), registry.aliases()
    again = DECISION in tags
    opponent = aliases.get(CHAMPION, NOBODY) if OPPONENT not in tags else tags[OPPONENT]
    registry.tag(
        challenger,
        {OPPONENT: opponent, FINGERPRINT: model.fingerprint, DATA_SOURCE: model.data_source},
    )
    decision, sessions = _judge(registry, challenger, opponent, model, layout, before)
    if not again:
        registry.point(CHALLENGER, challenger)
        if decision.promoted:
            if opponent != NOBODY:
                registry.point(PREVIOUS_CHAMPION, opponent)
            registry.point(CHAMPION, challenger)
        registry.tag(challenger, {REASONS: decision.summary[:LONGEST_REASON], DECISION: _word(decision)})
    return Promotion(
        decision=decision,
        challenger=challenger,
        opponent=None if opponent == NOBODY else opponent,
        champion=registry.aliases().get(CHAMPION),
        test_sessions=sessions,
        data_source=before.data_source,
        bundles=before.fingerprint,
        again=again,
    )


def _judge(
    registry: Registry,
    challenger: str,
    opponent: str,
    model: "ServedModel",
    layout: DataLayout,
    before: Manifest,
) -> "tuple[Decision, int]":
    """The decision, and on how many test sessions it was made."""
    from skip_pipeline.nightly.promotion import decide
    from skip_pipeline.serving.pack import track_table_ids

    bundles = open_bundles(before)
    test = bundles["test"]
    tracks = track_table_ids(layout)
    decision = decide(
        test.not_skipped,
        _candidate(f"version {challenger}", model, test, tracks),
        None if opponent == NOBODY else _champion(registry, opponent, test, tracks),
        last_outcome=_last_outcome(layout, before, bundles),
        slicings=_slicings(layout, bundles),
    )
    return decision, test.sessions


def _candidate(name: str, model: "ServedModel", test: "Bundle", tracks: "np.ndarray") -> "Candidate":
    from skip_pipeline.nightly.promotion import Candidate

    return Candidate(name, model.data_source, model.predict_bundle(test, tracks), model.threshold)


def _champion(
    registry: Registry, version: str, test: "Bundle", tracks: "np.ndarray"
) -> "Candidate | Unusable":
    """The version that serves, on today's test sessions; or why that cannot be.

    Raises:
        MissingInputError: its store does not answer, which is no reason to replace it.
    """
    from skip_pipeline.nightly.promotion import Unusable
    from skip_pipeline.serving import load

    name = f"version {version}"
    try:
        with registry.fetched(version) as folder:
            return _candidate(name, load(folder), test, tracks)
    except SkipPipelineError as refusal:
        registry.check_reachable(version)
        known = registry.tags(version).get(DATA_SOURCE)
        source = next((s for s in ("real", "synthetic") if s == known), None)
        return Unusable(name, source, str(refusal))


def _last_outcome(layout: DataLayout, before: Manifest, bundles: "Mapping[str, Bundle]") -> "np.ndarray":
    _, baselines = published_baselines(layout, before, bundles)
    (found,) = [baseline for baseline in baselines if baseline.name == "last_outcome"]
    return found.p_not_skipped["test"]


def _slicings(layout: DataLayout, bundles: "Mapping[str, Bundle]") -> "Sequence[Slicing]":
    from skip_pipeline.report.session_attributes import read_session_attributes
    from skip_pipeline.report.slices import slicings

    merged = read_manifest(layout.merged, made_by="merged_table")
    return slicings(read_session_attributes(merged.path, bundles["train"], bundles["test"]))


def _page(promotion: Promotion, registry: Registry, runs: "tuple[RunLink, ...]") -> str:
    from skip_pipeline.report.promotion_page import render_promotion

    made_at = f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC"
    return render_promotion(promotion, made_at=made_at, history=registry.history(), runs=runs)


def _record(run: TrackedMaterialization, promotion: Promotion, manifest: Manifest) -> None:
    """What MLflow keeps of a decision beside the tags of the version."""
    describe.log_stage(run, manifest)
    decision = promotion.decision
    run.tags(
        {
            "decision": _word(decision),
            "reasons": decision.summary[:LONGEST_REASON],
            CHALLENGER: promotion.challenger,
            "opponent": promotion.opponent or NOBODY,
            CHAMPION: promotion.champion or NOBODY,
        }
    )
    run.headline(_difference(decision) | {"promoted": float(decision.promoted)})
    run.json(promotion.to_json(), "decision.json")


def _word(decision: "Decision") -> str:
    return "promoted" if decision.promoted else "refused"


def _difference(decision: "Decision") -> dict[str, float]:
    """Log-loss of challenger minus champion with its interval; empty where they were not compared."""
    found = decision.log_loss_difference
    if found is None:
        return {}
    return {
        "champion_log_loss_difference": found.value,
        "champion_log_loss_difference_low": found.low,
        "champion_log_loss_difference_high": found.high,
    }
