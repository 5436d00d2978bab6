"""One session, one probability: from the Keras network on the bundles, in batch, over HTTP, in MLflow."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema, serving
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.defs.registry import Registry as ModelRegistry
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving import batch
from skip_pipeline.serving.follow import Follower
from skip_pipeline.serving.model_folder import pack
from skip_pipeline.settings import MODEL_NAME, DataLayout
from skip_pipeline.storage import write_json
from skip_pipeline_tests.environment import forget_settings
from skip_pipeline_tests.serving.asking import Client, running
from skip_pipeline_tests.serving.registry import Registry, track_to
from skip_pipeline_tests.serving.small_models import SESSIONS, deliver_test_set, request

pytestmark = pytest.mark.slow

NAMES = [rows[0]["session_id"] for rows in SESSIONS]


@dataclass(frozen=True)
class Deployed:
    """A network that was packed and registered, and its own predictions for ``SESSIONS``."""

    folder: Path
    registry: Registry
    p_skip: np.ndarray
    p_skip_of: dict[str, np.ndarray]  # of each of a session's tracks, the first included

    def assert_equal(self, found: dict[str, float]) -> None:
        np.testing.assert_allclose([found[name] for name in NAMES], self.p_skip, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def deployed(layout: DataLayout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    from skip_pipeline.networks.fast import build_fast, every_track
    from skip_pipeline.training.export import to_onnx

    folder = tmp_path_factory.mktemp("deployed")
    bundles = open_bundles(layout.bundles)
    network = build_fast({name: np.asarray(bundles["train"][name]) for name in schema.BRANCH_SHAPES})
    random = np.random.default_rng(3)
    for name in ("expected_value", "trust", "curved", "straight"):  # the layers that begin with zeros
        layer = network.get_layer(name)
        layer.set_weights([random.normal(scale=0.3, size=weights.shape) for weights in layer.get_weights()])
    calibration = Calibration(slope=0.8, offset=0.2, threshold=0.5, tracks=1)
    p_skip: dict[str, float] = {}
    p_skip_of: dict[str, np.ndarray] = {}
    for bundle in bundles.values():
        inputs = {name: np.asarray(bundle[name]) for name in schema.BRANCH_SHAPES}
        ids = bundle.session_id.tolist()
        p_not_skipped = np.asarray(network(inputs), np.float64)[:, 1]
        p_skip |= dict(zip(ids, 1 - calibration.apply(p_not_skipped), strict=True))
        log_odds = np.asarray(every_track(network)(inputs), np.float64)[:, :, 0]
        of_every_track = 1 - calibration.apply(1 / (1 + np.exp(-log_odds)))
        real = np.pad(
            inputs["skip_sequence"][:, :, 0] != schema.SKIP_PADDING, ((0, 0), (0, 1)), constant_values=True
        )
        p_skip_of |= {name: p[own] for name, p, own in zip(ids, of_every_track, real, strict=True)}
    onnx, fitted, packed = (folder / name for name in ("network.onnx", "calibration.json", "served_model"))
    onnx.write_bytes(to_onnx(network))
    write_json(fitted, calibration.to_json())
    pack(packed, layout, network=onnx, calibration=fitted, preset="fast")
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        registry = Registry(folder)
        registry.promote(registry.register(packed))
        yield Deployed(packed, registry, np.array([p_skip[name] for name in NAMES]), p_skip_of)


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
        client.close()
    deployed.assert_equal(served)


def test_pyfunc_equals_keras(deployed: Deployed) -> None:
    track_to(deployed.registry.uri)
    path = list(sys.path)
    loaded = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
    sys.path[:] = path  # MLflow puts the code that travels with the model before all other
    one_by_one = [loaded.predict(pd.DataFrame([request(rows)])) for rows in SESSIONS]
    together = loaded.predict(pd.DataFrame([request(rows) for rows in SESSIONS]))
    for answer in (pd.concat(one_by_one), together):
        deployed.assert_equal(dict(zip(answer["session_id"], answer["p_skip"], strict=True)))


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
