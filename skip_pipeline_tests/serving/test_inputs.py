"""The network's inputs when it serves equal those in training, bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundle, open_bundles
from skip_pipeline.bundles.records import CATEGORIES, SEEKS
from skip_pipeline.bundles.track_memory import Remembered, TrackMemory
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.log_pairs import log_pairs
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.logs import read_log_pair, read_whole_log
from skip_pipeline.serving.requests import sessions_of_records
from skip_pipeline.serving.sessions import branches
from skip_pipeline.serving.tracks import KnownTracks
from skip_pipeline.settings import SCALER_FILE, DataLayout
from skip_pipeline.stages.scale import Scaler
from skip_pipeline_tests.builders import TRACKS, assert_says, deliver, own_listening, refusal
from skip_pipeline_tests.serving.small_models import (
    LENGTHS,
    MEMORY,
    SESSIONS,
    deliver_test_set,
    make_stages,
    request,
)


def trained_on(layout: DataLayout) -> dict[str, tuple[str, int]]:
    """Split and number of every session of the bundles."""
    return {
        name: (split, number)
        for split in schema.SPLITS
        for number, name in enumerate(open_bundle(layout.bundles, split).session_id.tolist())
    }


def inputs_of(bundle: Bundle, number: int) -> dict[str, np.ndarray]:
    """The inputs of one session of a bundle, with the memory that the model serves."""
    remembered = Remembered(bundle, TrackMemory(MEMORY, np.empty(0)))
    return {name: remembered[name][[number]] for name in schema.INPUT_SHAPES}


def assert_same(served: dict[str, np.ndarray], trained: dict[str, np.ndarray]) -> None:
    for name, shape in schema.INPUT_SHAPES.items():
        assert served[name].dtype == np.float32
        assert served[name].shape[1:] == shape
        np.testing.assert_array_equal(served[name].view(np.uint32), trained[name].view(np.uint32), name)


@pytest.fixture
def trained(layout: DataLayout) -> dict[str, np.ndarray]:
    """The bundles' inputs of all sessions, in the order of ``SESSIONS``."""
    bundles = {split: open_bundle(layout.bundles, split) for split in schema.SPLITS}
    where = trained_on(layout)
    batches = [
        inputs_of(bundles[split], n) for split, n in (where[rows[0]["session_id"]] for rows in SESSIONS)
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in schema.INPUT_SHAPES}


def test_sessions_of_every_length_are_there() -> None:
    assert {len(rows) for rows in SESSIONS} == set(LENGTHS)


def test_inputs_of_a_request_equal_the_bundles(model: ServedModel, trained: dict[str, np.ndarray]) -> None:
    sessions = sessions_of_records([request(rows) for rows in SESSIONS])
    assert_same(model.inputs(sessions), trained)


def test_a_session_alone_gives_the_same_inputs(model: ServedModel, trained: dict[str, np.ndarray]) -> None:
    for i, rows in enumerate(SESSIONS):
        alone = model.inputs(sessions_of_records([request(rows)]))
        assert_same(alone, {name: trained[name][i : i + 1] for name in alone})


def test_inputs_of_a_log_file_equal_the_bundles(
    layout: DataLayout, model: ServedModel, trained: dict[str, np.ndarray]
) -> None:
    sessions = read_whole_log(layout.raw / "training_set" / "log_mini.csv")
    order = [rows[0]["session_id"] for rows in SESSIONS]
    at = [order.index(name) for name in sessions.session_id]
    assert_same(model.inputs(sessions), {name: array[at] for name, array in trained.items()})


@pytest.mark.parametrize("earlier", range(1, schema.STEPS + 1))
def test_a_shorter_history_is_padded_as_a_bundle_pads(
    layout: DataLayout, model: ServedModel, earlier: int
) -> None:
    rows = next(rows for rows in SESSIONS if len(rows) == schema.MAX_SESSION_LENGTH)
    split, number = trained_on(layout)[rows[0]["session_id"]]
    whole = open_bundle(layout.bundles, split)
    (part,) = whole.parts
    first = int((part.sessions["length"][:number].astype(int) - 1).sum())
    cut = part.sessions[[number]].copy()  # as if the session had ended after `earlier` tracks
    if earlier < schema.STEPS:
        cut["last_track"] = part.rows["track"][first + earlier]
    cut["length"] = earlier + 1
    own = part.rows[first : first + earlier]
    bundle = Bundle(whole._tracks, [replace(part, sessions=cut, rows=own, ids=part.ids[[number]])])
    ended = [row | {"session_length": earlier + 1} for row in rows]
    assert_same(model.inputs(sessions_of_records([request(ended, earlier)])), inputs_of(bundle, 0))


@pytest.mark.parametrize("earlier", [1, 9, schema.STEPS])
def test_a_session_without_a_length_gets_the_greatest_length(model: ServedModel, earlier: int) -> None:
    rows = next(rows for rows in SESSIONS if len(rows) == schema.MAX_SESSION_LENGTH)
    ended = request([row | {"session_length": earlier + 1} for row in rows], earlier)
    open_end = request([{k: v for k, v in row.items() if k != "session_length"} for row in rows], earlier)
    null = request([row | {"session_length": None} for row in rows], earlier)
    inputs, found, of_null = (model.inputs(sessions_of_records([r])) for r in (ended, open_end, null))

    length = schema.SESSION_LOG_BRANCH.index("session_length")
    assert found["session_log"][0, :, length].tolist() == [0] * (schema.STEPS - earlier) + [20] * earlier
    inputs["session_log"][0, schema.STEPS - earlier :, length] = 20
    assert_same(found, inputs)
    assert_same(of_null, inputs)


