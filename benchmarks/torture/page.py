"""The page ``docs/reliability.md``: the rows that every module of this folder prints, in one table.

python -m benchmarks.torture.page docs/reliability.md
"""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.torture.tally import HEAD

COMMANDS: Final = (
    "benchmarks.torture.kills --kills 200",
    "benchmarks.torture.kills --kills 100 --s3",
    "benchmarks.torture.input",
)
"""Modules and their arguments, in the order of the page."""

_TEXT: Final = """# Reliability

Faults tried for real, how often, and what was lost. `make torture` made this page on {date} ({machine}); a
short form of each runs in `make test`. All data is synthetic.

{head}
{rows}

* **SIGKILL**: the process of a run is killed at a random moment of the named asset. *Old* or *new and whole*:
  the generation that readers find after the kill, every file as in its manifest. *Time until whole again*: of
  the next run, which completes with the results of an undisturbed run and closes what the killed run left
  open in Dagster and MLflow. What the killed run had not published is made again.
* **Input**: *read right* is what a slow, obvious reader finds in the same bytes; *refused*: with a message
  that names file, column and row.

One command makes part of the table: {commands}.
"""


def rows_in(output: str) -> list[str]:
    r"""Rows of Markdown tables in a module's output, without heads.

    >>> rows_in("| fault | times tried |\n|---|---|\n| a mutated file | 3 |\ndone\n")
    ['| a mutated file | 3 |']
    """
    lines = [line for line in output.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| fault |")]


def page(rows: Iterable[str]) -> str:
    """The page's text with rows of the table."""
    return _TEXT.format(
        date=f"{datetime.now(UTC):%-d %B %Y}",
        machine=f"{platform.system()}, Python {platform.python_version()}",
        head=HEAD,
        rows="\n".join(rows),
        commands=", ".join(f"`python -m {command}`" for command in COMMANDS),
    )


def main(arguments: Sequence[str]) -> int:
    """Run every module and write the page; 1 if a module says that anything was lost."""
    (target,) = arguments
    rows, lost = [], 0
    for command in COMMANDS:
        sys.stderr.write(f"python -m {command}\n")
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            [sys.executable, "-m", *shlex.split(command)], stdout=subprocess.PIPE, text=True, check=False
        )
        rows += rows_in(done.stdout)
        lost += done.returncode != 0
    Path(target).write_text(page(rows), encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
