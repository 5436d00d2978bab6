"""The training loop. Two trainings are shared: of the default network, and of ``small_network``."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundle
from skip_pipeline.bundles.track_memory import Remembered, TrackMemory
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.fast import build_fast
from skip_pipeline.networks.listening import PLAYED, outcome_depths
from skip_pipeline.settings import PRESETS, TrainingSettings
from skip_pipeline.training.batches import Batch, batches, epoch_cuts
from skip_pipeline.training.history import EpochReport, history_from_json, history_to_json
from skip_pipeline.training.refusals import remedy_for_losses
from skip_pipeline.training.splits import Split
from skip_pipeline.training.step import optimizer_of
from skip_pipeline.training.train import Trained, predict, save_network, train
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.stages.shard_builders import shard, write
from skip_pipeline_tests.tiny_bundle import tiny_bundle
from skip_pipeline_tests.training.small_network import BUILD_NETWORK, small_network

pytestmark = pytest.mark.slow

QUICK = dataclasses.replace(PRESETS["fast"], max_epochs=6, batch_size=32, least_steps=0)
SMALL = dataclasses.replace(QUICK, preset="single_input", max_epochs=1)
"""For the network of ``small``: one epoch of 10 steps."""

BUNDLE = tiny_bundle(300)
VALIDATION = tiny_bundle(100, seed=1)


def nobody(_: EpochReport) -> None:
    """Listens to no epoch."""


@pytest.fixture(scope="module")
def reports() -> list[EpochReport]:
    return []


@pytest.fixture(scope="module")
def trained(reports: list[EpochReport]) -> Trained:
    return train(BUNDLE, VALIDATION, QUICK, reports.append)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are of two dense layers, for what does not depend on the network."""
    monkeypatch.setattr(BUILD_NETWORK, small_network)


@pytest.fixture(scope="module")
def records() -> list[logging.LogRecord]:
    return []


