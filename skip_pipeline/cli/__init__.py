"""Every command of `skip-pipeline`; ``main`` is the entry point."""
