"""``python -m benchmarks.world_figures DIR``: see ``terminal.py``."""

from benchmarks.world_figures.terminal import app

app()
