"""A data directory of literal sessions, and served models whose networks are a few operators of ONNX."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from skip_pipeline import schema
from skip_pipeline.baselines.fit import fit_and_export
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SHUFFLE
from skip_pipeline.bundles.track_memory import MEMORY_FILES
from skip_pipeline.metrics.blend import Blend
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.decision_rule import DecisionRule
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.serving.model_folder import pack as pack_folder
from skip_pipeline.settings import HANDMADE_FILE, ONNX_FILE, DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import write_json
from skip_pipeline.training.onnx_model import OUTCOMES, OUTPUT, STEPS_AND_TRACKS, input_shapes
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
        hour_of_day=some(range(24)),
        premium=some([True, False]),
        **levels,
    )


SESSIONS = [varied_session(f"s{i}", LENGTHS[i % len(LENGTHS)], seed=i) for i in range(44)]
"""Four of every length, some in each split."""


def data_directory(root: Path) -> DataLayout:
    """A data directory whose bundles have been made."""
    raw = root / "01_raw"
    deliver(raw / "training_set" / "log_mini.csv", [row for rows in SESSIONS for row in rows])
    deliver(raw / "track_features" / "tf_mini.csv", TRACKS)
    return make_stages(root)


def make_stages(root: Path) -> DataLayout:
    """Make every stage up to the bundles from the raw files of a data directory."""
    layout = DataLayout(root)
    for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table, stages.tensor_bundles):
        stage(layout)
    return layout


def copied(layout: DataLayout, folder: Path) -> DataLayout:
    """A copy of a data directory, to be changed."""
    return DataLayout(Path(shutil.copytree(layout.root, folder / "data")))


class _Graph:
    """An ONNX network that is built node by node."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(5)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *operands: str | np.ndarray, name: str = "", **attributes: Any) -> str:
        """Add a node; arrays become constants."""
        names = []
        for operand in operands:
            if isinstance(operand, np.ndarray):
                self.constants.append(numpy_helper.from_array(operand, f"constant_{len(self.constants)}"))
                operand = self.constants[-1].name
            names.append(operand)
        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    def weights(self, *shape: int, weight: float) -> np.ndarray:
        size = int(np.prod(shape))
        return (self.random.normal(size=(size, 1)) * weight / size).astype(np.float32)

    def weighted_sum(self, name: str, weight: float) -> str:
        """The weighted sum of a whole input, (n, 1)."""
        shape = schema.INPUT_SHAPES[name]
        weights = self.weights(*shape, weight=weight)
        if name == "session_log":
            # Seeks reach two thousand million here, and would decide alone.
            seeks = [i for i, c in enumerate(schema.SESSION_LOG_BRANCH) if "seek" in c]
            weights.reshape(shape)[:, seeks] *= 1e-9
        if name == "visible_steps":
            weights /= schema.STEPS
        return self.add("MatMul", self.add("Flatten", name, axis=1), weights)

    def model(self, shapes: Mapping[str, Sequence[int | str]], output: str, *shape: int | str) -> bytes:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
            for name, shape in shapes.items()
        ]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", *shape])]
        graph = helper.make_graph(self.nodes, "small", inputs, outputs, initializer=self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def network_of_last_tracks(weight: float = 1.0) -> bytes:
    """A network of the four branches: the sigmoid of a weighted sum of everything that it is given."""
    graph = _Graph()
    total = graph.add("Sum", *(graph.weighted_sum(name, weight) for name in schema.BRANCH_SHAPES))
    graph.add("Sigmoid", graph.add("Squeeze", total, np.array([1])), name=OUTPUT)
    return graph.model(schema.BRANCH_SHAPES, OUTPUT)


EARLY = (0.25, 0.8, 0.9)
"""Shares of all skips that have ``skip_1``, ``skip_2`` and ``skip_3``."""


def network(weight: float = 1.0) -> bytes:
    """A network that answers candidates, as the default preset's: of all inputs, with all outcomes.

    The log-odds of a track are a weighted sum of the history, the memory of its tracks, the track's features
    and memory, and how often the session has played it. Of all skips, ``EARLY`` have each of the flags.
    """
    graph = _Graph()
    of_session = ("session_log", "previous_tracks", "skip_sequence", "circumstances", "visible_steps")
    history = graph.add("Sum", *(graph.weighted_sum(name, weight) for name in of_session))
    features = graph.add("MatMul", "last_track", graph.weights(len(schema.TRACK_BRANCH), weight=weight))
    between = graph.add("Unsqueeze", "tracks_between", np.array([2]))
    asked = graph.add("Pad", graph.add("Sub", features, between), np.array([0, schema.STEPS, 0, 0, 0, 0]))
    memory = graph.add("MatMul", "track_memory", graph.weights(schema.TRACK_MEMORY, weight=weight))
    first_steps = np.array([0]), np.array([schema.STEPS]), np.array([1])
    heard = graph.add("ReduceMean", graph.add("Slice", memory, *first_steps), np.array([1]))
    steps = graph.add("Slice", "track_numbers", *first_steps)
    numbers = (
        graph.add("Unsqueeze", of, np.array([axis])) for of, axis in (("track_numbers", 2), (steps, 1))
    )
    same = graph.add("Cast", graph.add("Equal", *numbers), to=TensorProto.FLOAT)  # (n, 19 + N, 19)
    again = graph.add("MatMul", same, np.full((schema.STEPS, 1), weight / schema.STEPS, np.float32))
    log_odds = graph.add("Sum", graph.add("Unsqueeze", history, np.array([2])), heard, asked, memory, again)
    played = graph.add("Sigmoid", log_odds)
    skipped = graph.add("Sub", np.ones(1, np.float32), played)
    flags = graph.add("MatMul", skipped, np.array([EARLY], np.float32))
    graph.add("Concat", flags, played, axis=2, name=OUTCOMES)
    shapes = input_shapes(schema.INPUT_SHAPES)
    return graph.model(shapes, OUTCOMES, STEPS_AND_TRACKS, len(schema.OUTCOME_FLAGS))


@cache
def handmade_models(layout: DataLayout) -> bytes:
    """Regression and trees on hand-made features, fitted to ``SESSIONS``."""
    return fit_and_export(open_bundles(layout.bundles))[1]


MEMORY = np.random.default_rng(6).normal(size=(len(TRACKS), schema.TRACK_MEMORY)).astype(np.float16)
"""What other sessions left about each of ``TRACKS``."""


def pack(
    layout: DataLayout,
    *,
    weight: float = 1.0,
    slope: float | None = None,
    rule: DecisionRule | None = None,
    weights: Mapping[str, float] | None = None,
    last_tracks_alone: bool = False,
) -> Path:
    """Pack a small model where ``best_model`` has it.

    With a calibration if a slope is given, and blended with ``handmade_models`` if weights are.
    """
    layout.model.mkdir(exist_ok=True)
    onnx_file, memory = layout.model / ONNX_FILE, layout.model / MEMORY_FILES[0]
    onnx_file.write_bytes(network_of_last_tracks(weight) if last_tracks_alone else network(weight))
    np.save(memory, MEMORY)
    calibration = None
    if slope is not None:
        calibration = layout.model / "fitted.json"
        write_json(calibration, Calibration(slope, 0.1, 0.5, 10).to_json())
    rule_file = None
    if rule is not None:
        rule_file = layout.model / "fitted_rule.json"
        write_json(rule_file, rule.to_json())
    blended = None
    if weights is not None:
        blended = layout.model / "fitted_blend.json", layout.model / HANDMADE_FILE
        write_json(blended[0], Blend(weights, 0.1, 0.5, 10).to_json())
        blended[1].write_bytes(handmade_models(layout))
    folder = layout.best / SERVED_MODEL
    if last_tracks_alone:
        pack_folder(folder, layout, network=onnx_file, calibration=calibration, preset="published")
    else:
        pack_folder(
            folder,
            layout,
            network=onnx_file,
            calibration=calibration,
            preset="fast",
            memory=memory,
            rule=rule_file,
            blended=blended,
        )
    return folder


def request(rows: Sequence[Row], earlier: int | None = None) -> dict[str, Any]:
    """A session as a request: its rows but the last, or its first ``earlier``, and the track after them."""
    earlier = len(rows) - 1 if earlier is None else earlier
    return {
        "session_id": rows[0]["session_id"],
        "history": [dict(row) for row in rows[:earlier]],
        "next_track_id": rows[earlier]["track_id_clean"],
    }


def request_of(rows: Sequence[Row], candidates: Sequence[object]) -> dict[str, Any]:
    """A session as a request for several tracks in place of its last one."""
    asked = request(rows)
    del asked["next_track_id"]
    return asked | {"candidates": list(candidates)}


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
