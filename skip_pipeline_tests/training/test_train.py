import dataclasses
import logging
from pathlib import Path

import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundle
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.fast import build_fast
from skip_pipeline.settings import PRESETS, TrainingSettings
from skip_pipeline.training.history import EpochReport, history_from_json, history_to_json
from skip_pipeline.training.train import Trained, predict, save_network, train
from skip_pipeline_tests.stages.shard_builders import shard, write
from skip_pipeline_tests.tiny_bundle import tiny_bundle

QUICK = dataclasses.replace(PRESETS["fast"], max_epochs=6, batch_size=32)
SMALL = dataclasses.replace(QUICK, preset="single_input")
"""For the fixture ``small``."""


def nobody(_: EpochReport) -> None:
    """Listens to no epoch."""


@pytest.fixture(scope="module")
def bundle() -> dict[str, np.ndarray]:
    return tiny_bundle(300)


@pytest.fixture(scope="module")
def validation() -> dict[str, np.ndarray]:
    return tiny_bundle(100, seed=1)


@pytest.fixture(scope="module")
def reports() -> list[EpochReport]:
    return []


@pytest.fixture(scope="module")
def trained(
    bundle: dict[str, np.ndarray], validation: dict[str, np.ndarray], reports: list[EpochReport]
) -> Trained:
    return train(bundle, validation, QUICK, reports.append)


def _small_network(_settings: TrainingSettings, _inputs: object) -> keras.Model:
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    history = keras.layers.Flatten()(inputs["skip_sequence"])
    everything = keras.layers.Concatenate()([inputs["last_track"], history])
    hidden = keras.layers.Dense(8, "tanh", bias_initializer="ones", name="hidden")(everything)
    columns = keras.layers.Dense(2, "sigmoid", bias_initializer="ones", dtype="float32", name="outcome")(
        hidden
    )
    return keras.Model(inputs, columns, name="small")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> TrainingSettings:
    """Settings whose network is two dense layers: for what is the loop's affair, whatever is trained."""
    monkeypatch.setattr("skip_pipeline.training.train.build_network", _small_network)
    return SMALL


def test_it_learns_an_obvious_rule(trained: Trained) -> None:
    unseen = tiny_bundle(200, seed=2)
    right = (predict(trained.network, unseen) >= 0.5) == unseen[schema.LABEL]
    assert right.mean() > 0.9


def test_it_reports_each_epoch_once(trained: Trained, reports: list[EpochReport]) -> None:
    assert tuple(reports) == trained.history
    assert [report.epoch for report in reports] == list(range(1, len(reports) + 1))
    for report in reports:
        assert report.max_epochs == 6
        assert report.seconds > 0
        assert report.seconds_left_at_most == report.seconds * (6 - report.epoch)
        assert report.loss > 0
        assert 0 <= report.accuracy <= 1
        assert report.validation_loss > 0
        assert 0 <= report.validation_accuracy <= 1


def test_it_keeps_the_epoch_of_the_lowest_validation_loss(
    trained: Trained, validation: dict[str, np.ndarray]
) -> None:
    p = predict(trained.network, validation)
    of_what_happened = np.where(validation[schema.LABEL] == 1, p, 1 - p)
    best = trained.history[trained.best_epoch - 1]

    assert best.validation_loss == pytest.approx(min(r.validation_loss for r in trained.history), abs=1e-4)
    assert -np.log(of_what_happened).mean() == pytest.approx(best.validation_loss, abs=1e-4)


def test_each_epoch_is_logged_with_its_report(
    bundle: dict[str, np.ndarray], small: TrainingSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="skip_pipeline.train"):
        trained = train(bundle, bundle, dataclasses.replace(small, max_epochs=1), nobody)

    (record,) = caplog.records
    assert record.__dict__["epoch_report"] == trained.history[0]
    assert record.getMessage().startswith(f"epoch 1 of at most 1: loss {trained.history[0].loss:.4f}, ")


