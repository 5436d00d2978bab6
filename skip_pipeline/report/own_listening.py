"""What own listening looks like: plays and skips by time, by what came before, by artist and acquaintance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.raw.diagnosis import listed
from skip_pipeline.storage import read_table

_REASON: Final = "hist_user_behavior_reason_start"
_SHUFFLE: Final = "hist_user_behavior_is_shuffle"
_READ: Final = (
    schema.SESSION_ID, schema.POSITION, schema.LOG_TRACK_ID, "skip_3", schema.LABEL, "hour_of_day",
    schema.DATE, _REASON, _SHUFFLE,
)  # fmt: skip
_SESSION_ID: Final = r"^(?P<person>[0-9]+)_(?P<start>[0-9]{8}T[0-9]{6})_(?P<window>[0-9]+)$"

FEW_PLAYS: Final = 100
"""A share of fewer plays is marked: its standard error is up to 5 points."""
ARTISTS_SHOWN: Final = 20
_MOST_MONTHS: Final = 36  # of a span that is shown by month; a longer one is shown by quarter

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_REASONS: Final[Mapping[str, str]] = {
    "trackdone": "the track before had ended",
    "fwdbtn": "the next button",
    "clickrow": "chosen from a list",
    "backbtn": "the back button",
    "playbtn": "the play button",
    "appload": "the app was opened",
    "remote": "another device",
}
"""Starts that have a row of their own; all others share one."""
_OTHER: Final = "another reason, or none given"
_RUNS: Final[Mapping[str, int]] = {
    "no skip": 0, "1 skip": 1, "2 skips": 2, "3 or 4 skips": 4, "5 to 9 skips": 9, "10 or more skips": 10**9,
}  # fmt: skip
_NTH: Final[Mapping[str, int]] = {
    "first play": 1, "2nd to 9th play": 9, "10th to 99th play": 99, "100th play or later": 10**9,
}  # fmt: skip
"""The last number of each group of plays of one track by one person."""


@dataclass(frozen=True)
class Row:
    """Some of the plays."""

    label: str
    plays: int
    skipped: int

    @property
    def share(self) -> float:
        """Share skipped; 0 of no play."""
        return self.skipped / max(self.plays, 1)

    @property
    def few(self) -> bool:
        """Whether they are too few to judge by."""
        return self.plays < FEW_PLAYS


Rows = tuple[Row, ...]


@dataclass(frozen=True)
class Listening:
    """Everything that is counted; a row's label is what its plays have in common."""

    all: Row
    cut_off: int  # plays that were neither played to their end nor skipped
    periods: Rows  # months or quarters without a gap, the first one first
    by_quarter: bool
    hours: Rows  # 24
    weekdays: Rows  # 7, Monday first
    week: tuple[Rows, ...]  # by weekday, then by hour
    before: Rows  # by the outcome of the track before
    runs: Rows  # by skips in a row before the track; without the first track of a sitting
    longest_skipped: int  # tracks skipped in a row within a sitting
    longest_played: int
    starts: Rows
    shuffle: Rows
    artists: Rows  # the most played first; labels are numbers
    acquaintance: Rows
    people: Rows  # labels are numbers


def sittings(ids: pa.StringArray | pa.ChunkedArray) -> pa.StructArray:
    """The parts of session ids: a struct of ``person``, ``start`` (UTC, as ``20240131T235959``), ``window``.

    Raises:
        ContractError: an id is not one that ``import-history`` gives.
    """
    ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    parts = pc.extract_regex(ids, _SESSION_ID)
    if parts.null_count:
        strange = pc.unique(ids.filter(parts.is_null())).to_pylist()
        raise ContractError(
            f"session ids {listed(strange)} are not PERSON_YYYYMMDDTHHMMSS_WINDOW, as expected of own "
            "listening; import the history again, and materialize session_logs and all after it"
        )
    return parts


def read_plays(find: Callable[[str], Path], shards: Sequence[str]) -> pa.Table:
    """The columns needed of all plays, in order of person, time and position.

    Args:
        find: gives the path of a shard of the merged table (``Manifest.path``).
        shards: names of their files.
    """
    parts = [read_table(find(name), schema.MERGED, columns=list(_READ)) for name in shards]
    return pa.concat_tables(parts).sort_by([(schema.SESSION_ID, "ascending"), (schema.POSITION, "ascending")])


