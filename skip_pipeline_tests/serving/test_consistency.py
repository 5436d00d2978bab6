"""One session, one probability: from the trained network on the bundles, in batch, over HTTP, in MLflow."""

import http.client
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema, serving
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.defs.served_model import RegisteredModel
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving import batch
from skip_pipeline.serving.follow import Follower
from skip_pipeline.serving.model_folder import pack as pack_folder
from skip_pipeline.settings import MODEL_NAME, PRESETS, DataLayout
from skip_pipeline.storage import write_json
from skip_pipeline_tests.conftest import forget_settings
from skip_pipeline_tests.serving.registry import Registry, track_to
from skip_pipeline_tests.serving.small_models import SESSIONS, deliver_test_set, request
from skip_pipeline_tests.serving.test_server import running

NAMES = [rows[0]["session_id"] for rows in SESSIONS]


@dataclass(frozen=True)
class Deployed:
    """A network that was trained, packed and registered, and its own predictions for ``SESSIONS``."""

    folder: Path
    registry: Registry
    p_skip: np.ndarray
    p_skip_of: dict[str, np.ndarray]  # of each of a session's tracks, the first included

    def assert_equal(self, found: dict[str, float]) -> None:
        np.testing.assert_allclose([found[name] for name in NAMES], self.p_skip, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def deployed(layout: DataLayout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    from skip_pipeline.networks.fast import every_track
    from skip_pipeline.training.export import to_onnx
    from skip_pipeline.training.train import predict, train

    folder = tmp_path_factory.mktemp("deployed")
    own = DataLayout(Path(shutil.copytree(layout.root, folder / "data")))
    bundles = {split: open_bundle(own.bundles, split) for split in schema.SPLITS}
    settings = replace(PRESETS["fast"], max_epochs=2, batch_size=8)
    network = train(bundles["train"], bundles["validation"], settings, lambda _: None).network
    calibration = Calibration(slope=0.8, offset=0.2, threshold=0.5, sessions=1)
    said, of_every_track = {}, {}
    for bundle in bundles.values():
        p_not_skipped = calibration.apply(predict(network, bundle))
        said |= dict(zip(bundle.session_id.tolist(), (1 - p_not_skipped).tolist(), strict=True))
        everything = {name: np.asarray(bundle[name]) for name in schema.BRANCH_SHAPES}
        log_odds = every_track(network).predict_on_batch(everything)[:, :, 0]
        p_skip = 1 - calibration.apply(1 / (1 + np.exp(-log_odds.astype(np.float64))))
        of_every_track |= {
            name: p[~np.append(padded, False)]
            for name, p, padded in zip(
                bundle.session_id.tolist(),
                p_skip,
                everything["skip_sequence"][:, :, 0] == schema.SKIP_PADDING,
                strict=True,
            )
        }
    (folder / "network.onnx").write_bytes(to_onnx(network))
    write_json(folder / "calibration.json", calibration.to_json())
    pack_folder(
        folder / "served_model",
        own,
        network=folder / "network.onnx",
        calibration=folder / "calibration.json",
        preset="fast",
    )
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        registry = Registry(folder)
        registry.promote(registry.register(folder / "served_model"))
        yield Deployed(
            folder / "served_model", registry, np.array([said[name] for name in NAMES]), of_every_track
        )


def test_the_network_tells_sessions_apart(deployed: Deployed) -> None:
    assert np.ptp(deployed.p_skip) > 1e-3  # a hundred times what they may differ by


def test_batch_equals_training(deployed: Deployed, tmp_path: Path) -> None:
    deliver_test_set(tmp_path / "raw", SESSIONS, asked_for=1)  # the track that training predicts
    out = tmp_path / "08_predictions"
    batch.skip_predictions(tmp_path / "raw", out, model=deployed.folder, model_version="1")
    (file,) = out.glob("*.parquet")
    deployed.assert_equal({r["session_id"]: r["p_skip"] for r in pq.read_table(file).to_pylist()})


def test_the_server_equals_training(deployed: Deployed) -> None:
    served = {}
    with running(Follower(RegisteredModel(deployed.registry.uri))) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for rows in SESSIONS:  # one a request
            body = json.dumps({"dataframe_records": [request(rows)]})
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            (row,) = json.loads(connection.getresponse().read())["predictions"]
            served[row["session_id"]] = row["p_skip"]
        connection.close()
    deployed.assert_equal(served)


def test_pyfunc_equals_training(deployed: Deployed) -> None:
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
