"""The code location of ``test_daemon``: the project's own, with a night every minute."""

import dagster as dg

from skip_pipeline import definitions
from skip_pipeline.defs.schedules import nightly_retraining
from skip_pipeline_tests.defs.conftest import QUICK_TRAINING


@dg.definitions
def defs() -> dg.Definitions:
    """Everything as the project has it, but for the hour."""
    project = definitions.defs()
    return dg.Definitions(
        assets=project.assets,
        asset_checks=project.asset_checks,
        jobs=project.jobs,
        schedules=[nightly_retraining("UTC", QUICK_TRAINING, cron="* * * * *")],
        resources=project.resources,
        executor=project.executor,
    )
