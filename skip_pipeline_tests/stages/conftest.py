"""The fixtures of raw files, for the findings about them."""

from skip_pipeline_tests.raw.conftest import load, log_path, raw, read_tracks, today

__all__ = ["load", "log_path", "raw", "read_tracks", "today"]
