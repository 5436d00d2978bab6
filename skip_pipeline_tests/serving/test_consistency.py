"""One session, one probability: from the models on the bundles, in batch, over HTTP, in MLflow."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit

from skip_pipeline import schema, serving
from skip_pipeline.baselines.handmade import MODELS, HandmadeModels
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.bundles.track_memory import MEMORY_FILES, Remembered, TrackMemory, write_memory
from skip_pipeline.defs.registry import Registry as ModelRegistry
from skip_pipeline.metrics.blend import Blend
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving import ServedModel, batch
from skip_pipeline.serving.follow import Follower
from skip_pipeline.serving.model_folder import pack
from skip_pipeline.settings import HANDMADE_FILE, MODEL_NAME, DataLayout
from skip_pipeline.storage import write_json
from skip_pipeline.training.second_half import predict_second_half
from skip_pipeline_tests.builders import TRACKS
from skip_pipeline_tests.environment import forget_settings
from skip_pipeline_tests.serving.asking import Client, running
from skip_pipeline_tests.serving.registry import Registry, track_to
from skip_pipeline_tests.serving.small_models import (
    SESSIONS,
    deliver_test_set,
    handmade_models,
    request,
    request_of,
)

pytestmark = pytest.mark.slow

NAMES = [rows[0]["session_id"] for rows in SESSIONS]


CANDIDATES = [row["track_id"] for row in TRACKS[:7]]


CALIBRATION = Calibration(slope=0.8, offset=0.2, threshold=0.5, tracks=1)

KINDS: dict[str, dict[str, float]] = {
    "network": {},
    "logistic_regression": {"logistic_regression": 0.9},
    "gradient_boosted_trees": {"gradient_boosted_trees": 0.8},
    "stack": {"network": 0.4, "logistic_regression": 0.2, "gradient_boosted_trees": 0.5},
}
"""Weights of each kind of version."""


@dataclass(frozen=True)
class Answers:
    """Probabilities of a skip of every session, by its id, before any package is made."""

    of_tracks: dict[str, np.ndarray]  # of each of a session's tracks, the first included
    of_candidates: dict[str, np.ndarray]  # p_skip, then skip_1, skip_2 and skip_3, (7, 4)


@dataclass(frozen=True)
class Trained:
    """The files of a network and of models on hand-made features, and what each answers for ``SESSIONS``."""

    network: Path
    memory: Path
    models: Path
    by_model: dict[str, Answers]  # by model; of the network calibrated


@dataclass(frozen=True)
class Deployed:
    """A version that was packed and registered, and what it has to answer for ``SESSIONS``."""

    kind: str
    folder: Path
    registry: Registry
    expected: Answers

    def assert_equal(self, found: dict[str, float]) -> None:
        expected = [self.expected.of_tracks[name][-1] for name in NAMES]
        np.testing.assert_allclose([found[name] for name in NAMES], expected, rtol=0, atol=1e-5)

    def assert_equal_candidates(self, rows: list[dict[str, Any]]) -> None:
        """Answers for ``CANDIDATES`` of the first sessions equal those of each model, one track at a time."""
        found = [[row[name] for name in ("p_skip", "p_skip_1", "p_skip_2", "p_skip_3")] for row in rows]
        names = [row["session_id"] for row in rows[:: len(CANDIDATES)]]
        expected = np.concatenate([self.expected.of_candidates[name] for name in names])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def trained(layout: DataLayout, model: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from skip_pipeline.networks.fast import build_fast
    from skip_pipeline.training.export import to_onnx

    folder = tmp_path_factory.mktemp("trained")
    bundles = open_bundles(layout.bundles, schema.SPLITS)
    memory = TrackMemory.fit(bundles["train"], bundles["train"].tracks)
    # As for sessions that the memory was not fitted on: a served model knows no session of training again.
    splits = {name: Remembered(bundle, memory) for name, bundle in bundles.items()}
    network = build_fast({name: np.asarray(splits["train"][name][:]) for name in schema.INPUT_SHAPES})
    random = np.random.default_rng(3)
    for name in ("expected_value", "log_noise", "curved", "straight"):  # the layers that begin with zeros
        layer = network.get_layer(name)
        layer.set_weights([random.normal(scale=0.3, size=weights.shape) for weights in layer.get_weights()])
    handmade = HandmadeModels.of(onnxruntime.InferenceSession(handmade_models(layout)), "the models")

    def p_skip_by_model(inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Of every track by each model, (models, n, 20); and the share of each flag, (n, 20, 3)."""
        outcomes = np.asarray(network(inputs), np.float64)
        others = 1 - expit(handmade.of_tracks(inputs).astype(np.float64))
        p = np.stack([1 - CALIBRATION.apply(outcomes[:, :, -1]), *np.moveaxis(others, 2, 0)])
        return p, outcomes[:, :, :-1] / (1 - outcomes[:, :, -1:])

    by_model = {name: Answers({}, {}) for name in ("network", *MODELS)}
    for split in splits.values():
        inputs = {name: np.asarray(split[name][:]) for name in schema.INPUT_SHAPES}
        ids = split["session_id"].tolist()
        real = np.pad(
            inputs["skip_sequence"][:, :, 0] != schema.SKIP_PADDING, ((0, 0), (0, 1)), constant_values=True
        )
        of_tracks, _ = p_skip_by_model(inputs)
        of_candidates = []
        for number in range(len(CANDIDATES)):  # rows of the table, which is sorted by id as they are
            asked = inputs | {name: inputs[name].copy() for name in ("track_numbers", "track_memory")}
            asked["last_track"] = np.repeat(model.tracks.matrix[[number]], len(ids), axis=0)
            asked["track_numbers"][:, -1] = number
            asked["track_memory"][:, -1] = memory.of(np.array([[number]]))[0, 0]
            p, shares = p_skip_by_model(asked)
            # A blend changes whether a track is skipped, and not how early, given that it is.
            early = np.broadcast_to(shares[:, -1], (len(p), len(ids), 3))
            of_candidates.append(np.concatenate([p[:, :, -1:], early], axis=2))
        for number, answers in enumerate(by_model.values()):
            every = zip(ids, of_tracks[number], real, strict=True)
            answers.of_tracks.update({name: p[own] for name, p, own in every})
            found = np.stack([each[number] for each in of_candidates], axis=1)  # p, then shares
            answers.of_candidates.update(dict(zip(ids, found, strict=True)))
    paths = [folder / name for name in ("network.onnx", HANDMADE_FILE)]
    paths[0].write_bytes(to_onnx(network))
    paths[1].write_bytes(handmade_models(layout))
    write_memory(folder, memory)
    return Trained(paths[0], folder / MEMORY_FILES[0], paths[1], by_model)


