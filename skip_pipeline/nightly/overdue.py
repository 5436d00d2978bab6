"""What is late: stages out of date, a night that was missed, a delivery that did not come.

Everything follows from records, and from times and sizes of files; no data is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from skip_pipeline.settings import EXAMPLES_SHOWN, LOGS_FAIL_AFTER_HOURS, LOGS_WARN_AFTER_HOURS

TICK_GRACE: Final = timedelta(minutes=10)
"""Dagster's daemon looks at the schedule every half a minute, and takes minutes to start."""

_RUN: Final = "Run `skip-pipeline run`"


@dataclass(frozen=True)
class Overdue:
    """Something that is late, and the remedy."""

    what: str
    remedy: str


@dataclass(frozen=True)
class MadeStage:
    """The last result of a stage, by digests."""

    made_at: datetime
    code: str  # version of the code that made the result
    result: str  # digest of its files
    inputs: Mapping[str, str]  # digest of each earlier stage's result that it was made from, by asset


def out_of_date(
    made: Mapping[str, MadeStage], code: Mapping[str, str], *, optional: Sequence[str] = ()
) -> dict[str, str]:
    """Why the result of a stage is not the one that a run would make now, by asset.

    A stage after one that is out of date is named only if it has a reason of its own.

    Args:
        made: what is there, by asset.
        code: versions of the code now, of every asset, in the order of the stages.
        optional: assets that are not missed.

    >>> then = datetime(2018, 7, 16)
    >>> made = {"a": MadeStage(then, "1", "new", {}), "b": MadeStage(then, "1", "x", {"a": "old"})}
    >>> out_of_date(made, {"a": "1", "b": "2", "c": "1"})
    {'b': 'its code has changed and a has changed', 'c': 'it was never made'}
    """
    found = {}
    for asset, version in code.items():
        stage = made.get(asset)
        if stage is None:
            reasons = [] if asset in optional else ["it was never made"]
        else:
            reasons = ["its code has changed"] if stage.code != version else []
            changed = (
                name for name, then in stage.inputs.items() if name in made and made[name].result != then
            )
            reasons += [f"{name} has changed" for name in sorted(changed)]
        if reasons:
            found[asset] = " and ".join(reasons)
    return found


def stages_overdue(reasons: Mapping[str, str], delivered: Sequence[str]) -> Iterator[Overdue]:
    """Stages that are out of date, and files that were delivered since the session logs were last read.

    Args:
        reasons: of ``out_of_date``.
        delivered: names of those files.
    """
    if delivered:
        more = len(delivered) - EXAMPLES_SHOWN
        names = ", ".join(delivered[:EXAMPLES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        yield Overdue(f"raw files were delivered or changed since the last run: {names}", _RUN)
    for reason in dict.fromkeys(reasons.values()):
        assets = ", ".join(asset for asset, own in reasons.items() if own == reason)
        yield Overdue(f"out of date, because {reason}: {assets}", _RUN)


@dataclass(frozen=True)
class RawFile:
    """A delivered file as it is now."""

    bytes: int
    written_at: float  # modification time, in seconds since 1970


def deliveries(found: Mapping[str, RawFile], read: Mapping[str, int], when: float) -> list[str]:
    """Names of raw files that are new, changed or gone since they were read, sorted.

    A copy of a file that kept its modification time and its size counts as the same.

    Args:
        found: the files now, by folder and name.
        read: size of each file that was read, by folder and name.
        when: time of that, in seconds since 1970.

    >>> old, new = RawFile(5, 0.0), RawFile(5, 9.0)
    >>> deliveries({"logs/a": old, "logs/b": new, "logs/c": old}, {"logs/a": 5, "logs/d": 5}, 3.0)
    ['logs/b', 'logs/c', 'logs/d (removed)']
    """
    folders = {name.partition("/")[0] for name in read}
    changed = [
        name
        for name, file in found.items()
        if file.written_at > when
        or read.get(name, file.bytes) != file.bytes
        or (name.partition("/")[0] in folders and name not in read)
    ]
    return sorted([*changed, *(f"{name} (removed)" for name in read if name not in found)])


def last_due(now: datetime, at: time) -> datetime:
    """The latest time at or before ``now`` at which a daily schedule was due, in the time zone of ``now``.

    >>> last_due(datetime(2018, 7, 16, 1, 59), time(2)), last_due(datetime(2018, 7, 16, 2), time(2))
    (datetime.datetime(2018, 7, 15, 2, 0), datetime.datetime(2018, 7, 16, 2, 0))
    """
    today = datetime.combine(now.date(), at, now.tzinfo)
    return today if today <= now else datetime.combine(now.date() - timedelta(days=1), at, now.tzinfo)


def daily(cron: str) -> time:
    """The time of day of a cron expression that is due once a day.

    >>> daily("0 2 * * *")
    datetime.time(2, 0)
    """
    minute, hour, *_ = cron.split()
    return time(int(hour), int(minute))


def night_overdue(now: datetime, at: time, last_look: datetime | None, failed: str) -> Iterator[Overdue]:
    """A night at which the schedule did not look whether there is anything to do, and one that failed.

    A data directory whose schedule has never looked has missed nothing: its owner runs it by hand.

    Args:
        now: in the time zone of the schedule.
        at: time of day at which the schedule is due.
        last_look: time for which the schedule looked last; None if it never did.
        failed: id of the run of the last night, if that has failed; else empty.
    """
    due = last_due(now - TICK_GRACE, at)
    if last_look is not None and last_look < due:
        looked = shown(last_look.astimezone(now.tzinfo))
        yield Overdue(
            f"the night of {shown(due)} was missed: the schedule looked last for {looked}",
            "Start `skip-pipeline ui` and let it run; the next night makes up for all that were missed",
        )
    if failed:
        yield Overdue(
            f"the last night failed, run {failed}",
            "Read its error in Dagster (`skip-pipeline ui`), mend the cause and run `skip-pipeline run`",
        )


def delivery_overdue(now: datetime, read_at: datetime | None) -> Iterator[Overdue]:
    """A delivery of session logs that did not come, by the limits that Dagster shows, too."""
    if read_at is None:
        return
    hours = (now - read_at).total_seconds() / 3600
    if hours > LOGS_WARN_AFTER_HOURS:
        worse = (
            f", and above the last limit of {LOGS_FAIL_AFTER_HOURS}" if hours > LOGS_FAIL_AFTER_HOURS else ""
        )
        yield Overdue(
            f"the last new session logs were read {hours:.0f} hours ago; expected at most "
            f"{LOGS_WARN_AFTER_HOURS}{worse}",
            "Deliver the logs of the day to 01_raw/training_set, or find out why they did not come",
        )


def shown(when: datetime) -> str:
    """A time for people.

    >>> shown(datetime(2018, 7, 6, 2))
    '6 July 2018, 02:00'
    """
    zone = f" {name}" if (name := when.tzname()) else ""
    return f"{when:%-d %B %Y, %H:%M}{zone}"