def count_listening(plays: pa.Table, artists: Mapping[str, int]) -> Listening:
    """Count plays and skips.

    Args:
        plays: of ``read_plays``.
        artists: number of the artist by track id; a track without one is in no row of the artists.
    """
    found = _frame(plays)
    skipped, first = found["skipped"].to_numpy(), found["first"].to_numpy()
    run, run_played = _runs(skipped, first), _runs(found["played"].to_numpy(), first)
    before = np.roll(run, 1)
    day = pd.to_datetime(plays[schema.DATE].to_pandas())
    months = len(pd.period_range(day.min(), day.max(), freq="M"))
    by_quarter = months > _MOST_MONTHS
    period = day.dt.to_period("Q" if by_quarter else "M")
    every_period = pd.period_range(period.min(), period.max())
    weekday, hour = day.dt.day_of_week.to_numpy(), found["hour"].to_numpy()
    of_week = _counted(found, weekday * 24 + hour, [f"{d} {h:02d}:00" for d in WEEKDAYS for h in range(24)])
    was_skipped, was_played = (np.roll(found[name].to_numpy(), 1) for name in ("skipped", "played"))
    outcome = np.select([first, was_skipped, was_played], [0, 2, 1], 3)
    track_by = [found["person"], found["track"]]
    nth = found.groupby(track_by, sort=False).cumcount().to_numpy() + 1
    reason = plays[_REASON].to_pandas().map(_REASONS).fillna(_OTHER)
    starts = (*_REASONS.values(), _OTHER)
    people = sorted(set(found["person"]), key=int)
    return Listening(
        all=Row("all", len(found), int(skipped.sum())),
        cut_off=int((~found["skipped"] & ~found["played"]).sum()),
        periods=_counted(
            found, every_period.get_indexer(pd.PeriodIndex(period)), [_label(each) for each in every_period]
        ),
        by_quarter=by_quarter,
        hours=_counted(found, hour, [f"{h:02d}:00" for h in range(24)]),
        weekdays=_counted(found, weekday, WEEKDAYS),
        week=tuple(of_week[day * 24 : (day + 1) * 24] for day in range(7)),
        before=_filled(
            _counted(
                found,
                outcome,
                (
                    "nothing: the first track of a sitting",
                    "a track played to its end",
                    "a skip",
                    "a track cut off",
                ),
            )
        ),
        runs=_filled(_counted(found[~first], _group(before[~first], _RUNS), tuple(_RUNS))),
        longest_skipped=int(run.max(initial=0)),
        longest_played=int(run_played.max(initial=0)),
        starts=_most_played(_counted(found, pd.Categorical(reason, starts).codes, starts)),
        shuffle=_filled(
            _counted(found, found["shuffle"].to_numpy().astype(int), ("shuffle off", "shuffle on"))
        ),
        artists=_artists(found, artists),
        acquaintance=_filled(_counted(found, _group(nth, _NTH), tuple(_NTH))),
        people=_counted(found, pd.Categorical(found["person"], people).codes, people),
    )


def _frame(plays: pa.Table) -> pd.DataFrame:
    """Each play's person, track, hour, shuffle and outcome, and whether it is the first of its sitting."""
    parts = sittings(plays[schema.SESSION_ID])
    person, start = (parts.field(i).to_pandas() for i in (0, 1))
    return pd.DataFrame(
        {
            "person": person,
            "first": (person != person.shift()) | (start != start.shift()),
            "track": plays[schema.LOG_TRACK_ID].to_pandas(),
            "skipped": plays["skip_3"].to_pandas(),
            "played": plays[schema.LABEL].to_pandas(),
            "hour": plays["hour_of_day"].to_pandas(),
            "shuffle": plays[_SHUFFLE].to_pandas(),
        }
    )


def _runs(happened: np.ndarray, first: np.ndarray) -> np.ndarray:
    """How many times in a row something has happened up to each play of its sitting: int64 (n,)."""
    place = np.arange(len(happened))
    none_yet = np.where(first, place - 1, -1)
    return np.asarray(place - np.maximum.accumulate(np.where(happened, none_yet, place)))


def _group(numbers: np.ndarray, last: Mapping[str, int]) -> np.ndarray:
    """The group of each number, by the last number of each group."""
    return np.searchsorted(list(last.values()), numbers)


def _counted(found: pd.DataFrame, group: np.ndarray, labels: Sequence[str]) -> Rows:
    """Plays and skips of each group: a row per label, also of those without a play."""
    plays = np.bincount(group, minlength=len(labels))
    skipped = np.bincount(group, found["skipped"], len(labels))
    return tuple(Row(label, int(n), int(s)) for label, n, s in zip(labels, plays, skipped, strict=True))


def _filled(rows: Rows) -> Rows:
    return tuple(row for row in rows if row.plays)


def _most_played(rows: Rows) -> Rows:
    return tuple(sorted(_filled(rows), key=lambda row: -row.plays))


def _artists(found: pd.DataFrame, artists: Mapping[str, int]) -> Rows:
    numbers = found["track"].map(artists)
    known = numbers.notna().to_numpy()
    codes, labels = pd.factorize(numbers[known].astype(np.int64))
    rows = _counted(found[known], codes, [str(label) for label in labels])
    return _most_played(rows)[:ARTISTS_SHOWN]


def _label(period: pd.Period) -> str:
    return (
        f"{period.strftime('%B %Y')}"
        if period.freqstr.startswith("M")
        else f"Q{period.quarter} {period.year}"
    )
