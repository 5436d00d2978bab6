"""What a process does that opens Dagster's home and MLflow's store; a module, so that a child imports it."""

import os
from pathlib import Path
from typing import Any

from skip_pipeline import settings
from skip_pipeline.definitions import data_layout, mlflow_tracker
from skip_pipeline.defs.launch import open_instance, prepare_home
from skip_pipeline.settings import DAGSTER_HOME_VARIABLE


def open_both(root: Path, home: Path | None, together: Any, results: Any) -> None:
    """Open both at the same time as other processes; put what was read, or the failure, into ``results``."""
    os.environ[settings.DATA_DIR_VARIABLE] = str(root)
    os.environ.pop(DAGSTER_HOME_VARIABLE, None)
    if home is not None:
        os.environ[DAGSTER_HOME_VARIABLE] = str(home)
    layout = data_layout()
    try:
        together.wait()
        prepare_home(layout)
        runs = len(open_instance().get_runs())
        experiments = [found.name for found in mlflow_tracker(layout).client().search_experiments()]
        results.put((runs, experiments))
    except Exception as failure:  # the test shows whatever it is
        results.put(repr(failure))
