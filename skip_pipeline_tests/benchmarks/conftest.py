"""Small raw sets, and what a benchmark has kept of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import data_path, measure
from benchmarks.measure import Run
from skip_pipeline.world.synthesize import synthesize

SESSIONS, TRACKS = 150, 120

Answering = Callable[[Callable[..., float]], None]


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synthesize(folder, sessions=SESSIONS, tracks=TRACKS, seed=3)
    return folder


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    synthesize(folder, sessions=SESSIONS, tracks=TRACKS, seed=3, shards=3)
    return folder


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of what was kept of a small and a large set, and the figures."""
    folder = tmp_path_factory.mktemp("grown")
    sizes = ["--sessions", "200", "--tracks", str(TRACKS), "--shards", "10"]
    assert data_path.main([*sizes, "--keep", str(folder), "--json", str(folder / "figures.json")]) == 0
    return folder, json.loads((folder / "figures.json").read_text())


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Has every measurement answer at once, by a function of the target and its options."""

    def answer(seconds: Callable[..., float]) -> None:
        def measured(target: str, _raw: Path, _folder: Path | None = None, **options: Any) -> Run:
            return Run(seconds(target, **options), peak_rss_mib=1, rows=10, sessions=5, bundle_bytes=50)

        monkeypatch.setattr(measure, "run", measured)

    return answer