def test_the_learning_rate_falls_after_flat_epochs_and_training_stops(
    bundle: dict[str, np.ndarray], small: TrainingSettings
) -> None:
    settings = dataclasses.replace(
        small,
        schedule="plateau",
        learning_rate=1e-12,
        stopping_patience=2,
        plateau_patience=1,
        plateau_factor=0.5,
    )
    trained = train(bundle, bundle, settings, nobody)

    assert [report.learning_rate for report in trained.history] == pytest.approx([1e-12, 1e-12, 5e-13])
    assert trained.best_epoch == 1


def test_a_cosine_brings_the_learning_rate_up_and_then_down_to_nothing(trained: Trained) -> None:
    """300 sessions in batches of 32 are 10 steps an epoch; of 60 in all, 6 warm up."""
    after = [QUICK.learning_rate * (1 + np.cos(np.pi * (10 * e - 6) / 54)) / 2 for e in range(1, 7)]
    assert [report.learning_rate for report in trained.history] == pytest.approx(after, abs=1e-8)


def test_without_a_warm_up_a_cosine_starts_at_its_highest(
    bundle: dict[str, np.ndarray], small: TrainingSettings
) -> None:
    settings = dataclasses.replace(small, max_epochs=2, warm_up=0.0)
    rates = [report.learning_rate for report in train(bundle, bundle, settings, nobody).history]
    assert rates == pytest.approx([QUICK.learning_rate / 2, 0.0], abs=1e-8)


def test_matrices_decay_and_vectors_do_not(bundle: dict[str, np.ndarray], small: TrainingSettings) -> None:
    """After steps too small to move anything, the only change is decay: (1 - rate · decay) per step."""
    settings = dataclasses.replace(
        small, max_epochs=1, learning_rate=1e-9, warm_up=0.0, weight_decay=1e7, schedule="plateau"
    )
    decayed = train(bundle, bundle, settings, nobody).network
    kept = train(bundle, bundle, dataclasses.replace(settings, weight_decay=0.0), nobody).network
    shrunk = {}
    for before, after in zip(kept.trainable_variables, decayed.trainable_variables, strict=True):
        start, end = np.abs(before.numpy()).sum(), np.abs(after.numpy()).sum()
        shrunk[before.path] = bool(end < 0.95 * start)

    assert shrunk["hidden/kernel"]
    assert shrunk["outcome/kernel"]
    assert not shrunk["hidden/bias"]
    assert not shrunk["outcome/bias"]


