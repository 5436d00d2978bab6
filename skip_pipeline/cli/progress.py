"""What the terminal shows during a run: a line per finished asset, the time left, the epoch of training."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from skip_pipeline.training.history import EpochReport

CHECKS: Final = "_checks"  # ends the name of a step that checks an asset

_log = logging.getLogger("skip_pipeline")


class RunProgress(logging.Handler):
    """A progress bar over the selected assets; on a plain stream, only the lines of finished assets.

    Epochs arrive as log records of ``training.train``.

    Args:
        console: where to show it.
        assets: that are to be made.
        expected: seconds of each step in earlier runs; without a step's, no time left is told before its end.
    """

    def __init__(
        self, console: Console, assets: Sequence[str], expected: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(logging.INFO)
        self._console = console
        self._to_do = set(assets)
        self._expected = {
            step: seconds
            for step, seconds in (expected or {}).items()
            if step.removesuffix(CHECKS) in self._to_do
        }
        self._known = set(self._expected) >= self._to_do
        self._running, self._began = "", 0.0
        self._warned: set[str] = set()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f} of {task.total:.0f} assets"),
            TimeElapsedColumn(),
            _TimeLeft(self),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=len(assets), detail="")

    def __enter__(self) -> Self:
        """Show the bar and receive the training log."""
        self._bar.start()
        _log.addHandler(self)
        self._level = _log.level
        _log.setLevel(logging.INFO)
        return self

    def __exit__(self, *_failure: object) -> None:
        """Remove the bar."""
        _log.removeHandler(self)
        _log.setLevel(self._level)
        self._bar.stop()

    def started(self, step: str) -> None:
        """A step begins."""
        self._running, self._began = step, time.monotonic()
        self._bar.update(self._task, description=step, detail="")

    def finished(self, asset: str, facts: str) -> None:
        """An asset is materialized."""
        self.ended(asset)
        left = f"   {self.time_left()}" if self.time_left() else ""
        self._console.print(Text.assemble(("✓ ", "green"), f"{asset:<20}", facts, left))

    def time_left(self) -> str:
        """Time left in words, by earlier runs; empty if an asset has no earlier time, or nothing is left."""
        left = seconds_left(self._expected, self._running, time.monotonic() - self._began)
        return in_words(left) if self._known and self._to_do and left >= 0.5 else ""

    def ended(self, step: str) -> None:
        """A step has succeeded; its asset is done, even if there was nothing to make."""
        self._expected.pop(step, None)
        if step in self._to_do:
            self._to_do.remove(step)
            self._bar.advance(self._task)

    def warned(self, warning: str) -> None:
        """Show a warning once; the run goes on."""
        if warning not in self._warned:
            self._warned.add(warning)
            self._console.print(Text.assemble(("! ", "yellow"), warning))

    def failed(self, step: str) -> None:
        """A step has failed."""
        self._console.print(Text.assemble(("✗ ", "red"), step))

    def emit(self, record: logging.LogRecord) -> None:
        """Show an epoch of training."""
        epoch: EpochReport | None = getattr(record, "epoch_report", None)
        if epoch is not None:
            detail = (
                f"epoch {epoch.epoch} of at most {epoch.max_epochs}, loss {epoch.loss:.4f}, "
                f"validation {epoch.validation_loss:.4f}, at most {epoch.seconds_left_at_most:.0f} s left"
            )
            self._bar.update(self._task, detail=detail)


class _TimeLeft(ProgressColumn):
    """The time left beside the bar."""

    def __init__(self, progress: RunProgress) -> None:
        super().__init__()
        self._progress = progress

    def render(self, task: Task) -> Text:  # noqa: ARG002 - there is one task
        return Text(self._progress.time_left())


def seconds_left(expected: Mapping[str, float], running: str, elapsed: float) -> float:
    """Seconds that steps still take.

    Args:
        expected: seconds of each step that has not ended.
        running: the step that runs.
        elapsed: seconds since it began.

    >>> seconds_left({"a": 2.0, "b": 10.0}, "b", 4.0), seconds_left({"b": 10.0}, "b", 11.0)
    (8.0, 0.0)
    """
    return sum(expected.values()) - min(elapsed, expected.get(running, 0.0))


def in_words(seconds: float) -> str:
    """A time left for people.

    >>> in_words(7.4), in_words(89.6), in_words(300.0)
    ('about 7 s left', 'about 90 s left', 'about 5 min left')
    """
    return f"about {seconds:.0f} s left" if seconds < 120 else f"about {seconds / 60:.0f} min left"
