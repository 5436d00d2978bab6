"""A data directory of literal sessions, and a served model whose network is a few operators of ONNX."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SHUFFLE
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.serving.model_folder import pack as pack_folder
from skip_pipeline.settings import ONNX_FILE, DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import write_json
from skip_pipeline_tests.builders import TRACKS, Row, deliver, session

LENGTHS = range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1)


def varied_session(session_id: str, length: int, seed: int) -> list[Row]:
    """Rows of a session in which every column that reaches a network varies, unknown levels among them."""
    random = np.random.default_rng(seed)

    def some(values: Sequence[object]) -> list[object]:
        return [values[i] for i in random.integers(0, len(values), length)]

    levels = {name: some([*schema.LEVELS[name], "unheard_of"]) for name in CATEGORIES}
    return session(
        session_id,
        length,
        track_id_clean=some([row["track_id"] for row in TRACKS]),
        **{name: some([True, False]) for name in ("skip_1", "skip_2", "skip_3", "not_skipped", SHUFFLE)},
        **{name: some([0, 1]) for name in FLAGS if "pause" in name or "switch" in name},
        hist_user_behavior_n_seekfwd=some([0, 1, 300, 70_000]),
        hist_user_behavior_n_seekback=some([0, 2, 2**31 - 1]),
        **levels,
    )


SESSIONS = [varied_session(f"s{i}", LENGTHS[i % len(LENGTHS)], seed=i) for i in range(44)]
"""Four of every length, some in each split."""


def data_directory(root: Path) -> DataLayout:
    """A data directory whose bundles have been made."""
    layout = DataLayout(root)
    raw = root / "01_raw"
    deliver(raw / "training_set" / "log_mini.csv", [row for rows in SESSIONS for row in rows])
    deliver(raw / "track_features" / "tf_mini.csv", TRACKS)
    for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table, stages.tensor_bundles):
        stage(layout)
    return layout


def copied(layout: DataLayout, folder: Path) -> DataLayout:
    """A copy of a data directory, to be changed."""
    return DataLayout(Path(shutil.copytree(layout.root, folder / "data")))


def network(weight: float = 1.0) -> bytes:
    """An ONNX network: the sigmoid of a weighted sum of everything that it is given."""
    random = np.random.default_rng(5)
    inputs, nodes, constants, terms = [], [], [], []
    for name, shape in schema.BRANCH_SHAPES.items():
        size = int(np.prod(shape))
        weights = (random.normal(size=(size, 1)) * weight / size).astype(np.float32)
        if name == "session_log":
            # Seeks reach two thousand million here, and would decide alone.
            seeks = [i for i, c in enumerate(schema.SESSION_LOG_BRANCH) if "seek" in c]
            weights.reshape(shape)[:, seeks] *= 1e-9
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]))
        constants.append(numpy_helper.from_array(weights, f"w_{name}"))
        nodes.append(helper.make_node("Flatten", [name], [f"flat_{name}"], axis=1))
        nodes.append(helper.make_node("MatMul", [f"flat_{name}", f"w_{name}"], [f"term_{name}"]))
        terms.append(f"term_{name}")
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    nodes += [
        helper.make_node("Sum", terms, ["sum"]),
        helper.make_node("Squeeze", ["sum", "axis"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p_not_skipped"]),
    ]
    output = helper.make_tensor_value_info("p_not_skipped", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "small", inputs, [output], initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def pack(layout: DataLayout, *, weight: float = 1.0, slope: float | None = None) -> Path:
    """Pack a small model where ``trained_model`` has it; with a calibration if a slope is given."""
    layout.model.mkdir(exist_ok=True)
    onnx_file = layout.model / ONNX_FILE
    onnx_file.write_bytes(network(weight))
    calibration = None
    if slope is not None:
        calibration = layout.model / "fitted.json"
        write_json(calibration, Calibration(slope, 0.1, 0.5, 10).to_json())
    folder = layout.model / SERVED_MODEL
    pack_folder(folder, layout, network=onnx_file, calibration=calibration, preset="fast")
    return folder


def request(rows: Sequence[Row], earlier: int | None = None) -> dict[str, Any]:
    """A session as a request: its rows but the last, or its first ``earlier``, and the track after them."""
    earlier = len(rows) - 1 if earlier is None else earlier
    return {
        "session_id": rows[0]["session_id"],
        "history": [dict(row) for row in rows[:earlier]],
        "next_track_id": rows[earlier]["track_id_clean"],
    }


def deliver_test_set(
    raw: Path,
    sessions: Sequence[Sequence[Row]],
    name: str = "20180917_000000000000.csv",
    *,
    asked_for: int | None = None,
) -> None:
    """Write sessions as a pair of the published test set: what was played, and the tracks asked for.

    Args:
        asked_for: number of each session's last tracks; else its second half, as published.
    """
    cuts = [len(rows) - asked_for if asked_for else len(rows) // 2 for rows in sessions]
    halves = [(rows[:cut], rows[cut:]) for rows, cut in zip(sessions, cuts, strict=True)]
    asked = ("session_id", "track_id_clean", "session_position", "session_length")
    deliver(raw / "test_set" / f"log_prehistory_{name}", [row for first, _ in halves for row in first])
    deliver(
        raw / "test_set" / f"log_input_{name}",
        [{column: row[column] for column in asked} for _, second in halves for row in second],
    )
