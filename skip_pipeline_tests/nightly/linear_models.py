"""A model that is trained in a moment: logistic regression, packed as ``best_model`` packs one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.bundles.track_memory import MEMORY_FILES, TrackMemory, write_memory
from skip_pipeline.networks.listening import all_played
from skip_pipeline.nightly.best import CHOICE_FILE
from skip_pipeline.nightly.reference import write_reference
from skip_pipeline.serving.model_folder import SERVED_MODEL, pack
from skip_pipeline.settings import ONNX_FILE, DataLayout
from skip_pipeline.storage import write_json
from skip_pipeline.training.onnx_model import OUTCOMES, OUTPUT, STEPS_AND_TRACKS, input_shapes

_SEEN: Final = 9  # outcomes before a track that are read
_OF_TRACK: Final = 0.1  # scale of the track's features, which holds them down: there are few sessions


def train_linear(layout: DataLayout, *, wrong: bool = False, last_alone: bool = False) -> Path:
    """Fit to every track of the training sessions, and pack.

    Args:
        layout: with the bundles.
        wrong: whether every label is turned round.
        last_alone: whether the network answers the last track alone.
    """
    train = open_bundle(layout.bundles, "train")
    played = all_played(train)  # (n, 20), NaN in padding
    sign = np.nan_to_num(2.0 * played - 1.0)
    seen = np.stack([np.pad(sign, ((0, 0), (lag, 0)))[:, :-lag] for lag in range(_SEEN, 0, -1)], axis=2)
    tracks = np.concatenate([train.previous_tracks[:], train.last_track[:][:, None]], axis=1)
    real = ~np.isnan(played)
    is_last = np.zeros((*played.shape, 1))
    is_last[:, -1] = 1.0  # listeners leave, so the last track is skipped more often
    labels = played[real].astype(int)
    fitted = LogisticRegression(max_iter=500).fit(
        np.hstack([seen[real], is_last[real], _OF_TRACK * tracks[real]]), 1 - labels if wrong else labels
    )
    layout.model.mkdir(exist_ok=True)
    network = layout.model / ONNX_FILE
    of_outcomes, of_last, of_track = np.split(fitted.coef_[0], [_SEEN, _SEEN + 1])
    offset = np.append(np.zeros(schema.STEPS), of_last) + fitted.intercept_  # (20,)
    network.write_bytes(_network(of_outcomes, _OF_TRACK * of_track, offset, last_alone))
    folder = layout.best / SERVED_MODEL
    preset = "published" if last_alone else "fast"
    memory = None
    if not last_alone:
        write_memory(layout.model, TrackMemory.fit(train, train.tracks))
        memory = layout.model / MEMORY_FILES[0]
    pack(folder, layout, network=network, calibration=None, preset=preset, memory=memory)
    write_reference(folder, layout)
    write_json(layout.best / CHOICE_FILE, {"sentence": "Best of the night: a linear model"})
    return folder


def _network(of_outcomes: np.ndarray, of_track: np.ndarray, offset: np.ndarray, last_alone: bool) -> bytes:
    weights = np.zeros((schema.STEPS, schema.STEPS + 1))  # of each step, for each track
    for track in range(schema.STEPS + 1):
        for step in range(max(0, track - _SEEN), track):
            weights[step, track] = of_outcomes[_SEEN - (track - step)]
    constants = {
        "w_outcomes": weights,
        "w_track": of_track[:, None],
        "offset": offset,
        "one": np.array(1.0),
        "zero": np.array(0.0),
    }
    node = helper.make_node
    ints = {"axis_1": [1], "axis_2": [2], "steps": [schema.STEPS], "end": [schema.STEPS + 1], "start": [0]}
    nodes = [
        node("Squeeze", ["skip_sequence", "axis_2"], ["skips"]),
        node("Equal", ["skips", "one"], ["is_played"]),
        node("Equal", ["skips", "zero"], ["is_skipped"]),
        node("Cast", ["is_played"], ["played"], to=TensorProto.FLOAT),
        node("Cast", ["is_skipped"], ["skipped"], to=TensorProto.FLOAT),
        node("Sub", ["played", "skipped"], ["sign"]),
        node("MatMul", ["sign", "w_outcomes"], ["without_offset"]),
        node("Add", ["without_offset", "offset"], ["history"]),  # (n, 20)
        node("Slice", ["history", "start", "steps", "axis_1"], ["of_steps"]),
        node("Slice", ["history", "steps", "end", "axis_1"], ["of_last"]),
        node("MatMul", ["last_track", "w_track"], ["last"]),  # (n, 1), or (n, N, 1)
    ]
    if last_alone:
        names = tuple(schema.BRANCH_SHAPES)
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"])
        nodes += [
            node("Add", ["of_last", "last"], ["sum"]),
            node("Squeeze", ["sum", "axis_1"], ["log_odds"]),
            node("Sigmoid", ["log_odds"], [OUTPUT]),
        ]
    else:
        names = tuple(schema.INPUT_SHAPES)
        size: list[str | int | None] = ["n", STEPS_AND_TRACKS, len(schema.OUTCOME_FLAGS)]
        output = helper.make_tensor_value_info(OUTCOMES, TensorProto.FLOAT, size)
        nodes += [
            node("MatMul", ["previous_tracks", "w_track"], ["previous"]),  # (n, 19, 1)
            *(node("Squeeze", [name, "axis_2"], [f"{name}_flat"]) for name in ("previous", "last")),
            node("Add", ["of_steps", "previous_flat"], ["steps_sum"]),
            node("Add", ["of_last", "last_flat"], ["tracks_sum"]),
            node("Concat", ["steps_sum", "tracks_sum"], ["all"], axis=1),
            node("Sigmoid", ["all"], ["p"]),
            node("Unsqueeze", ["p", "axis_2"], ["p_flag"]),
            node("Concat", ["p_flag"] * len(schema.OUTCOME_FLAGS), [OUTCOMES], axis=2),
        ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in input_shapes(names).items()
    ]
    initializers = [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()]
    initializers += [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in ints.items()]
    graph = helper.make_graph(nodes, "linear", inputs, [output], initializer=initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())
