import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import MinMaxScaler

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.stages.encode import feature_range
from skip_pipeline.stages.scale import Scaler, fit_scaler
from skip_pipeline_tests.builders import (
    TEST,
    TRAIN,
    VALIDATION,
    assert_says,
    changed,
    encoded_table,
    refusal,
    replace_column,
    session,
)

FEATURES = list(schema.SCALED_FEATURES)
LATER_TRACKS = [f"t_{i:02}" for i in range(11, 21)]


def fit(encoded, sessions):
    return fit_scaler([feature_range(encoded, sessions)])


def scaled_features(table):
    return np.column_stack([table[name].to_numpy() for name in FEATURES])


@pytest.fixture
def shard():
    """Sessions of every split; validation and test play tracks that training does not know."""
    return encoded_table(
        session(VALIDATION, track_id_clean=LATER_TRACKS),
        session(TRAIN, 12),
        session(TEST, track_id_clean=["t_01"] * 5 + ["t_20"] * 5),
    )


def test_a_feature_goes_from_0_to_1_over_the_training_rows():
    encoded, sessions = encoded_table(session(TRAIN, 10, track_id_clean=["t_01", "t_05"] + ["t_03"] * 8))
    scaled, clipped = fit(encoded, sessions).apply(encoded)
    assert scaled["tempo"].to_pylist() == [0.0, 1.0] + [0.5] * 8
    assert scaled["track_id_clean"].to_pylist() == [0.0, 1.0] + [0.5] * 8
    assert clipped == 0


def test_scaling_is_that_of_scikit_learn_fitted_on_training_rows(shard):
    encoded, sessions = shard
    training = encoded["session_id"].to_numpy() == sessions["split"].to_pylist().index("train")
    values = scaled_features(encoded).astype(np.float64)
    reference = MinMaxScaler(clip=True).fit(values[training])

    scaled, _ = fit(encoded, sessions).apply(encoded)

    assert scaled_features(scaled) == pytest.approx(reference.transform(values), abs=1e-6)


def test_values_beyond_the_training_range_are_clipped_and_counted():
    encoded, sessions = encoded_table(session(TRAIN), session(TEST))
    beyond = changed(changed(encoded, "tempo", 12, 1e6), "energy", 14, -1e6)
    scaled, clipped = fit(encoded, sessions).apply(beyond)
    assert clipped == 2
    assert scaled["tempo"][12].as_py() == 1.0
    assert scaled["energy"][14].as_py() == 0.0


def test_training_rows_are_never_clipped():
    encoded, sessions = encoded_table(session("s0", 20), session("s1", 20))
    assert sessions["split"].to_pylist() == ["train", "train"]
    assert fit(encoded, sessions).apply(encoded)[1] == 0


def test_columns_that_are_not_scaled_stay_as_they_are(shard):
    encoded, sessions = shard
    scaled, _ = fit(encoded, sessions).apply(encoded)
    others = [name for name in schema.ENCODED.names if name not in FEATURES]
    assert scaled.schema.equals(schema.SCALED)
    assert scaled.select(others).equals(encoded.select(others))


@pytest.mark.parametrize("feature", FEATURES)
def test_changing_what_is_not_for_training_leaves_the_scaler_unchanged(shard, feature):
    encoded, sessions = shard
    training = encoded["session_id"].to_numpy() == sessions["split"].to_pylist().index("train")
    values = encoded[feature].to_numpy()
    tampered = replace_column(encoded, feature, np.where(training, values, values + 77).astype(values.dtype))
    assert fit(tampered, sessions).to_json() == fit(encoded, sessions).to_json()


def test_changing_a_training_row_changes_the_scaler(shard):
    encoded, sessions = shard
    row = sessions["split"].to_pylist().index("train") * 10
    assert fit(changed(encoded, "tempo", row, 1e6), sessions).to_json() != fit(encoded, sessions).to_json()


def test_a_feature_that_is_constant_in_training_is_0_there():
    encoded, sessions = encoded_table(session(TRAIN))
    scaled, clipped = fit(encoded, sessions).apply(encoded)
    assert encoded["time_signature"].to_pylist() == [4] * 10
    assert scaled["time_signature"].to_pylist() == [0.0] * 10
    assert clipped == 0


def test_ranges_of_shards_give_the_scaler_of_the_whole():
    parts = [session("s0", 15), session(TEST), session("s1", track_id_clean=LATER_TRACKS), session("s4", 20)]
    whole = fit(*encoded_table(*parts))
    by_shard = fit_scaler(feature_range(*encoded_table(part)) for part in parts)
    assert by_shard.to_json() == whole.to_json()


def test_a_shard_without_training_sessions_has_no_say():
    train = feature_range(*encoded_table(session(TRAIN)))
    other = feature_range(*encoded_table(session(TEST, track_id_clean=LATER_TRACKS)))
    assert fit_scaler([other, train]).to_json() == fit_scaler([train]).to_json()


def test_no_training_session_at_all_is_refused():
    message = refusal(TrainingError, lambda: fit(*encoded_table(session(TEST), session(VALIDATION))))
    assert_says(message, "no session falls into the training split", "deliver more sessions")


def test_a_scaler_survives_json_exactly(shard):
    scaler = fit(*shard)
    odd = Scaler(low=scaler.low - 0.1, high=scaler.high / 3 + 1e-17)
    back = Scaler.from_json(json.loads(json.dumps(odd.to_json())))
    assert np.array_equal(back.low, odd.low)
    assert np.array_equal(back.high, odd.high)


@pytest.mark.parametrize("features", [FEATURES[1:], FEATURES[::-1], None], ids=["fewer", "reordered", "none"])
def test_a_scaler_of_other_features_is_refused(shard, features):
    content = fit(*shard).to_json() | {"features": features}
    message = refusal(ContractError, lambda: Scaler.from_json(content))
    assert_says(message, "fitted on other features", "materialize scaled_table again")


def test_a_scaler_does_not_care_how_a_table_is_cut_into_chunks(shard):
    encoded, sessions = shard
    chunked = pa.concat_tables([encoded.slice(0, 7), encoded.slice(7)])
    assert fit(chunked, sessions).apply(chunked)[0].equals(fit(encoded, sessions).apply(encoded)[0])


@pytest.mark.parametrize("beyond", [0, 0.25], ids=["within the range", "beyond the range"])
def test_scaling_is_the_formula_in_float64_bit_for_bit(beyond):
    encoded, _ = encoded_table(session(TRAIN, 20), session(TEST, 20))
    rng = np.random.default_rng(1)
    values = rng.normal(size=40).astype(np.float32)
    table = replace_column(encoded, "tempo", values)
    low, high = np.full(len(FEATURES), 0.0), np.full(len(FEATURES), 100.0)
    at = FEATURES.index("tempo")
    low[at], high[at] = values.min() + beyond, values.max() - beyond
    wide = values.astype(np.float64)
    expected = np.clip((wide - low[at]) / (high[at] - low[at]), 0.0, 1.0).astype(np.float32)

    scaled, _ = Scaler(low=low, high=high).apply(table)

    assert scaled["tempo"].to_numpy().tobytes() == expected.tobytes()


def test_a_table_without_rows_is_scaled_to_one_without_rows(shard):
    encoded, sessions = shard
    scaled, clipped = fit(encoded, sessions).apply(encoded.slice(0, 0))
    assert (scaled.num_rows, clipped) == (0, 0)
    assert scaled.schema.equals(schema.SCALED)
