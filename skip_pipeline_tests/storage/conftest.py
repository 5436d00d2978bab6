"""Folders of both kinds: on this machine, and in an object store (fsspec's own, in this process's memory)."""

import os

import pytest

from skip_pipeline.locations import file_system, location
from skip_pipeline.storage import publication


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """No power is cut here, and no lock is about to be released, so waiting is of no use."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(publication, "_LOCK_SECONDS", 0.05)


@pytest.fixture
def bucket(tmp_path):
    """An empty place in an object store."""
    place = location(f"memory://{tmp_path.name}")
    yield place
    file_system(place).store.clear()
    file_system(place).pseudo_dirs[:] = [""]


@pytest.fixture(params=["this machine", "object store"])
def folder(request, tmp_path):
    """An empty folder to publish to."""
    return tmp_path if request.param == "this machine" else request.getfixturevalue("bucket") / "stage"
