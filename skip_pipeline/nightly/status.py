"""The state of a data directory in a few lines: what is served, what was decided last, what is overdue."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from skip_pipeline.nightly.overdue import Overdue, shown
from skip_pipeline.nightly.promotion_record import KINDS_IN_WORDS


@dataclass(frozen=True)
class Decision:
    """A decision on the champion, as it was recorded."""

    decided_at: datetime
    run_id: str
    decision: str  # "promoted" or "refused"
    challenger: str  # version that was judged
    champion: str  # version that served then; empty if none
    summary: str
    alarms: str  # "none", or one a line


@dataclass(frozen=True)
class Served:
    """The version that is served."""

    version: str
    kind: str  # see ``promotion_record.KIND``; empty if unknown
    data_source: str  # empty if unknown
    since: datetime | None  # None: the alias was moved by hand, or there is no record of the decision


@dataclass(frozen=True)
class LastNight:
    """The last run of the night."""

    run_id: str
    started_at: datetime
    status: str  # "succeeded", "failed" or "under way"


@dataclass(frozen=True)
class Status:
    """Everything that is known of a data directory; times have a time zone."""

    data_directory: str
    data: str  # a few words, such as "synthetic data"; empty for the public data
    served: Served | None
    registry_problem: str  # empty if the registry answers and has a champion
    decision: Decision | None
    night: LastNight | None
    overdue: tuple[Overdue, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; times as ISO 8601."""
        return {name: _json(value) for name, value in asdict(self).items()}


def served_since(version: str, decisions: Sequence[Decision]) -> datetime | None:
    """When a version became the champion that it is now; None if no decision records that.

    Args:
        version: the champion now.
        decisions: the last decisions, the newest first.

    >>> made = [Decision(datetime(2018, 7, day), "", "", "", champion, "", "")
    ...         for day, champion in ((18, "2"), (17, "2"), (16, "1"))]
    >>> served_since("2", made), served_since("1", made)
    (datetime.datetime(2018, 7, 17, 0, 0), None)
    """
    since = None
    for decision in decisions:
        if decision.champion != version:
            break
        since = decision.decided_at
    return since


def lines(status: Status) -> list[str]:
    """The status for people."""
    data = f" ({status.data})" if status.data else ""
    return [
        f"Data:     {status.data_directory}{data}",
        f"Served:   {_served(status)}",
        f"Decision: {_decision(status.decision)}",
        f"Night:    {_night(status.night)}",
        *_overdue(status.overdue),
    ]


def _served(status: Status) -> str:
    served = status.served
    if served is None:
        return f"unknown, or no version. {status.registry_problem}"
    since = f"since {shown(served.since)}" if served.since else "set by hand or by a rollback"
    source = f", trained on {served.data_source} data" if served.data_source else ""
    kind = f" ({KINDS_IN_WORDS.get(served.kind, served.kind)}{source})" if served.kind else ""
    return f"version {served.version}{kind}, {since}"


def _decision(decision: Decision | None) -> str:
    if decision is None:
        return "none yet"
    judged = f"version {decision.challenger}, {shown(decision.decided_at)}"
    alarms = "" if decision.alarms == "none" else f". Alarms: {'; '.join(decision.alarms.splitlines())}"
    return f"{judged}. {decision.summary}{alarms}"


def _night(night: LastNight | None) -> str:
    if night is None:
        return "the schedule has started no run yet; `skip-pipeline ui` runs the schedule"
    return f"{night.status}, run {night.run_id}, started {shown(night.started_at)}"


def _overdue(overdue: Sequence[Overdue]) -> list[str]:
    if not overdue:
        return ["Overdue:  nothing"]
    return ["Overdue:", *(f"  ✗ {late.what}. {late.remedy}" for late in overdue)]


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_json(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime) else value
