"""The environment variables of the pipeline, unset for each test."""

import pytest

from skip_pipeline import settings

VARIABLES = (
    "DAGSTER_HOME",
    settings.DATA_DIR_VARIABLE,
    settings.STORAGE_VARIABLE,
    settings.TRACKING_URI_VARIABLE,  # MLflow itself sets it when it is given a tracking store
    settings.MLFLOW_URL_VARIABLE,
    settings.DAGSTER_URL_VARIABLE,
    settings.TIME_ZONE_VARIABLE,
    settings.TRAIN_DAYS_VARIABLE,
    settings.WEBHOOK_VARIABLE,
    settings.MAIL_TO_VARIABLE,
    settings.MAIL_FROM_VARIABLE,
    settings.MAIL_PASSWORD_VARIABLE,
    settings.SMTP_HOST_VARIABLE,
    *settings.TRACKING_ENVIRONMENT,
)


def forget_settings(environment: pytest.MonkeyPatch) -> None:
    """Unset every variable that the pipeline reads, until ``environment`` is undone."""
    for variable in VARIABLES:
        environment.setenv(variable, "")  # so that undoing removes what the code under test has set
        environment.delenv(variable)
