"""The command ``status``: what a data directory serves, what was decided last, and what is overdue."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer

from skip_pipeline import settings
from skip_pipeline.cli.options import FOUND, OUT, AsJson, DataDir, refusals, show_json, use
from skip_pipeline.defs.places import has_store, tracking_uri
from skip_pipeline.errors import SkipPipelineError

if TYPE_CHECKING:
    from skip_pipeline.nightly.status import Decision, Served, Status
    from skip_pipeline.settings import DataLayout


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Say what is served and since when, what was decided last, and what is overdue.

    The command changes nothing. The exit status is 3 if something is overdue, or if no version is served.
    """
    layout = use(data_dir)
    with refusals():
        found = gather(layout)
    if as_json:
        show_json(found.to_json())
    else:
        from skip_pipeline.nightly.status import lines

        for line in lines(found):
            OUT.print(line)
    if found.overdue:
        raise typer.Exit(FOUND)


def gather(layout: DataLayout, now: datetime | None = None) -> Status:
    """The status of a data directory now."""
    from skip_pipeline.code_version import ASSETS, asset_version
    from skip_pipeline.nightly import overdue
    from skip_pipeline.nightly.status import Status
    from skip_pipeline.nightly.variables import zone_named
    from skip_pipeline.raw.description import mark_of

    zone = ZoneInfo(zone_named(os.environ.get(settings.TIME_ZONE_VARIABLE, "")))
    moment = now or datetime.now(zone)
    home = Path(os.environ.setdefault(settings.DAGSTER_HOME_VARIABLE, str(layout.dagster)))
    made, decided, night, look = {}, [], None, None
    if home.is_dir():
        from skip_pipeline.defs import history
        from skip_pipeline.defs.launch import open_instance

        with open_instance() as instance:
            made = history.made_stages(instance, ASSETS)
            decided = history.decisions(instance)
            night, look = history.last_night(instance), history.last_look(instance)
    served, problem = _served(layout, decided)
    optional = ("own_listening_report",)  # of other data there is none
    reasons = overdue.out_of_date(made, {asset: asset_version(asset) for asset in ASSETS}, optional=optional)
    logs = made["session_logs"].made_at if "session_logs" in made else None
    delivered = _deliveries(layout, logs.timestamp()) if logs else []
    failed = night.run_id if night and night.status == "failed" else ""
    return Status(
        data_directory=str(layout.root),
        data=mark_of(layout.raw),
        served=served,
        registry_problem=problem,
        decision=decided[0] if decided else None,
        night=night,
        overdue=(
            *([] if served else [overdue.Overdue("no version is served", problem)]),
            *overdue.stages_overdue(reasons, delivered),
            *overdue.night_overdue(moment, overdue.daily(settings.NIGHTLY_CRON), look, failed),
            *overdue.delivery_overdue(moment, logs),
        ),
    )


def _deliveries(layout: DataLayout, when: float) -> list[str]:
    """Raw files that are not those that the pipeline has read; a damaged record is the subject of `run`."""
    from skip_pipeline.nightly.overdue import RawFile, deliveries
    from skip_pipeline.raw.folder import delivered_csvs
    from skip_pipeline.storage import read_manifest

    found = {}
    for path in delivered_csvs(layout.raw):
        facts = path.stat()
        found[f"{path.parent.name}/{path.name}"] = RawFile(facts.st_size, facts.st_mtime)
    read: dict[str, int] = {}
    for asset, folder, summaries in (
        ("session_logs", settings.TRAINING_SET, layout.session_log_summaries),
        ("track_features", settings.TRACK_FEATURES, layout.track_feature_summaries),
    ):
        try:
            details = read_manifest(summaries, made_by=asset).details
        except SkipPipelineError:
            continue
        read |= {f"{folder}/{file['name']}": file["bytes"] for file in details[settings.DELIVERED_FILES]}
    return deliveries(found, read, when)


def _served(layout: DataLayout, decided: list[Decision]) -> tuple[Served | None, str]:
    """The version that is served, or why there is none."""
    from skip_pipeline.defs.champion_row import champion
    from skip_pipeline.nightly.status import Served, served_since

    if not has_store(layout):
        return None, f"{layout.mlflow} holds no record of any model. Run `skip-pipeline run`"
    try:
        found = champion(tracking_uri(layout))
    except SkipPipelineError as problem:
        return None, str(problem)
    since = served_since(found.version, decided)
    return Served(found.version, found.kind, found.data_source, since), ""
