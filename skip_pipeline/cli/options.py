"""What all commands share: the option --data-dir, the two consoles, and refusals without a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console

from skip_pipeline import settings
from skip_pipeline.errors import SkipPipelineError

OUT: Final = Console(highlight=False, soft_wrap=True)
ERR: Final = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help=f"Data directory; by default ${settings.DATA_DIR_VARIABLE}, or {settings.DEFAULT_DATA_DIR}/.",
        show_default=False,
    ),
]

Result = TypeVar("Result")


def use(data_dir: Path | None) -> settings.DataLayout:
    """Make ``data_dir`` the data directory of this process and its children."""
    if data_dir is not None:
        os.environ[settings.DATA_DIR_VARIABLE] = str(data_dir.resolve())

    from skip_pipeline.definitions import data_layout  # imports Dagster, which some commands do not need

    return guarded(data_layout)


def guarded(command: Callable[[], Result]) -> Result:
    """Call a command; an error of this package becomes one line and exit status 1, without a traceback."""
    try:
        return command()
    except SkipPipelineError as refusal:
        ERR.print(f"error: {refusal}", style="red", markup=False)
        raise typer.Exit(1) from None
