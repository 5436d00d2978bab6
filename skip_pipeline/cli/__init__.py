"""Every command of `skip-pipeline`; ``main`` is the entry point."""

from skip_pipeline.environment import settle

settle()  # before any module of this package imports a library
