"""What the terminal shows during a run: a line per finished asset, and the current epoch of training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from skip_pipeline.training.history import EpochReport

_log = logging.getLogger("skip_pipeline")


class RunProgress(logging.Handler):
    """A progress bar over the selected assets; on a plain stream, only the lines of finished assets.

    Epochs arrive as log records of ``training.train``.
    """

    def __init__(self, console: Console, assets: Sequence[str]) -> None:
        super().__init__(logging.INFO)
        self._console = console
        self._to_do = set(assets)
        self._warned: set[str] = set()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f} of {task.total:.0f} assets"),
            TimeElapsedColumn(),
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
        self._bar.update(self._task, description=step, detail="")

    def finished(self, asset: str, facts: str) -> None:
        """An asset is materialized."""
        self.ended(asset)
        self._console.print(Text.assemble(("✓ ", "green"), f"{asset:<20}", facts))

    def ended(self, step: str) -> None:
        """A step has succeeded; its asset is done, even if there was nothing to make."""
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