@pytest.fixture(scope="module")
def plain(records: list[logging.LogRecord]) -> Trained:
    handler, logger = logging.Handler(), logging.getLogger("skip_pipeline.train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BUILD_NETWORK, small_network)
        patch.setattr(handler, "emit", records.append)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            return train(BUNDLE, BUNDLE, SMALL, nobody)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


def test_it_learns_an_obvious_rule(trained: Trained) -> None:
    unseen = tiny_bundle(200, seed=2)
    right = (predict(trained.network, unseen) >= 0.5) == unseen[schema.LABEL]
    assert right.mean() > 0.9


def test_it_reports_each_epoch_once(trained: Trained, reports: list[EpochReport]) -> None:
    assert tuple(reports) == trained.history
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert {report.max_epochs for report in reports} == {6}
    left = [report.seconds_left_at_most / report.seconds for report in reports]
    assert left == pytest.approx([5, 4, 3, 2, 1, 0])


def test_it_keeps_the_epoch_of_the_lowest_validation_loss(trained: Trained) -> None:
    """The loss is that of "played to its end" over all tracks of all sessions."""
    inputs = {name: VALIDATION[name] for name in schema.INPUT_SHAPES}
    p = np.asarray(trained.network(inputs), np.float64)[:, :, -1]  # (n, 20)
    depths = outcome_depths(VALIDATION)
    tracks, played = depths >= 0, depths == PLAYED
    of_what_happened = np.where(played, p, 1 - p)[tracks]
    best = trained.history[trained.best_epoch - 1]

    assert best.validation_loss == pytest.approx(min(r.validation_loss for r in trained.history), abs=1e-4)
    assert best.validation_loss == pytest.approx(-np.log(of_what_happened).mean(), abs=1e-4)
    assert best.validation_accuracy == pytest.approx(((p > 0.5) == played)[tracks].mean(), abs=1e-6)
    np.testing.assert_allclose(predict(trained.network, VALIDATION), p[:, -1], atol=1e-6)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_network_bit_for_bit(trained: Trained) -> None:
    np.random.default_rng().random()
    again = train(BUNDLE, VALIDATION, QUICK, nobody)

    for first, second in zip(trained.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert [r.loss for r in again.history] == [r.loss for r in trained.history]
    assert [layer.name for layer in again.network.layers] == [layer.name for layer in trained.network.layers]


def test_a_cosine_raises_the_learning_rate_and_lowers_it_to_0(trained: Trained) -> None:
    """300 sessions in batches of 32 are 10 steps an epoch; of 60 in all, 6 warm up."""
    after = [QUICK.learning_rate * (1 + np.cos(np.pi * (10 * e - 6) / 54)) / 2 for e in range(1, 7)]
    assert [report.learning_rate for report in trained.history] == pytest.approx(after, abs=1e-8)


def test_the_weights_kept_are_a_fading_mean_over_the_last_steps(small: None) -> None:
    """The mean over one step is the step's own weights; over ten, it lags behind them."""
    kept = {
        steps: train(BUNDLE, BUNDLE, dataclasses.replace(SMALL, averaged_steps=steps), nobody)
        for steps in (0, 1, 10)
    }
    first, own, mean = (each.network.get_weights() for each in kept.values())
    assert [len(each.history) for each in kept.values()] == [1, 1, 1]
    for a, b in zip(first, own, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert max(float(np.abs(a - b).max()) for a, b in zip(first, mean, strict=True)) > 1e-3
    losses = [each.history[-1].validation_loss for each in kept.values()]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[2] != pytest.approx(losses[0], abs=1e-4)


def test_few_sessions_are_learnt_from_in_more_epochs(small: None) -> None:
    """300 sessions in batches of 32 are 10 steps an epoch: 35 steps at least are 4 epochs."""
    settings = dataclasses.replace(SMALL, max_epochs=2, least_steps=35)
    history = train(BUNDLE, BUNDLE, settings, nobody).history

    assert [report.max_epochs for report in history] == [4] * 4
    assert history[-1].learning_rate == pytest.approx(0.0, abs=1e-8)  # the cosine ends with the last of them
    history = train(BUNDLE, BUNDLE, dataclasses.replace(settings, least_steps=20), nobody).history
    assert len(history) == 2


def test_cuts_are_drawn_anew_in_each_epoch_and_for_training_alone(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, ...]] = []
    given: list[bool] = []
    made = batches

    def drawing(sessions: int, seed: int, epoch: int, share: float) -> np.ndarray:
        drawn.append((sessions, seed, epoch, share))
        return epoch_cuts(sessions, seed, epoch, share)

    def watched(split: Split, size: int, names: Sequence[str], **options: Any) -> Iterator[Batch]:
        given.append(options.get("cuts") is not None)
        return made(split, size, names, **options)

    monkeypatch.setattr("skip_pipeline.training.train.epoch_cuts", drawing)
    monkeypatch.setattr("skip_pipeline.training.train.batches", watched)
    train(BUNDLE, VALIDATION, dataclasses.replace(QUICK, max_epochs=2, seed=3, cut_sessions=0.5), nobody)

    assert drawn == [(300, 3, 0, 0.5), (300, 3, 1, 0.5)]
    assert given == [True, False, True, False]


def test_without_a_warm_up_a_cosine_starts_at_its_highest() -> None:
    settings = dataclasses.replace(QUICK, max_epochs=2, warm_up=0.0)
    optimizer = optimizer_of(settings, 10, [])
    rates = []
    for step in (0, 10, 20):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))

    assert rates == pytest.approx([QUICK.learning_rate, QUICK.learning_rate / 2, 0.0], abs=1e-8)


def test_matrices_decay_and_vectors_do_not() -> None:
    """A step without a gradient changes nothing but by decay: w becomes (1 - rate · decay) w."""
    matrix, vector = keras.Variable([[2.0]]), keras.Variable([2.0])
    settings = dataclasses.replace(QUICK, schedule="plateau", learning_rate=0.01, weight_decay=10.0)
    optimizer_of(settings, 10, [matrix, vector]).apply([keras.ops.zeros((1, 1)), keras.ops.zeros(1)])

    assert (float(matrix[0, 0]), float(vector[0])) == pytest.approx((1.8, 2.0))


