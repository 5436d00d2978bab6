"""Attributes are read from the row before the predicted one, of the right session, in order."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundle
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.report.session_attributes import SessionAttributes, read_session_attributes
from skip_pipeline.stages.encode import encode, feature_range, sessions
from skip_pipeline.stages.scale import fit_scaler
from skip_pipeline.stages.track_matrix import scale_tracks
from skip_pipeline.storage import write_table
from skip_pipeline_tests import builders
from skip_pipeline_tests.builders import TEST, TRAIN, assert_says, refusal, session
from skip_pipeline_tests.stages import shard_builders

OTHER_TEST = "s12"
"""In the test split like ``TEST``."""


def _write(folder: Path, **shards: Sequence[Iterable[builders.Row]]) -> None:
    """Merged tables and the bundle that is made from them."""
    merged = {name: builders.merged_table(*rows) for name, rows in shards.items()}
    (folder / "merged").mkdir()
    encoded = {name: encode(table, builders.track_table()["track_id"]) for name, table in merged.items()}
    own = {name: sessions(table) for name, table in merged.items()}
    scaler = fit_scaler([feature_range(encoded[name], own[name]) for name in merged])
    made = {}
    for name, table in merged.items():
        path = folder / "merged" / f"{name}.parquet"
        write_table(table, path, schema.MERGED, data_source="real", may_be_null=("premium",))
        scaled, _ = scaler.apply(encoded[name])
        made[name] = shard_builders.Shard(scaled, own[name], encoded[name][schema.LOG_TRACK_ID])
    tracks = scale_tracks(builders.track_table(), scaler)
    shard_builders.write(folder / "bundles", tracks=tracks, **made)


def _test_bundle(folder: Path) -> Bundle:
    return open_bundle(folder / "bundles", "test")


def _read(folder: Path) -> SessionAttributes:
    train = open_bundle(folder / "bundles", "train")
    return read_session_attributes((folder / "merged").joinpath, train, _test_bundle(folder))


def _session(session_id: str, length: int, **last_three: tuple[object, object, object]) -> list[builders.Row]:
    """A session whose columns have one value in the row before the last, one in the last, one before both."""
    columns = {name: [a] * (length - 2) + [b, c] for name, (a, b, c) in last_three.items()}
    return session(session_id, length=length, **columns)


RADIO: dict[str, Any] = {
    "hour_of_day": (1, 2, 3),
    "premium": (False, True, False),
    "context_type": ("catalog", "radio", "charts"),
}
CHARTS: dict[str, Any] = {
    "hour_of_day": (20, 21, 22),
    "premium": (True, False, True),
    "context_type": ("radio", "charts", "catalog"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards with a test session each."""
    one = [_session(TEST, 12, **RADIO), session(TRAIN, length=11)]
    _write(tmp_path, one=one, two=[_session(OTHER_TEST, 10, **CHARTS)])
    return tmp_path


def test_attributes_are_those_of_the_row_before_the_predicted_one(folder: Path) -> None:
    assert _test_bundle(folder).session_id.tolist() == [TEST, OTHER_TEST]
    found = _read(folder)

    assert found.length.tolist() == [12, 10]
    assert found.hour.tolist() == [2, 21]
    assert found.premium.tolist() == [True, False]
    assert found.context_type.tolist() == ["radio", "charts"]


def test_the_predicted_row_changes_nothing(folder: Path) -> None:
    before = _read(folder)
    last: dict[str, Any] = {"hour_of_day": 0, "premium": False, "context_type": "user_collection"}
    changed = {name: (*CHARTS[name][:2], value) for name, value in last.items()}
    other = _session(OTHER_TEST, 10, **changed, not_skipped=(True, True, False))
    path = folder / "merged" / "two.parquet"
    write_table(builders.merged_table(other), path, schema.MERGED, data_source="real")

    for name, values in vars(_read(folder)).items():
        assert np.array_equal(getattr(before, name), values)


def test_a_track_is_known_that_training_has_played_anywhere(tmp_path: Path) -> None:
    # Training plays tracks 1 to 11, the last of them as the predicted one; t_12 only in a test session.
    history = [f"t_{i:02}" for i in range(12, 21)]
    last_tracks = {"s11": "t_11", "s12": "t_03", "s16": "t_12"}
    tests = [session(name, track_id_clean=[*history, last]) for name, last in last_tracks.items()]
    _write(tmp_path, one=[*tests, session(TRAIN, length=11)])
    found, test = _read(tmp_path), _test_bundle(tmp_path)

    assert test.session_id.tolist() == ["s11", "s12", "s16"]
    assert found.known_track.tolist() == [True, True, False]
    popularity = test.last_track[:, schema.TRACK_BRANCH.index("us_popularity_estimate")]
    assert np.array_equal(found.popularity, popularity)


def test_without_test_sessions_there_is_nothing(tmp_path: Path) -> None:
    _write(tmp_path, one=[session(TRAIN, length=11)])
    assert [len(values) for values in vars(_read(tmp_path)).values()] == [0] * 6


def test_a_merged_table_of_other_sessions_is_refused(folder: Path) -> None:
    path = folder / "merged" / "two.parquet"
    write_table(builders.merged_table(session("stranger")), path, schema.MERGED, data_source="real")

    message = refusal(ContractError, lambda: _read(folder))
    assert_says(message, "two.parquet lacks 1 of its 1 judged sessions", OTHER_TEST, "again")


def test_a_shard_that_is_gone_is_named(folder: Path) -> None:
    (folder / "merged" / "two.parquet").unlink()
    assert "two.parquet is missing" in refusal(MissingInputError, lambda: _read(folder))


def test_what_the_log_does_not_know_is_unknown(tmp_path: Path) -> None:
    unknown = {"premium": (True, None, True), "context_type": ("radio", "", "radio")}
    _write(tmp_path, one=[_session(TEST, 12, **unknown), session(OTHER_TEST), session(TRAIN)])
    found = _read(tmp_path)

    assert found.premium.tolist() == [-1, 1]
    assert found.context_type.tolist() == ["", "radio"]
