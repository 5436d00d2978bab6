"""Dagster and MLflow: thin shells around ``flow``.

    resources   where the data are, what the pipeline records to
    tracking    one MLflow run per materialization, under one parent per Dagster run
    assets      load, compute, save, describe: the one place where the order of the stages stands
    checks      blocking checks over what the assets published
    describe    numbers, schemas and pictures as Dagster metadata
    schedules   the retraining job, its nightly schedule, and the sensor that closes what a crash left open

No logic: if a shell branches, the branch belongs in ``flow``. No ``from __future__ import annotations``
in here, because Dagster reads annotations at run time.
"""
