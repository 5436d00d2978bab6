"""Loader and network: whole epochs, a sample spread over a bundle, and the figures made of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import loader, measure
from benchmarks.measure import Run
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.settings import TrainingSettings


def test_the_loader_gives_batches_of_the_whole_epoch(grown: tuple[Path, dict[str, Any]]) -> None:
    large = grown[0] / "large"
    train = open_bundle(large / "05_bundles", "train").sessions

    assert loader.deliver(large, large).sessions == train > 100
    assert loader.deliver(large, large, batches=0).sessions == 0


def test_a_spread_is_drawn_over_the_whole_bundle(grown: tuple[Path, dict[str, Any]]) -> None:
    whole = open_bundle(grown[0] / "large" / "05_bundles", "train")
    spread = loader.Spread(whole, 40)
    ids = spread.gather("session_id", np.arange(40))

    assert spread.sessions == len(spread["last_track"]) == len(spread.not_skipped) == 40
    assert len(set(ids)) == 40
    touched = [part.name for part in whole.parts if np.isin(part.ids.astype(str), ids).any()]
    assert len(touched) > 5
    batch = spread.batch(slice(3, 7))
    assert np.array_equal(batch["last_track"], spread["last_track"][3:7])
    assert np.array_equal(batch["not_skipped"], spread.not_skipped[3:7])
    of_whole = [np.flatnonzero(np.asarray(whole.session_id) == name)[0] for name in ids]
    assert np.array_equal(whole.batch(of_whole)["session_log"], spread["session_log"][:])


def test_loader_over_network_is_of_sessions_per_second(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = {
        ("deliver", "large"): Run(2.0, 90.0, 0, 60_000, peak_anonymous_mib=50.0),
        ("learn", "large"): Run(4.0, 900.0, 0, 10_000, peak_anonymous_mib=800.0),
        ("train_spread", "small"): Run(1.0, 1000.0, 0, 70_000, peak_anonymous_mib=800.0),
        ("train_spread", "large"): Run(1.0, 1500.0, 0, 700_000, peak_anonymous_mib=808.0),
    }
    monkeypatch.setattr(
        measure, "run", lambda target, data, **_options: runs[target.partition(":")[2], data.name]
    )

    result = loader.compare(tmp_path / "small", tmp_path / "large", sessions=10_000, batches=2)

    assert result["headline"] == {
        "loader_over_network": 12.0,
        "loader_sessions_per_second": 30_000,
        "network_sessions_per_second": 2_500,
        "train_rss_mib": 1500.0,
        "train_rss_growth": 1.5,
        "train_anonymous_growth": 1.01,
    }


class Training:
    """Stands in for ``training.train.train``: remembers what it got, and took 9, 2, 4 and 3 seconds."""

    def __call__(self, train: Any, validation: Any, settings: TrainingSettings, _on_epoch: Any) -> Any:
        self.train, self.validation, self.settings = train, validation, settings
        history = [SimpleNamespace(seconds=seconds) for seconds in (9.0, 2.0, 4.0, 3.0)]
        return SimpleNamespace(network=None, history=history)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    stand_in = Training()
    monkeypatch.setattr("skip_pipeline.training.train.train", stand_in)
    return stand_in