def expected_of(trained: Trained, weights: dict[str, float], offset: float) -> Answers:
    """What a version has to answer: the log-odds of its models, weighted."""

    def blend(p_skip: dict[str, np.ndarray]) -> np.ndarray:
        if not weights:
            return p_skip["network"]
        return np.asarray(expit(sum(w * logit(p_skip[name]) for name, w in weights.items()) - offset))

    found = Answers({}, {})
    for name in NAMES:
        found.of_tracks[name] = blend({m: each.of_tracks[name] for m, each in trained.by_model.items()})
        both = {m: each.of_candidates[name] for m, each in trained.by_model.items()}
        p = blend({m: each[:, :1] for m, each in both.items()})
        found.of_candidates[name] = np.concatenate([p, p * both["network"][:, 1:]], axis=1)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield Registry(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=KINDS)
def deployed(
    request: pytest.FixtureRequest,
    layout: DataLayout,
    trained: Trained,
    store: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployed:
    kind, weights = request.param, KINDS[request.param]
    folder = tmp_path_factory.mktemp(kind)
    fitted, blend, packed = (folder / name for name in ("calibration.json", "blend.json", "served_model"))
    write_json(fitted, CALIBRATION.to_json())
    if weights:
        write_json(blend, Blend(weights, offset=0.3, threshold=0.4, tracks=1).to_json())
    pack(
        packed,
        layout,
        network=trained.network,
        calibration=fitted,
        preset="fast",
        memory=trained.memory,
        blended=(blend, trained.models) if weights else None,
    )
    store.promote(store.register(packed))
    return Deployed(kind, packed, store, expected_of(trained, weights, 0.3))


def test_a_version_knows_its_kind_and_its_threshold(deployed: Deployed) -> None:
    own = serving.load(deployed.folder)

    assert serving.read_description(deployed.folder).kind == own.kind == deployed.kind
    assert own.threshold == (0.5 if deployed.kind == "network" else 0.4)


def test_the_models_tell_sessions_apart(deployed: Deployed) -> None:
    last = [deployed.expected.of_tracks[name][-1] for name in NAMES]
    assert np.ptp(last) > 1e-3  # a hundred times what they may differ by


def test_batch_equals_the_models(deployed: Deployed, tmp_path: Path) -> None:
    deliver_test_set(tmp_path / "raw", SESSIONS, asked_for=1)  # the track that training predicts
    out = tmp_path / "08_predictions"
    batch.skip_predictions(tmp_path / "raw", out, model=deployed.folder, model_version="1")
    (file,) = out.glob("*.parquet")
    deployed.assert_equal({r["session_id"]: r["p_skip"] for r in pq.read_table(file).to_pylist()})


def test_the_server_equals_the_models(deployed: Deployed) -> None:
    served = {}
    with running(Follower(ModelRegistry(deployed.registry.uri))) as port:
        client = Client(port)
        for rows in SESSIONS:  # one a request
            (row,) = client.ask(request(rows))[1]["predictions"]
            served[row["session_id"]] = row["p_skip"]
        candidates = client.ask(*(request_of(rows, CANDIDATES) for rows in SESSIONS[:9]))[1]["predictions"]
        client.close()
    deployed.assert_equal(served)
    deployed.assert_equal_candidates(candidates)


def test_pyfunc_equals_the_models(deployed: Deployed) -> None:
    track_to(deployed.registry.uri)
    path = list(sys.path)
    loaded = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
    sys.path[:] = path  # MLflow puts the code that travels with the model before all other
    one_by_one = [loaded.predict(pd.DataFrame([request(rows)])) for rows in SESSIONS]
    together = loaded.predict(pd.DataFrame([request(rows) for rows in SESSIONS]))
    for answer in (pd.concat(one_by_one), together):
        deployed.assert_equal(dict(zip(answer["session_id"], answer["p_skip"], strict=True)))
    candidates = loaded.predict(pd.DataFrame([request_of(rows, CANDIDATES) for rows in SESSIONS[9:]]))
    deployed.assert_equal_candidates(candidates.to_dict("records"))


@pytest.mark.parametrize("earlier", [1, 5, 9])
def test_a_session_that_goes_on_is_answered_as_within_the_whole_session(
    deployed: Deployed, earlier: int
) -> None:
    """Models also predict every track of a whole session; a cut session must get the same."""
    own = serving.load(deployed.folder)
    found = own.score_records([request(rows, earlier) for rows in SESSIONS]).p_skip
    expected = [deployed.expected.of_tracks[name][earlier] for name in NAMES]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.ptp(found) > 1e-3


def test_batch_gives_second_halves_as_whole_sessions_with_hidden_outcomes_get_them(
    deployed: Deployed, layout: DataLayout, tmp_path: Path
) -> None:
    deliver_test_set(tmp_path / "raw", SESSIONS)
    out = tmp_path / "08_predictions"
    batch.skip_predictions(tmp_path / "raw", out, model=deployed.folder, model_version="1")
    (file,) = out.glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    own = serving.load(deployed.folder)
    memory = TrackMemory(np.asarray(own.tracks.memory), np.empty(0))
    expected: dict[str, np.ndarray] = {}
    for bundle in open_bundles(layout.bundles, schema.SPLITS).values():
        told = predict_second_half(own.network, Remembered(bundle, memory), own.calibration)
        both = np.column_stack([told.p_skip, told.p_skip_2])
        ids = bundle.session_id.tolist()
        expected |= dict(zip(ids, np.split(both, np.cumsum(told.tracks)[:-1]), strict=True))
    for name, half in expected.items():  # the first track is the next one, which every kind answers
        of_tracks = deployed.expected.of_tracks[name]
        first = of_tracks[len(of_tracks) // 2]
        half[0] *= first / half[0, 0]
    found = np.array([[row["p_skip"], row["p_skip_2"]] for row in rows])
    np.testing.assert_allclose(found, np.concatenate([expected[name] for name in NAMES]), rtol=0, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3
