"""One session, one probability: from the Keras network on the bundles, in batch, over HTTP, in MLflow."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema, serving
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.bundles.track_memory import MEMORY_FILES, Remembered, TrackMemory, write_memory
from skip_pipeline.defs.registry import Registry as ModelRegistry
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving import ServedModel, batch
from skip_pipeline.serving.follow import Follower
from skip_pipeline.serving.model_folder import pack
from skip_pipeline.settings import MODEL_NAME, DataLayout
from skip_pipeline.storage import write_json
from skip_pipeline.training.second_half import predict_second_half
from skip_pipeline_tests.builders import TRACKS
from skip_pipeline_tests.environment import forget_settings
from skip_pipeline_tests.serving.asking import Client, running
from skip_pipeline_tests.serving.registry import Registry, track_to
from skip_pipeline_tests.serving.small_models import SESSIONS, deliver_test_set, request, request_of

pytestmark = pytest.mark.slow

NAMES = [rows[0]["session_id"] for rows in SESSIONS]


CANDIDATES = [row["track_id"] for row in TRACKS[:7]]


@dataclass(frozen=True)
class Deployed:
    """A network that was packed and registered, and its own predictions for ``SESSIONS``."""

    folder: Path
    registry: Registry
    p_skip: np.ndarray
    p_skip_of: dict[str, np.ndarray]  # of each of a session's tracks, the first included
    of_candidates: dict[str, np.ndarray]  # p_skip, then skip_1, skip_2 and skip_3, (7, 4)

    def assert_equal(self, found: dict[str, float]) -> None:
        np.testing.assert_allclose([found[name] for name in NAMES], self.p_skip, rtol=0, atol=1e-5)

    def assert_equal_candidates(self, rows: list[dict[str, Any]]) -> None:
        """Answers for ``CANDIDATES`` of the first sessions equal those of Keras, one track at a time."""
        found = [[row[name] for name in ("p_skip", "p_skip_1", "p_skip_2", "p_skip_3")] for row in rows]
        names = [row["session_id"] for row in rows[:: len(CANDIDATES)]]
        expected = np.concatenate([self.of_candidates[name] for name in names])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def deployed(
    layout: DataLayout, model: ServedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    from skip_pipeline.networks.fast import build_fast
    from skip_pipeline.training.export import to_onnx
    from skip_pipeline.training.train import predict

    folder = tmp_path_factory.mktemp("deployed")
    bundles = open_bundles(layout.bundles, schema.SPLITS)
    memory = TrackMemory.fit(bundles["train"], bundles["train"].tracks)
    # As for sessions that the memory was not fitted on: a served model knows no session of training again.
    splits = {name: Remembered(bundle, memory) for name, bundle in bundles.items()}
    network = build_fast({name: np.asarray(splits["train"][name][:]) for name in schema.INPUT_SHAPES})
    random = np.random.default_rng(3)
    for name in ("expected_value", "log_noise", "curved", "straight"):  # the layers that begin with zeros
        layer = network.get_layer(name)
        layer.set_weights([random.normal(scale=0.3, size=weights.shape) for weights in layer.get_weights()])
    calibration = Calibration(slope=0.8, offset=0.2, threshold=0.5, tracks=1)
    p_skip: dict[str, float] = {}
    p_skip_of: dict[str, np.ndarray] = {}
    of_candidates: dict[str, np.ndarray] = {}
    for split in splits.values():
        inputs = {name: np.asarray(split[name][:]) for name in schema.INPUT_SHAPES}
        ids = split["session_id"].tolist()
        p_skip |= dict(zip(ids, 1 - calibration.apply(predict(network, split)), strict=True))
        of_every_track = 1 - calibration.apply(np.asarray(network(inputs))[:, :, -1])
        real = np.pad(
            inputs["skip_sequence"][:, :, 0] != schema.SKIP_PADDING, ((0, 0), (0, 1)), constant_values=True
        )
        p_skip_of |= {name: p[own] for name, p, own in zip(ids, of_every_track, real, strict=True)}
        flags = []
        for number in range(len(CANDIDATES)):  # rows of the table, which is sorted by id as they are
            asked = inputs | {name: inputs[name].copy() for name in ("track_numbers", "track_memory")}
            asked["last_track"] = np.repeat(model.tracks.matrix[[number]], len(ids), axis=0)
            asked["track_numbers"][:, -1], asked["track_memory"][:, -1] = (
                number,
                memory.of(np.array([[number]]))[0, 0],
            )
            flags.append(np.asarray(network(asked), np.float64)[:, -1])
        skip_1, skip_2, skip_3, played = np.moveaxis(np.stack(flags, axis=1), 2, 0)  # (n, 7) each
        p = 1 - calibration.apply(played)
        # Calibration changes whether a track is skipped, and not how early, given that it is.
        early = [p * flag / (1 - played) for flag in (skip_1, skip_2, skip_3)]
        of_candidates |= dict(zip(ids, np.stack([p, *early], axis=2), strict=True))
    onnx, fitted, packed = (folder / name for name in ("network.onnx", "calibration.json", "served_model"))
    onnx.write_bytes(to_onnx(network))
    write_json(fitted, calibration.to_json())
    write_memory(folder, memory)
    pack(packed, layout, network=onnx, calibration=fitted, preset="fast", memory=folder / MEMORY_FILES[0])
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        registry = Registry(folder)
        registry.promote(registry.register(packed))
        yield Deployed(packed, registry, np.array([p_skip[name] for name in NAMES]), p_skip_of, of_candidates)


def test_the_network_tells_sessions_apart(deployed: Deployed) -> None:
    assert np.ptp(deployed.p_skip) > 1e-3  # a hundred times what they may differ by


def test_batch_equals_keras(deployed: Deployed, tmp_path: Path) -> None:
    deliver_test_set(tmp_path / "raw", SESSIONS, asked_for=1)  # the track that training predicts
    out = tmp_path / "08_predictions"
    batch.skip_predictions(tmp_path / "raw", out, model=deployed.folder, model_version="1")
    (file,) = out.glob("*.parquet")
    deployed.assert_equal({r["session_id"]: r["p_skip"] for r in pq.read_table(file).to_pylist()})


def test_the_server_equals_keras(deployed: Deployed) -> None:
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


def test_pyfunc_equals_keras(deployed: Deployed) -> None:
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
def test_a_session_that_goes_on_gets_the_networks_output_for_that_track(
    deployed: Deployed, earlier: int
) -> None:
    """The network also predicts every track of a whole session; a cut session must get the same."""
    own = serving.load(deployed.folder)
    found = own.score_records([request(rows, earlier) for rows in SESSIONS]).p_skip
    expected = [deployed.p_skip_of[name][earlier] for name in NAMES]
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
    found = np.array([[row["p_skip"], row["p_skip_2"]] for row in rows])
    np.testing.assert_allclose(found, np.concatenate([expected[name] for name in NAMES]), rtol=0, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3
