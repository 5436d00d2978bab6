"""The page ``docs/reliability.md``: the rows that every module of this folder prints, in one table.

python -m benchmarks.torture.page docs/reliability.md                          # run everything, hours
python -m benchmarks.torture.page docs/reliability.md kills.txt writes.txt     # from saved outputs
"""

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.torture.tally import HEAD, NOTHING

COMMANDS: Final = (
    "benchmarks.torture.kills --kills 200",
    "benchmarks.torture.kills --kills 100 --s3",
    "benchmarks.torture.writes",
    "benchmarks.torture.resources --times 5",
    "benchmarks.torture.nights",
    "benchmarks.torture.input",
    "benchmarks.torture.load",
    "benchmarks.torture.properties",
)
"""Modules and their arguments, in the order of the page."""

_TEXT: Final = """# Reliability

Faults tried for real, how often, and what was lost. This page was made on {date} ({machine}) by `make
torture`, or from outputs of its commands that were saved. Rows are those that the commands printed; a
command that was not run to its end has fewer. All of them take hours; a short form of each runs in `make
test`. All data is synthetic.

{head}
{rows}

* **SIGKILL**: the process of a run is killed at a random moment of the named asset. *Old* or *new and
  whole*: the generation that readers find after the kill, every file as in its manifest. *Time until whole
  again*: of the next run, which completes with the results of an undisturbed run and closes what the killed
  run left open in Dagster and MLflow. What the killed run had not published is made again. *Reading*: the
  generations that a reader has compared with their manifests meanwhile.
* **The n-th change**: a stage runs again and again; each time another change of a file (open, write, sync,
  link, rename, remove, new folder) fails, for every n, in a first publication and in a later one. *Cut
  short*: half of a write gets through, and then the disk is full. *End of the process*: nothing changes
  from there on. *End of the power*: besides, what was not synced is lost, kept in part or overwritten with
  zeros, and changes of names that were not synced happen in any selection; three draws for each n.
* **Resources**: `skip-pipeline run` with a full file system, a read-only one, few file handles or little
  memory (limits drawn at random), or a clock that is set back or leaps. It completes, or ends with a
  message that names the remedy; the next run completes with the results of an undisturbed one.
* **Nights**: night after night is materialized by a process of its own, with data of constant size and
  `skip-pipeline prune` after each. Figures are medians of the first and last fifth of the nights after
  records began to be removed.
* **Input**: *read right* is what a slow, obvious reader finds in the same bytes; *refused*: with a message
  that names file, column and row.
* **Properties**: tests fed with random examples. *Held*: the number of examples for which the property is
  true.

Each row comes from one of these commands:

{commands}
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
        commands="\n".join(f"* `python -m {command}`" for command in COMMANDS),
    )


def main(arguments: Sequence[str]) -> int:
    """Run every module, or read saved outputs, and write the page; 1 if a row says that anything was lost."""
    target, *saved = map(Path, arguments)
    outputs = (path.read_text(encoding="utf-8") for path in saved) if saved else map(output_of, COMMANDS)
    rows = [row for output in outputs for row in rows_in(output)]
    target.write_text(page(rows), encoding="utf-8")
    return 1 if not all(f"| {NOTHING} |" in row for row in rows) else 0


def output_of(command: str) -> str:
    """What a module prints.

    Raises:
        RuntimeError: it printed no row, so it did not run at all.
    """
    sys.stderr.write(f"python -m {command}\n")
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], stdout=subprocess.PIPE, text=True, check=False
    )
    if not rows_in(done.stdout):
        raise RuntimeError(f"python -m {command} ended with {done.returncode} and printed no row")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