def test_layers_may_compute_in_bfloat16_and_the_network_comes_out_in_float32(
    bundle: dict[str, np.ndarray], small: TrainingSettings
) -> None:
    settings = dataclasses.replace(small, max_epochs=1, batch_size=64)
    plain = train(bundle, bundle, settings, nobody)
    mixed = train(bundle, bundle, dataclasses.replace(settings, mixed_precision=True), nobody)

    assert {layer.compute_dtype for layer in mixed.network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert mixed.history[0].loss != plain.history[0].loss
    assert mixed.history[0].loss == pytest.approx(plain.history[0].loss, abs=0.02)


def test_the_same_seed_gives_the_same_network_bit_for_bit(
    bundle: dict[str, np.ndarray], validation: dict[str, np.ndarray], trained: Trained
) -> None:
    np.random.default_rng().random()
    again = train(bundle, validation, QUICK, nobody)

    for first, second in zip(trained.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert [r.loss for r in again.history] == [r.loss for r in trained.history]
    assert [layer.name for layer in again.network.layers] == [layer.name for layer in trained.network.layers]


def test_another_seed_gives_another_network(bundle: dict[str, np.ndarray], small: TrainingSettings) -> None:
    first, again, other = (
        train(bundle, bundle, dataclasses.replace(small, max_epochs=1, seed=seed), nobody).history[0].loss
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_memory_mapped_arrays_train_alike(
    bundle: dict[str, np.ndarray], small: TrainingSettings, tmp_path: Path
) -> None:
    mapped = {}
    for name, array in bundle.items():
        np.save(tmp_path / f"{name}.npy", array)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    one = dataclasses.replace(small, max_epochs=1)

    first, second = train(mapped, mapped, one, nobody), train(bundle, bundle, one, nobody)
    assert first.history[0].loss == second.history[0].loss


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of two shards, 96 training and 24 validation sessions."""
    folder = tmp_path_factory.mktemp("bundles")
    splits = (["train"] * 4 + ["validation"]) * 12
    write(
        folder,
        a=shard([10 + i % 11 for i in range(60)], splits, seed=1, ids=[f"a{i}" for i in range(60)]),
        b=shard([20 - i % 11 for i in range(60)], splits, seed=2, ids=[f"b{i}" for i in range(60)]),
    )
    return folder


def test_a_bundle_trains_as_its_arrays_in_memory_do_and_is_never_gathered_whole(
    written: Path, small: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    records = Bundle._records
    monkeypatch.setattr(Bundle, "_records", lambda self, some: sizes.append(len(some)) or records(self, some))
    monkeypatch.setattr("skip_pipeline.training.train.PREDICTION_BATCH_SIZE", 10)
    monkeypatch.setattr("skip_pipeline.networks.listening._SESSIONS_AT_ONCE", 15)
    settings = dataclasses.replace(small, max_epochs=2, batch_size=20)
    lazy = [open_bundle(written, split) for split in ("train", "validation")]
    first = train(*lazy, settings, nobody)
    of_lazy = predict(first.network, lazy[1])
    of_lazy_inputs = build_fast(lazy[0])
    assert max(sizes) == 20
    assert lazy[0].sessions == 96

    names = (*schema.BRANCH_SHAPES, schema.LABEL)
    whole = [{name: np.asarray(bundle[name]) for name in names} for bundle in lazy]
    second = train(*whole, settings, nobody)
    assert [(r.loss, r.validation_loss) for r in first.history] == [
        (r.loss, r.validation_loss) for r in second.history
    ]
    np.testing.assert_array_equal(of_lazy, predict(second.network, whole[1]))
    of_arrays = build_fast(whole[0])
    for name in ("taste_keys", "patience_key"):
        np.testing.assert_array_equal(of_lazy_inputs.get_layer(name).kernel, of_arrays.get_layer(name).kernel)
    for name in ("log_normalization", "track_normalization"):
        assert of_lazy_inputs.get_layer(name).get_config() == of_arrays.get_layer(name).get_config()


# --- Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", ["training", "validation"])
def test_an_empty_split_is_refused(bundle: dict[str, np.ndarray], empty: str) -> None:
    nothing = {name: array[:0] for name, array in bundle.items()}
    splits = (nothing, bundle) if empty == "training" else (bundle, nothing)
    with pytest.raises(TrainingError, match=f"the {empty} split holds no session"):
        train(*splits, QUICK, nobody)


def test_fewer_sessions_than_a_batch_are_refused(bundle: dict[str, np.ndarray]) -> None:
    settings = dataclasses.replace(QUICK, batch_size=301)
    with pytest.raises(
        TrainingError, match=r"holds 300 sessions, expected at least the 301 of a batch; .*lower"
    ):
        train(bundle, bundle, settings, nobody)


@pytest.mark.parametrize(("label", "word"), [(0, "skipped"), (1, "played to its end")])
def test_training_sessions_that_all_end_alike_are_refused(
    bundle: dict[str, np.ndarray], label: int, word: str
) -> None:
    alike = bundle | {schema.LABEL: np.full(300, label, np.float32)}
    with pytest.raises(TrainingError, match=f"all 300 training sessions .* {word}, expected both outcomes"):
        train(alike, bundle, QUICK, nobody)


def test_a_value_that_is_not_finite_is_found_when_the_loss_breaks(
    bundle: dict[str, np.ndarray], small: TrainingSettings
) -> None:
    broken = bundle | {"last_track": bundle["last_track"].copy()}
    broken["last_track"][7, 3] = np.nan
    with pytest.raises(TrainingError, match=r"loss became nan .* last_track holds .* 1 training .* \[7\]"):
        train(broken, bundle, small, nobody)


def test_a_loss_that_runs_away_names_the_learning_rate(
    bundle: dict[str, np.ndarray], small: TrainingSettings
) -> None:
    settings = dataclasses.replace(small, learning_rate=1e38)
    with pytest.raises(TrainingError, match=r"in epoch \d .* lower learning_rate, which is 1e\+38"):
        train(bundle, bundle, settings, nobody)


def test_an_unknown_preset_is_refused(bundle: dict[str, np.ndarray]) -> None:
    settings = TrainingSettings(**(vars(QUICK) | {"preset": "huge"}))
    with pytest.raises(TrainingError, match="no preset 'huge'"):
        train(bundle, bundle, settings, nobody)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_epochs", 0),
        ("batch_size", 0),
        ("learning_rate", float("nan")),
        ("stopping_patience", -1),
        ("stopping_min_delta", -1.0),
        ("plateau_patience", -1),
        ("plateau_factor", 1.0),
        ("dropout", 1.0),
        ("schedule", "linear"),
        ("warm_up", 1.0),
        ("weight_decay", -1.0),
        ("beta_2", 1.0),
        ("mixed_precision", True),
        ("seed", -1),
    ],
)
def test_a_setting_without_sense_is_refused(bundle: dict[str, np.ndarray], field: str, value: float) -> None:
    settings = TrainingSettings(**(vars(QUICK) | {field: value}))
    with pytest.raises(TrainingError, match=f"^{field} is {value}, not .*; correct the training settings$"):
        train(bundle, bundle, settings, nobody)


# --- Prediction ---------------------------------------------------------------------------------------


def fixed_network(skipped: float, not_skipped: float) -> keras.Model:
    """A network that answers the same two columns to everything."""
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    columns = keras.layers.Dense(2, kernel_initializer="zeros", name="outcome")(inputs["last_track"])
    network = keras.Model(inputs, columns)
    network.get_layer("outcome").set_weights([np.zeros((31, 2)), np.array([skipped, not_skipped])])
    return network


@pytest.mark.parametrize(
    ("skipped", "not_skipped", "p"),
    [(0.75, 0.25, 0.25), (0.25, 0.125, 1 / 3), (1.0, 1.0, 0.5), (0.0, 0.0, 0.5)],
)
def test_prediction_is_column_one_over_the_sum_of_both(
    bundle: dict[str, np.ndarray], skipped: float, not_skipped: float, p: float
) -> None:
    predicted = predict(fixed_network(skipped, not_skipped), bundle)

    assert predicted.dtype == np.float64
    assert predicted.shape == (300,)
    np.testing.assert_allclose(predicted, p, rtol=1e-12)


def test_no_sessions_give_no_predictions(bundle: dict[str, np.ndarray]) -> None:
    nothing = {name: array[:0] for name, array in bundle.items()}
    assert predict(fixed_network(1, 1), nothing).shape == (0,)


# --- Files --------------------------------------------------------------------------------------------


def test_a_saved_network_predicts_the_same(
    trained: Trained, validation: dict[str, np.ndarray], tmp_path: Path
) -> None:
    save_network(trained.network, tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")

    np.testing.assert_array_equal(predict(loaded, validation), predict(trained.network, validation))
    assert not loaded.compiled


def test_a_history_survives_json(trained: Trained) -> None:
    content = history_to_json(trained.history, trained.best_epoch)
    assert history_from_json(content) == (trained.history, trained.best_epoch)
