"""Delivering small session logs and track features, and reading them back."""

import datetime as dt

import pytest

from skip_pipeline.raw.session_log import load_session_log
from skip_pipeline.raw.track_features import read_track_features
from skip_pipeline_tests.builders import deliver


@pytest.fixture
def today():
    return dt.date(2026, 3, 1)


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "01_raw"


@pytest.fixture
def log_path(raw):
    return raw / "training_set" / "log_mini.csv"


@pytest.fixture
def load(log_path, today):
    """Deliver rows (or bytes) as the only session log, and load it."""

    def load(content):
        deliver(log_path, content)
        return load_session_log(log_path, among=[log_path], today=today)

    return load


@pytest.fixture
def read_tracks(raw):
    """Deliver rows as track feature files a.csv, b.csv, … and read them."""

    def read_tracks(*files):
        paths = [deliver(raw / f"{name}.csv", rows) for name, rows in zip("abc", files, strict=False)]
        return read_track_features(paths)

    return read_tracks
