"""Small raw sets, and what a benchmark has kept of one."""

from __future__ import annotations

import json
import pkgutil
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
    """The folder of what was kept of a small and a large set, and the figures; all made in this process."""
    folder = tmp_path_factory.mktemp("grown")
    raw = tmp_path_factory.mktemp("ten_shards")
    synthesize(raw, sessions=200, tracks=TRACKS, seed=3, shards=10)
    options = ["--raw", str(raw), "--shards", "10", "--keep", str(folder)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measure, "run", _run_here)
        assert data_path.main([*options, "--json", str(folder / "figures.json")]) == 0
    return folder, json.loads((folder / "figures.json").read_text())


def _run_here(target: str, raw: Path, folder: Path, **_options: Any) -> Run:
    made = pkgutil.resolve_name(target)(raw, folder)
    return Run(made.seconds, 100.0, made.rows, made.sessions, made.table_bytes, made.bundle_bytes)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Has every measurement answer at once, by a function of the target and its options."""

    def answer(seconds: Callable[..., float]) -> None:
        def measured(target: str, _raw: Path, _folder: Path | None = None, **options: Any) -> Run:
            return Run(seconds(target, **options), peak_rss_mib=1, rows=10, sessions=5, bundle_bytes=50)

        monkeypatch.setattr(measure, "run", measured)

    return answer
