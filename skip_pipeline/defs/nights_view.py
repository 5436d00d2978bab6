"""A view of MLflow's table of runs: one row or bar per Dagster run, with the columns to judge a night by.

MLflow keeps a shared view as a tag of its experiment, and an address that names the view opens it.
"""

import json
from typing import Final

_PREFIX: Final = "mlflow.sharedViewState."
_NAME: Final = "nights"
_SECTION: Final = "nights"

# By metric of the parent run: the title of its chart, with the unit.
_CHARTS: Final = {
    "test_next_track_log_loss": "Log-loss of the next track, test sessions (nats; lower is better)",
    "test_log_loss": "Log-loss of the last track, test sessions (nats; lower is better)",
    "test_accuracy": "Accuracy of the last track, test sessions (share; higher is better)",
    "champion_next_track_difference": "Challenger minus champion, gate sessions (nats; below 0 is better)",
    "drift_alarms": "Alarms of data drift (number)",
    "promoted": "Promoted (1) or refused (0)",
}
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
            "displayName": title,
            "deleted": False,
            "isGenerated": False,
        }
        for metric, title in _CHARTS.items()
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
