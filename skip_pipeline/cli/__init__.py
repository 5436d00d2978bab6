"""Every command of `skip-pipeline`; ``main`` is the entry point."""

from typing import Final

from skip_pipeline.environment import settle

DROPPED: Final = settle()  # before any module of this package imports a library