def test_the_learning_rate_falls_after_flat_epochs_and_training_stops(small: None) -> None:
    settings = dataclasses.replace(
        SMALL,
        max_epochs=6,
        schedule="plateau",
        learning_rate=1e-12,
        stopping_patience=2,
        plateau_patience=1,
        plateau_factor=0.5,
    )
    trained = train(BUNDLE, BUNDLE, settings, nobody)

    assert [report.learning_rate for report in trained.history] == pytest.approx([1e-12, 1e-12, 5e-13])
    assert trained.best_epoch == 1


def test_each_epoch_is_logged_with_its_report(plain: Trained, records: list[logging.LogRecord]) -> None:
    (record,) = records
    assert record.__dict__["epoch_report"] == plain.history[0]
    assert record.getMessage().startswith(f"epoch 1 of at most 1: loss {plain.history[0].loss:.4f}, ")


def test_another_seed_gives_another_network(plain: Trained, small: None) -> None:
    other = train(BUNDLE, BUNDLE, dataclasses.replace(SMALL, seed=1), nobody)
    assert other.history[0].loss != plain.history[0].loss


def test_layers_may_compute_in_bfloat16_and_the_network_comes_out_in_float32(
    plain: Trained, small: None
) -> None:
    mixed = train(BUNDLE, BUNDLE, dataclasses.replace(SMALL, mixed_precision=True), nobody)

    assert {layer.compute_dtype for layer in mixed.network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert mixed.history[0].loss != plain.history[0].loss
    assert mixed.history[0].loss == pytest.approx(plain.history[0].loss, abs=0.02)


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


@pytest.mark.slow
def test_a_bundle_trains_as_memory_mapped_arrays_do_and_is_never_gathered_whole(
    written: Path, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = [open_bundle(written, split) for split in ("train", "validation")]
    memory = TrackMemory.fit(lazy[0], lazy[0].tracks)
    sizes: list[int] = []
    decoded = Bundle._decoded

    def watched(self: Bundle, chosen: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        sizes.append(len(chosen))
        return decoded(self, chosen, names)

    monkeypatch.setattr(Bundle, "_decoded", watched)
    monkeypatch.setattr("skip_pipeline.training.train.PREDICTION_BATCH_SIZE", 10)
    monkeypatch.setattr("skip_pipeline.training.splits.PREDICTION_BATCH_SIZE", 10)
    monkeypatch.setattr("skip_pipeline.networks.listening._SESSIONS_AT_ONCE", 15)
    settings = dataclasses.replace(SMALL, max_epochs=2, batch_size=20)
    first = train(lazy[0], lazy[1], settings, nobody)
    of_lazy = predict(first.network, lazy[1])
    of_lazy_inputs = build_fast(Remembered(lazy[0], memory, training=True))
    assert max(sizes) == 20
    assert lazy[0].sessions == 96

    whole: list[dict[str, np.ndarray]] = [{}, {}]
    for bundle, arrays in zip(lazy, whole, strict=True):
        for name in (*schema.BRANCH_SHAPES, "track_numbers", "last_flags", schema.LABEL):
            np.save(tmp_path / "array.npy", np.asarray(bundle[name]))
            arrays[name] = np.load(tmp_path / "array.npy", mmap_mode="r")
            (tmp_path / "array.npy").unlink()
    second = train(whole[0], whole[1], settings, nobody)
    assert [(r.loss, r.validation_loss) for r in first.history] == [
        (r.loss, r.validation_loss) for r in second.history
    ]
    np.testing.assert_array_equal(of_lazy, predict(second.network, whole[1]))
    of_arrays = build_fast(Remembered(whole[0], memory, training=True))
    for name in ("log_normalization", "track_normalization", "memory_normalization"):
        assert of_lazy_inputs.get_layer(name).get_config() == of_arrays.get_layer(name).get_config()


# --- Refusals -----------------------------------------------------------------------------------------


def test_an_empty_validation_split_is_refused() -> None:
    nothing = {name: array[:0] for name, array in BUNDLE.items()}
    message = refusal(TrainingError, lambda: train(BUNDLE, nothing, QUICK, nobody))
    assert_says(message, "the validation split holds no session", "deliver more sessions")


def test_fewer_sessions_than_a_batch_are_refused() -> None:
    settings = dataclasses.replace(QUICK, batch_size=301)
    message = refusal(TrainingError, lambda: train(BUNDLE, BUNDLE, settings, nobody))
    assert_says(message, "300 sessions", "at least the 301 of a batch", "lower batch_size")


@pytest.mark.parametrize(
    ("label", "sessions", "fact"), [(0, 300, "0 of 300"), (1, 300, "300 of 300"), (0, 0, "0 of 0")]
)
def test_training_sessions_that_all_end_alike_or_none_are_refused(
    label: int, sessions: int, fact: str
) -> None:
    alike = {name: array[:sessions] for name, array in BUNDLE.items()}
    alike[schema.LABEL] = np.full(sessions, label, np.float32)
    message = refusal(TrainingError, lambda: train(alike, BUNDLE, QUICK, nobody))
    assert_says(
        message, f"the training split: {fact} tracks were played", "both outcomes", "Deliver more sessions"
    )


def test_a_value_that_is_not_finite_is_found_when_the_loss_breaks(small: None) -> None:
    broken = BUNDLE | {"last_track": BUNDLE["last_track"].copy()}
    broken["last_track"][7, 3] = np.nan
    message = refusal(TrainingError, lambda: train(broken, BUNDLE, SMALL, nobody))
    assert_says(message, "in epoch 1", "loss became nan", "last_track", "1 training sessions", "[7]")


@pytest.mark.parametrize("name", ["circumstances", "track_memory", "session_log"])
def test_an_input_that_is_not_finite_is_named(name: str) -> None:
    broken = BUNDLE | {name: BUNDLE[name].copy()}
    broken[name][[3, 9], 0] = np.inf
    assert_says(remedy_for_losses(broken, QUICK), name, "2 training sessions, first at [3, 9]")


def test_a_loss_that_runs_away_names_the_learning_rate(small: None) -> None:
    settings = dataclasses.replace(SMALL, learning_rate=1e38)
    message = refusal(TrainingError, lambda: train(BUNDLE, BUNDLE, settings, nobody))
    assert_says(message, "in epoch 1", "lower learning_rate, which is 1e+38")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_epochs", 0),
        ("least_steps", -1),
        ("averaged_steps", -1),
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
def test_a_setting_without_sense_is_refused(field: str, value: float) -> None:
    settings = TrainingSettings(**(vars(QUICK) | {field: value}))
    message = refusal(TrainingError, lambda: train(BUNDLE, BUNDLE, settings, nobody))
    assert_says(message, f"{field} is {value}, not ", "correct the training settings")


# --- Prediction and files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skipped", "not_skipped", "p"),
    [(0.75, 0.25, 0.25), (0.25, 0.125, 1 / 3), (1.0, 1.0, 0.5), (0.0, 0.0, 0.5)],
)
def test_prediction_is_column_one_over_the_sum_of_both(skipped: float, not_skipped: float, p: float) -> None:
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    columns = keras.layers.Dense(2, kernel_initializer="zeros", name="outcome")(inputs["last_track"])
    network = keras.Model(inputs, columns)
    network.get_layer("outcome").set_weights([np.zeros((31, 2)), np.array([skipped, not_skipped])])
    predicted = predict(network, BUNDLE)

    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted, np.full(300, p), rtol=1e-12)
    assert predict(network, {name: array[:0] for name, array in BUNDLE.items()}).shape == (0,)


def test_a_saved_network_predicts_the_same(trained: Trained, tmp_path: Path) -> None:
    save_network(trained.network, tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")

    np.testing.assert_array_equal(predict(loaded, VALIDATION), predict(trained.network, VALIDATION))
    assert not loaded.compiled


def test_a_history_survives_json(trained: Trained) -> None:
    content = history_to_json(trained.history, trained.best_epoch)
    assert history_from_json(content) == (trained.history, trained.best_epoch)
