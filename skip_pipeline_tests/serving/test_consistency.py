"""One session, one probability: from the Keras network on the bundles, in batch, and over HTTP."""

import http.client
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from skip_pipeline import schema, serving
from skip_pipeline.flow.bundle import open_bundle
from skip_pipeline.flow.calibrate import Calibration
from skip_pipeline.serving import batch
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.settings import PRESETS, DataLayout
from skip_pipeline.storage import write_json
from skip_pipeline_tests.serving.small_models import SESSIONS, deliver_test_set, request
from skip_pipeline_tests.serving.test_server import running


def test_training_batch_and_server_say_the_same(layout: DataLayout, tmp_path: Path) -> None:
    import keras

    from skip_pipeline.flow.export import to_onnx
    from skip_pipeline.flow.train import predict
    from skip_pipeline.networks.presets import build_network

    own = DataLayout(Path(shutil.copytree(layout.root, tmp_path / "data")))
    keras.utils.set_random_seed(1)
    network = build_network(PRESETS["fast"], open_bundle(own.bundles, "train"))
    calibration = Calibration(slope=0.8, offset=0.2, threshold=0.5, sessions=1)
    (tmp_path / "network.onnx").write_bytes(to_onnx(network))
    write_json(tmp_path / "calibration.json", calibration.to_json())
    folder = tmp_path / "served_model"
    serving.pack(
        folder,
        own,
        network=tmp_path / "network.onnx",
        calibration=tmp_path / "calibration.json",
        preset="fast",
    )

    trained = {}
    for split in schema.SPLITS:
        bundle = open_bundle(own.bundles, split)
        p_not_skipped = calibration.apply(predict(network, bundle))
        trained |= dict(zip(bundle.session_id.tolist(), (1 - p_not_skipped).tolist(), strict=True))

    raw = tmp_path / "raw"
    deliver_test_set(raw, SESSIONS, asked_for=1)  # the track that training predicts
    batch.skip_predictions(raw, tmp_path / "08_predictions", model=folder, model_version="1")
    (file,) = (tmp_path / "08_predictions").glob("*.parquet")
    batched = {row["session_id"]: row["p_skip"] for row in pq.read_table(file).to_pylist()}

    with running(Follower(FolderSource(folder))) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        served = {}
        for rows in SESSIONS:
            body = json.dumps({"dataframe_records": [request(rows)]})
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            (row,) = json.loads(connection.getresponse().read())["predictions"]
            served[row["session_id"]] = row["p_skip"]
        connection.close()

    names = [rows[0]["session_id"] for rows in SESSIONS]
    expected = np.array([trained[name] for name in names])
    assert np.ptp(expected) > 1e-4
    for found in (batched, served):
        np.testing.assert_allclose([found[name] for name in names], expected, rtol=0, atol=1e-5)
