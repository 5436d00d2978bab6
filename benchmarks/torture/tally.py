"""What came of one kind of fault, as a row of a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass, field

HEAD = "| fault | times tried | outcome | what was lost |\n|---|---|---|---|"


@dataclass
class Tally:
    """Counts of one fault.

    Attributes:
        fault: what was done to the input.
        read: times that the input was read, to what an obvious reader finds in it.
        refused: times that the input was refused with a message.
        lost: every other outcome, in words that reproduce it.
    """

    fault: str
    read: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)

    def row(self) -> str:
        """The row; the first loss is shown."""
        outcomes = {"read right": self.read, "refused": self.refused, "otherwise": len(self.lost)}
        outcome = ", ".join(f"{name} {count:,}" for name, count in outcomes.items() if count)
        lost = f"{len(self.lost):,}: {self.lost[0]}" if self.lost else "nothing"
        return f"| {self.fault} | {sum(outcomes.values()):,} | {outcome} | {lost} |"
