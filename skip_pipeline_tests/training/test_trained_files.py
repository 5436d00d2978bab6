"""What training writes beside the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import TrackMemory, read_memory
from skip_pipeline.settings import PRESETS
from skip_pipeline.training import trained_files
from skip_pipeline_tests.stages.shard_builders import TRACKS, shard

pytestmark = pytest.mark.slow  # TensorFlow is imported

GROUPS = np.column_stack([np.arange(40) // 10, np.arange(40) // 5]).astype(np.int32)


class StoppedError(Exception):
    """Raised in place of a training."""


@pytest.mark.parametrize("groups", [GROUPS, None], ids=["own listening", "no groups"])
def test_the_memory_of_tracks_knows_the_groups_of_own_listening(
    groups: np.ndarray | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(trained_files, "train", stop)
    sessions = shard([20] * 60, [schema.SPLITS[i % 4] for i in range(60)])
    bundles = {split: Bundle(TRACKS, [part], groups) for split, part in sessions.parts().items()}
    settings = dataclasses.replace(PRESETS["fast"], max_epochs=1)
    with pytest.raises(StoppedError):
        trained_files.train_and_export(bundles, settings, print, tmp_path)
    expected = TrackMemory.fit(bundles["train"], 40, groups)
    np.testing.assert_array_equal(read_memory(tmp_path.joinpath, 40).values, expected.values)
    without = TrackMemory.fit(bundles["train"], 40)
    assert np.array_equal(expected.values, without.values) == (groups is None)
