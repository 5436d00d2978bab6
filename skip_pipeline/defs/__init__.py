"""Dagster and MLflow: thin shells around the packages that hold the logic.

    assets      each makes one stage and records it; the order of the stages
    checks      blocking checks of what the assets published
    record      what one materialization records in MLflow and in Dagster's metadata
    metadata    tables, pictures and check results as Dagster metadata
    tracking    one MLflow run per materialization, below one parent per Dagster run
    registry    registered versions of the model
    schedules   the retraining job, its nightly schedule, and sensors that clean up after a crash
    launch      a run from the command line
    resources   data directory and engine

Logic does not belong here but in ``stages``, ``training``, ``nightly`` and ``report``.
No module with an asset imports ``annotations`` from ``__future__``, because Dagster reads them at run time.
"""
