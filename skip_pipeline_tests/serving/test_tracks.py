from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.tracks import KnownTracks, sorted_ids
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages.scale import Scaler
from skip_pipeline_tests.builders import TRACKS

IDS = ["a", "ab", "b", "é", "𝄞"]


@pytest.fixture
def known(model: ServedModel) -> KnownTracks:
    return model.tracks


@pytest.fixture
def five(known: KnownTracks) -> KnownTracks:
    return KnownTracks(sorted_ids(pa.chunked_array([IDS])), known.matrix[:5], known.neutral, known.scaler)


def test_ids_are_found_in_the_order_of_their_bytes(five: KnownTracks) -> None:
    assert five.rows_of([*reversed(IDS), "A", "c"]).tolist() == [4, 3, 2, 1, 0, -1, -1]
    assert five.rows_of([]).tolist() == []


@pytest.mark.parametrize("text", ["b\0", "\0", "é" * 40, "ab" * 400, "𝄞x", ""])
def test_a_text_that_resembles_an_id_is_unknown(five: KnownTracks, text: str) -> None:
    assert five.rows_of([text, "b"]).tolist() == [-1, 2]


def test_given_features_are_scaled_as_in_training(known: KnownTracks) -> None:
    scaled, matrix = known.scaled(TRACKS), np.asarray(known.matrix)
    np.testing.assert_array_equal(scaled[:, 1:].view(np.uint32), matrix[:, 1:].view(np.uint32))


def test_given_features_beyond_training_are_clipped(known: KnownTracks) -> None:
    far = TRACKS[0] | {"duration": 1e6, "tempo": -1e6, "mode": "lydian"}
    scaled = dict(zip(schema.TRACK_BRANCH, known.scaled([far])[0], strict=True))
    assert (scaled["duration"], scaled["tempo"]) == (1, 0)
    assert (scaled["mode_major"], scaled["mode_minor"]) == (0, 0)
    assert scaled["track_id_clean"] == known.neutral[0]


def test_the_neutral_track_is_the_mean_of_all_plays_in_training(
    layout: DataLayout, known: KnownTracks
) -> None:
    train = open_bundle(layout.bundles, "train")
    real = np.asarray(train.skip_sequence)[:, :, 0] != schema.SKIP_PADDING
    played = np.concatenate([np.asarray(train.previous_tracks)[real], np.asarray(train.last_track)])
    np.testing.assert_allclose(known.neutral, played.astype(np.float64).mean(axis=0), rtol=1e-6)


def test_a_given_feature_that_training_knew_of_no_track_tells_nothing(known: KnownTracks) -> None:
    tempo = schema.SCALED_FEATURES.index("tempo")
    low, high, fill = known.scaler.low.copy(), known.scaler.high.copy(), known.scaler.fill.copy()
    low[tempo], high[tempo], fill[tempo] = np.nan, np.nan, 0.5
    without = replace(known, scaler=Scaler(low, high, fill))
    given, expected = without.scaled(TRACKS), known.scaled(TRACKS)
    expected[:, schema.TRACK_BRANCH.index("tempo")] = 0.5
    np.testing.assert_array_equal(given, expected)
