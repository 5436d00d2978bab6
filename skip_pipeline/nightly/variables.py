"""Settings of the nights in the environment: their time zone, and the days that they train on."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import DEFAULT_TIME_ZONE, TIME_ZONE_VARIABLE, TRAIN_DAYS_VARIABLE


def zone_named(name: str) -> str:
    """The time zone of a name; UTC for the empty string.

    >>> zone_named(""), zone_named("Europe/Stockholm")
    ('UTC', 'Europe/Stockholm')

    Raises:
        RefusedError: there is no such time zone.
    """
    try:
        return ZoneInfo(name or DEFAULT_TIME_ZONE).key
    except (ZoneInfoNotFoundError, ValueError):
        raise RefusedError(
            f"${TIME_ZONE_VARIABLE} is {name!r}, which is not a time zone; expected a name like "
            "Europe/Stockholm. Correct or unset it"
        ) from None


def window_config(days: str) -> dict[str, Any]:
    """Run config of a night that trains on so many of the newest days; on all for the empty string.

    >>> window_config(""), window_config("7")["ops"]["baseline_models"]
    ({}, {'config': {'train_days': 7}})

    Raises:
        RefusedError: it is no whole number of at least 1.
    """
    if not days:
        return {}
    if not (days.isascii() and days.isdigit() and int(days) > 0):
        raise RefusedError(
            f"${TRAIN_DAYS_VARIABLE} is {days!r}, expected a whole number of days, at least 1; "
            "correct it, or unset it to train on all days"
        )
    window = {"config": {"train_days": int(days)}}
    return {"ops": {"trained_model": window, "baseline_models": window}}
