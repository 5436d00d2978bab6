"""A view of MLflow's table of runs: one row or bar per Dagster run, with the columns to judge a night by.

MLflow keeps a shared view as a tag of its experiment, and an address that names the view opens it.
"""

import json
from typing import Final

_PREFIX: Final = "mlflow.sharedViewState."
_NAME: Final = "nights"
_SECTION: Final = "nights"

_CHARTS: Final = (
    "test_next_track_log_loss", "test_log_loss", "test_accuracy", "champion_next_track_difference",
    "drift_alarms", "promoted",
)  # fmt: skip
"""Metrics of the parent run: nats, nats, a share, nats on gate sessions, a number, and 1 or 0."""

_COLUMNS: Final = (
    "tags.`decision`", "metrics.`test_log_loss`", "metrics.`test_accuracy`", "tags.`data_date`",
)  # fmt: skip

_STATE: Final = {
    "searchFilter": "tags.`dagster.job_name` LIKE '%'",  # of parent runs alone
    "orderByKey": "attributes.start_time",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "modelVersionFilter": "All Runs",
    "datasetsFilter": [],
    "selectedColumns": list(_COLUMNS),
    "runsHiddenMode": "FIRST_20_RUNS",
    "isAccordionReordered": False,
    "compareRunSections": [{"uuid": _SECTION, "name": "Nights", "display": True, "isReordered": False}],
    "compareRunCharts": [
        {
            "type": "BAR",
            "uuid": f"{_SECTION}-{metric}",
            "metricSectionId": _SECTION,
            "metricKey": metric,
            "deleted": False,
            "isGenerated": False,
        }
        for metric in _CHARTS
    ],
}

NIGHTS_VIEW: Final = {f"{_PREFIX}{_NAME}": json.dumps(_STATE)}
"""The tag of the experiment."""

_QUERY: Final = f"workflowType=machine_learning&viewStateShareKey={_NAME}"


def nights_page(experiment: str, *, charts: bool = False) -> str:
    """Path of the page below MLflow's address: the table of runs, or their charts.

    >>> nights_page("1")
    '/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=nights'
    """
    return f"/#/experiments/{experiment}/runs?{_QUERY}{'&compareRunsMode=CHART' if charts else ''}"
