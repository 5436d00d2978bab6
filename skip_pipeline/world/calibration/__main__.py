"""``python -m skip_pipeline.world.calibration DIR``: see ``terminal.py``."""

from skip_pipeline.world.calibration.terminal import app

app()
