"""How large a world is, and how its sessions are cut: into days, blocks and shards.

Sessions are numbered through the whole world, day after day. Blocks are what is drawn at once, shards what
lies in one file; neither changes what a session holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import TRAINING_SET
from skip_pipeline.world import constants

IntArray = npt.NDArray[np.int64]

MINI_LOG = f"{TRAINING_SET}/log_mini.csv"


def check_size(name: str, value: int, least: int, most: int) -> None:
    """Refuse a size that no world can have.

    Raises:
        RefusedError: outside ``least`` to ``most``.
    """
    if value < least:
        raise RefusedError(f"{name} is {value}, but must be at least {least}; choose {least} or more")
    if value > most:
        raise RefusedError(f"{name} is {value}, but must be at most {most}; choose {most} or fewer")


@dataclass(frozen=True)
class Shard:
    """One file of session logs: its name below the raw folder, and sessions ``first`` to ``last - 1``."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Extent:
    """Sizes of a world.

    Attributes:
        sessions: in all, at least 1.
        days: on which sessions end, in equal parts; at most one day a session.
        shards: log files in all; None for the mini set's single ``log_mini.csv``, or a file a day if there
            are several days.
        first_day: days after the published mini set's date on which the first of them is.

    Raises:
        RefusedError: sizes that no world can have.
    """

    sessions: int
    days: int = 1
    shards: int | None = None
    first_day: int = 0

    def __post_init__(self) -> None:
        check_size("sessions", self.sessions, 1, constants.MOST_SESSIONS)
        for name, value in (("days", self.days), ("shards", self.shards)):
            if value is None:
                continue
            check_size(name, value, 1, constants.MOST_DAYS if name == "days" else constants.MOST_SESSIONS)
            if value > self.sessions:
                raise RefusedError(
                    f"{name} is {value}, but there are only {self.sessions} sessions, and every one of the "
                    f"{name} needs a session; choose {self.sessions} or fewer, or more sessions"
                )

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.sessions // constants.BLOCK_SESSIONS)

    def block_sessions(self, block: int) -> range:
        """Sessions of one block."""
        first = block * constants.BLOCK_SESSIONS
        return range(first, min(first + constants.BLOCK_SESSIONS, self.sessions))

    def blocks_of(self, shard: Shard) -> range:
        """Blocks that hold sessions of a shard."""
        return range(shard.first // constants.BLOCK_SESSIONS, -(-shard.last // constants.BLOCK_SESSIONS))

    def day_starts(self) -> IntArray:
        """First session of each day, int64 (days,)."""
        return np.arange(self.days, dtype=np.int64) * self.sessions // self.days

    def day_of(self, sessions: range) -> IntArray:
        """Day of each session, from 0: int64 (len(sessions),)."""
        numbers = np.arange(sessions.start, sessions.stop)
        return np.searchsorted(self.day_starts(), numbers, side="right").astype(np.int64) - 1

    def date_of(self, day: int) -> date:
        """Calendar date of a day of the world; the first is the published mini set's, unless it is later."""
        return constants.FIRST_DATE + timedelta(days=self.first_day + day)

    def cut(self) -> list[Shard]:
        """All shards in the order of their sessions, named as the public archives name them.

        A file holds sessions of one day, or of several whole days where there are fewer files than days; it
        bears the date of the first of them, and a number that starts from 0 with each date.

        Raises:
            RefusedError: a shard would have no session.
        """
        if self.shards is None and self.days == 1:
            return [Shard(MINI_LOG, 0, self.sessions)]
        count = self.days if self.shards is None else self.shards
        groups = min(count, self.days)
        first_days = [group * self.days // groups for group in range(groups)]
        starts = [*self.day_starts()[first_days].tolist(), self.sessions]
        shards = []
        for group, day in enumerate(first_days):
            files = (group + 1) * count // groups - group * count // groups
            cuts = np.linspace(starts[group], starts[group + 1], files + 1).astype(int).tolist()
            for number in range(files):
                if cuts[number] == cuts[number + 1]:
                    raise RefusedError(
                        f"{count} shards of {self.sessions} sessions over {self.days} days would leave one "
                        "empty; choose fewer shards or more sessions"
                    )
                name = f"log_{number}_{self.date_of(day):%Y%m%d}_000000000000.csv"
                path = PurePosixPath(TRAINING_SET, name).as_posix()
                shards.append(Shard(path, cuts[number], cuts[number + 1]))
        return shards
