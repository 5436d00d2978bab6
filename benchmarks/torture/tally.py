"""The table of faults that every module of this folder prints, and what came of one kind of fault."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

HEAD: Final = (
    "| fault | times tried | outcome | what was lost | time until whole again | seed |\n"
    "|---|---|---|---|---|---|"
)
NOTHING: Final = "nothing"  # was lost

READ: Final = "read right"
REFUSED: Final = "refused"  # with a message that names the remedy
OLD: Final = "old and whole"
NEW: Final = "new and whole"


@dataclass
class Tally:
    """Counts of one fault.

    Attributes:
        fault: what was done.
        seed: of what was drawn at random; None if nothing was.
        outcomes: times of each outcome that is as it has to be, by its name.
        seconds: of each next run that completed; empty where the fault leaves nothing to be made whole.
        lost: every other outcome, in words that reproduce it.
    """

    fault: str
    seed: int | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """How often the fault was tried."""
        return sum(self.outcomes.values()) + len(self.lost)

    def count(self, outcome: str, times: int = 1) -> None:
        """Count an outcome that is as it has to be."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + times

    def row(self) -> str:
        """The row; the first loss is shown.

        >>> Tally("a file cut short", 7, {"refused": 3}, [0.5, 1.25]).row()
        '| a file cut short | 3 | refused 3 | nothing | 0.5 to 1.2 s | 7 |'
        """
        counts = self.outcomes | {"otherwise": len(self.lost)}
        outcome = ", ".join(f"{name} {times:,}" for name, times in counts.items() if times)
        lost = f"{len(self.lost):,}: {self.lost[0]}" if self.lost else NOTHING
        again = f"{min(self.seconds):.1f} to {max(self.seconds):.1f} s" if self.seconds else "at once"
        seed = "none" if self.seed is None else self.seed
        cells = self.fault, f"{self.tried:,}", outcome, lost.replace("|", "/").replace("\n", " "), again, seed
        return f"| {' | '.join(map(str, cells))} |"


def report(tallies: Iterable[Tally]) -> int:
    """Print the table, each row as it comes; the exit status is 1 if anything was lost."""
    sys.stdout.write(f"{HEAD}\n")
    lost = 0
    for tally in tallies:
        lost += len(tally.lost)
        sys.stdout.write(f"{tally.row()}\n")
        sys.stdout.flush()
    return 1 if lost else 0
