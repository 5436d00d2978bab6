"""Sizes of a world, and the division of its sessions into days, blocks and shards.

Sessions are numbered from 0 through all days. A block is drawn at once, a shard is one file; neither changes
the content of a session.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np

from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import TRAINING_SET
from skip_pipeline.world import constants
from skip_pipeline.world.arrays import IntArray

MINI_LOG = f"{TRAINING_SET}/log_mini.csv"


def check_size(name: str, value: int, least: int, most: int) -> None:
    """Raise RefusedError for a size outside ``least`` to ``most``."""
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

    Raises:
        RefusedError: a size is out of range, or there are more days or shards than sessions.
    """

    sessions: int
    days: int = 1  # with equal numbers of sessions
    shards: int | None = None  # log files in all; None: log_mini.csv, or one file a day if there are several
    first_day: int = 0  # date of day 0, in days after the published mini set's date

    def __post_init__(self) -> None:
        check_size("sessions", self.sessions, 1, constants.MOST_SESSIONS)
        files = 1 if self.shards is None else self.shards
        check_size("days", self.days, 1, constants.MOST_DAYS)
        check_size("shards", files, 1, constants.MOST_SESSIONS)
        for name, value in (("days", self.days), ("shards", files)):
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
        """First session of each day."""
        return np.arange(self.days, dtype=np.int64) * self.sessions // self.days

    def day_of(self, sessions: range) -> IntArray:
        """Day of each session, from 0: (len(sessions),)."""
        return np.searchsorted(self.day_starts(), np.arange(sessions.start, sessions.stop), side="right") - 1

    def date_of(self, day: int) -> date:
        """Calendar date of a day of the world."""
        return constants.FIRST_DATE + timedelta(days=self.first_day + day)

    def cut(self) -> list[Shard]:
        """All shards in the order of their sessions, named as in the public archives.

        A file holds sessions of one day, or several whole days if there are fewer files than days. Its name
        has the first day's date and a number that starts from 0 on each date.

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
            for number, (start, stop) in enumerate(pairwise(cuts)):
                if start == stop:
                    raise RefusedError(
                        f"{count} shards of {self.sessions} sessions over {self.days} days would leave one "
                        "empty; choose fewer shards or more sessions"
                    )
                name = f"{TRAINING_SET}/log_{number}_{self.date_of(day):%Y%m%d}_000000000000.csv"
                shards.append(Shard(name, start, stop))
        return shards
