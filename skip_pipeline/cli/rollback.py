"""The command ``rollback``: make the previous champion the champion again."""

from __future__ import annotations

import typer

from skip_pipeline import settings
from skip_pipeline.cli.options import OUT, DataDir, guarded, use
from skip_pipeline.errors import MissingInputError


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(rollback)


def rollback(data_dir: DataDir = None) -> None:
    """Let the previous champion serve again; a second rollback undoes the first."""
    layout = use(data_dir)
    withdrawn, serving = guarded(lambda: _roll_back(layout))
    OUT.print(
        f"{settings.MODEL_NAME}: version {serving} is the champion again"
        + (f"; version {withdrawn} is withdrawn, and is now previous_champion" if withdrawn else "")
    )


def _roll_back(layout: settings.DataLayout) -> tuple[str | None, str]:
    from skip_pipeline.definitions import mlflow_tracker
    from skip_pipeline.nightly.champion import roll_back

    tracker = mlflow_tracker(layout)
    if tracker.is_embedded and not tracker.database.is_file():
        raise MissingInputError(
            f"{layout.mlflow} holds no record of any model; expected a registered {settings.MODEL_NAME}. "
            "Name another data directory with --data-dir"
        )
    return roll_back(tracker.registry())