def test_inputs_of_a_test_set_pair_are_those_of_a_request_for_each_track(
    model: ServedModel, tmp_path
) -> None:
    deliver_test_set(tmp_path, SESSIONS[:11])
    (pair,) = log_pairs(tmp_path)
    sessions = read_log_pair(pair)
    known = model.tracks.rows_of(sessions.track_ids)
    for number, rows in enumerate(SESSIONS[:11]):
        half = len(rows) // 2
        found = branches(sessions, np.array([number]), known, model.tracks)
        assert found["tracks_between"].tolist() == [list(range(len(rows) - half))]
        for place, row in enumerate(rows[half:]):
            asked = request(rows, half) | {"next_track_id": row["track_id_clean"]}
            expected = model.inputs(sessions_of_records([asked]))
            of_track = [*range(schema.STEPS), schema.STEPS + place]
            alone = found | {
                "last_track": found["last_track"][:, place],
                "track_numbers": found["track_numbers"][:, of_track],
                "track_memory": found["track_memory"][:, of_track],
                "tracks_between": expected["tracks_between"],
            }
            assert_same(alone, expected)


def test_an_unknown_track_is_neutral_as_earlier_and_as_next_track(model: ServedModel) -> None:
    rows = SESSIONS[0]
    asked = request(rows)
    asked["history"][3]["track_id_clean"] = "t_new"
    asked["next_track_id"] = "t_other"
    known, unknown = (model.inputs(sessions_of_records([r])) for r in (request(rows), asked))
    step = schema.STEPS - len(asked["history"]) + 3
    neutral = model.tracks.neutral
    assert not unknown["track_memory"][0, [step, -1]].any()
    assert known["track_memory"][0, [step, -1]].any(axis=1).all()
    np.testing.assert_array_equal(unknown["previous_tracks"][0, step], neutral)
    np.testing.assert_array_equal(unknown["last_track"][0], neutral)
    others = np.arange(schema.STEPS) != step
    np.testing.assert_array_equal(unknown["previous_tracks"][0, others], known["previous_tracks"][0, others])


def test_a_track_that_is_not_in_the_table_is_the_same_wherever_it_occurs(model: ServedModel) -> None:
    asked = request(SESSIONS[0])
    for row, name in zip(asked["history"], ("t_new", "t_other", "t_new"), strict=False):
        row["track_id_clean"] = name
    numbers = [
        model.inputs(sessions_of_records([asked | {"next_track_id": name}]))["track_numbers"][0]
        for name in ("t_new", "t_third")
    ]
    first = schema.STEPS - len(asked["history"])
    assert numbers[0][first] == numbers[0][first + 2] == numbers[0][-1] != numbers[0][first + 1]
    assert numbers[1][-1] not in numbers[1][:-1]
    assert numbers[1][:first].tolist() == [-1] * first


def test_inputs_of_a_log_of_own_listening_equal_the_bundles(tmp_path: Path) -> None:
    unknown = {"context_switch": None, "premium": None, "context_type": "", SEEKS[0]: None, SEEKS[1]: None}
    log = deliver(
        tmp_path / "01_raw" / "training_set" / "log_0.csv", [r | unknown for s in SESSIONS for r in s]
    )
    deliver(tmp_path / "01_raw" / "track_features" / "tf.csv", [track | {"tempo": None} for track in TRACKS])
    reasons = [name for name in CATEGORIES if "reason" in name]
    unknown_reasons = sum(row[name] == "unheard_of" for s in SESSIONS for row in s[:-1] for name in reasons)
    message = refusal(BadInputError, lambda: read_whole_log(log))
    assert_says(message, "column context_switch has no value")
    own_listening(tmp_path / "01_raw", *unknown, "tempo")
    layout = make_stages(tmp_path)

    sessions = read_whole_log(log)
    assert 0 < sessions.unknown_levels == unknown_reasons
    bundle = open_bundles(layout.bundles)["train"]
    scaler = Scaler.from_json(json.loads((layout.scaled / SCALER_FILE).read_text()))
    matrix = np.load(layout.bundles / "tracks.npy")
    known = KnownTracks(np.array([track["track_id"] for track in TRACKS], "S"), matrix, matrix[0], scaler)
    at = [sessions.session_id.index(name) for name in bundle.session_id.tolist()]
    made = branches(sessions, np.array(at), known.rows_of(sessions.track_ids), known)
    for name in ("session_log", "previous_tracks", "skip_sequence", "circumstances", "track_numbers"):
        np.testing.assert_array_equal(made[name], bundle[name][:], name)
    np.testing.assert_array_equal(made["last_track"][:, 0], bundle.last_track[:])
    assert set(bundle.circumstances[:, -1].tolist()) == {0.0}
