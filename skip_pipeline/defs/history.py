"""What Dagster's instance has recorded of a data directory: results, decisions and nights.

It is read without the definitions of the pipeline, which take seconds to import.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterRunStatus as Status

from skip_pipeline.nightly.overdue import MadeStage
from skip_pipeline.nightly.plan import NIGHT_JOB, NIGHT_SCHEDULE
from skip_pipeline.nightly.promotion_record import CHALLENGER, CHAMPION, NO_VERSION
from skip_pipeline.nightly.status import Decision, LastNight

# Tags that Dagster writes on a materialization.
_CODE = "dagster/code_version"
_RESULT = "dagster/data_version"
_INPUT = "dagster/input_data_version/"

_RUNS = 5  # whose times are read; one more costs 10 ms
_DECISIONS = 100  # among which the night is searched from which a version serves: three months


def made_stages(instance: dg.DagsterInstance, assets: Iterable[str]) -> dict[str, MadeStage]:
    """The last result of each asset that has one."""
    found = {}
    for asset in assets:
        for record in instance.fetch_materializations(dg.AssetKey(asset), limit=1).records:
            tags = (record.asset_materialization and record.asset_materialization.tags) or {}
            inputs = {name.removeprefix(_INPUT): of for name, of in tags.items() if name.startswith(_INPUT)}
            when = datetime.fromtimestamp(record.timestamp, UTC)
            found[asset] = MadeStage(when, tags.get(_CODE, ""), tags.get(_RESULT, ""), inputs)
    return found


def decisions(instance: dg.DagsterInstance) -> list[Decision]:
    """The last decisions on the champion, the newest first."""
    found = []
    for record in instance.fetch_materializations(dg.AssetKey("champion_model"), limit=_DECISIONS).records:
        made = record.asset_materialization
        text = {name: str(value.value) for name, value in made.metadata.items()} if made else {}
        found.append(
            Decision(
                decided_at=datetime.fromtimestamp(record.timestamp, UTC),
                run_id=record.run_id,
                decision=text["decision"],
                challenger=text[CHALLENGER],
                champion=text[CHAMPION].removeprefix(NO_VERSION),
                summary=text["summary"],
                alarms=text["alarms"],
            )
        )
    return found


def last_night(instance: dg.DagsterInstance) -> LastNight | None:
    """The last run of the night's job."""
    for record in instance.get_run_records(dg.RunsFilter(job_name=NIGHT_JOB), limit=1):
        run = record.dagster_run
        ended = {Status.SUCCESS: "succeeded", Status.FAILURE: "failed", Status.CANCELED: "cancelled"}
        started = record.start_time or record.create_timestamp.timestamp()
        return LastNight(run.run_id, datetime.fromtimestamp(started, UTC), ended.get(run.status, "under way"))
    return None


def last_look(instance: dg.DagsterInstance) -> datetime | None:
    """The time for which the schedule of the nights looked last whether there is anything to do."""
    looks = [
        tick.timestamp
        for state in instance.all_instigator_state()
        if state.name == NIGHT_SCHEDULE
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    ]
    return datetime.fromtimestamp(max(looks), UTC) if looks else None


def step_seconds(instance: dg.DagsterInstance) -> dict[str, float]:
    """Seconds that each step took in the last run that succeeded with it, among the last few."""
    found: dict[str, float] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=[Status.SUCCESS]), limit=_RUNS):
        for step in instance.get_run_step_stats(run.run_id):
            if step.start_time and step.end_time:
                found.setdefault(step.step_key, step.end_time - step.start_time)
    return found
