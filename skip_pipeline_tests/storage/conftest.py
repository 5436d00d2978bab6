"""Folders of both kinds: on this machine, and in an object store (fsspec's own, in this process's memory)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skip_pipeline.locations import file_system, location
from skip_pipeline.storage import lock


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here, and waiting takes seconds."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Path]:
    """An empty place in an object store."""
    place = location(f"memory://{tmp_path.name}")
    yield place
    file_system(place).store.clear()
    file_system(place).pseudo_dirs[:] = [""]


@pytest.fixture(params=["this machine", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty folder to publish to."""
    return tmp_path if request.param == "this machine" else request.getfixturevalue("bucket") / "stage"


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a lock."""
    monkeypatch.setattr(lock, "_LOCK_SECONDS", 0.05)
