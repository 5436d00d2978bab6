"""What is read beside the inputs: from the row before the predicted one, of the right session, in order."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundle
from skip_pipeline.bundles.tracks import track_matrix
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.report.circumstances import read_circumstances
from skip_pipeline.stages.encode import encode, feature_range, sessions
from skip_pipeline.stages.scale import fit_scaler
from skip_pipeline.storage import write_table
from skip_pipeline_tests import builders
from skip_pipeline_tests.builders import TEST, TRAIN, assert_says, refusal, session
from skip_pipeline_tests.bundle_writer import BundleWriter

OTHER_TEST = "s12"
"""In the test split like ``TEST``."""


def _write(folder: Path, **shards: list[Iterable[builders.Row]]) -> None:
    """Merged tables and the bundle that is made from them."""
    merged = {name: builders.merged_table(*rows) for name, rows in shards.items()}
    (folder / "merged").mkdir()
    encoded = {name: encode(table, builders.track_table()["track_id"]) for name, table in merged.items()}
    own = {name: sessions(table) for name, table in merged.items()}
    scaler = fit_scaler([feature_range(encoded[name], own[name]) for name in merged])
    writer = BundleWriter(folder / "bundles", track_matrix(builders.track_table(), scaler))
    for name, table in merged.items():
        write_table(table, folder / "merged" / f"{name}.parquet", schema.MERGED, data_source="real")
        scaled, _ = scaler.apply(encoded[name])
        writer.add(name, scaled, own[name], encoded[name][schema.LOG_TRACK_ID])
    writer.close()


def _open(folder: Path) -> tuple[Bundle, Bundle]:
    return open_bundle(folder / "bundles", "train"), open_bundle(folder / "bundles", "test")


def _last_two(first: object, before_last: object, last: object, length: int) -> list[object]:
    return [first] * (length - 2) + [before_last, last]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards; every value differs between the rows before the last, the one before it, and the last."""
    radio = session(
        TEST,
        length=12,
        hour_of_day=_last_two(1, 2, 3, 12),
        premium=_last_two(False, True, False, 12),
        context_type=_last_two("catalog", "radio", "charts", 12),
    )
    charts = session(
        OTHER_TEST,
        length=10,
        hour_of_day=_last_two(20, 21, 22, 10),
        premium=_last_two(True, False, True, 10),
        context_type=_last_two("radio", "charts", "catalog", 10),
    )
    _write(tmp_path, one=[radio, session(TRAIN, length=11)], two=[charts])
    return tmp_path


def test_the_split_of_the_other_test_session_is_test(folder: Path) -> None:
    assert _open(folder)[1].session_id.tolist() == [TEST, OTHER_TEST]


def test_they_are_those_of_the_row_before_the_predicted_one(folder: Path) -> None:
    found = read_circumstances(folder / "merged", *_open(folder))

    assert found.length.tolist() == [12, 10]
    assert found.hour.tolist() == [2, 21]
    assert found.premium.tolist() == [True, False]
    assert found.context_type.tolist() == ["radio", "charts"]


def test_the_predicted_row_is_never_looked_at(folder: Path) -> None:
    path = folder / "merged" / "two.parquet"
    before = read_circumstances(folder / "merged", *_open(folder))
    other = session(
        OTHER_TEST,
        length=10,
        hour_of_day=_last_two(20, 21, 0, 10),
        premium=_last_two(True, False, False, 10),
        context_type=_last_two("radio", "charts", "user_collection", 10),
        not_skipped=_last_two(True, True, False, 10),
    )
    write_table(builders.merged_table(other), path, schema.MERGED, data_source="real")
    after = read_circumstances(folder / "merged", *_open(folder))

    for name in ("hour", "premium", "context_type", "popularity", "known_track"):
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_a_track_is_known_that_training_has_played_anywhere(tmp_path: Path) -> None:
    # Training plays tracks 1 to 11, the last of them as the predicted one; t_12 only in a test session.
    history = [f"t_{i:02}" for i in range(12, 21)]
    tests = [
        session("s11", length=10, track_id_clean=[*history, "t_11"]),
        session("s12", length=10, track_id_clean=[*history, "t_03"]),
        session("s16", length=10, track_id_clean=[*history, "t_12"]),
    ]
    _write(tmp_path, one=[*tests, session(TRAIN, length=11)])
    train, test = _open(tmp_path)
    found = read_circumstances(tmp_path / "merged", train, test)

    assert test.session_id.tolist() == ["s11", "s12", "s16"]
    assert found.known_track.tolist() == [True, True, False]
    popularity = test.last_track[:, schema.TRACK_BRANCH.index("us_popularity_estimate")]
    assert np.array_equal(found.popularity, popularity)


def test_without_test_sessions_there_is_nothing(tmp_path: Path) -> None:
    _write(tmp_path, one=[session(TRAIN, length=11)])
    found = read_circumstances(tmp_path / "merged", *_open(tmp_path))
    assert [len(values) for values in vars(found).values()] == [0] * 6


def test_a_merged_table_of_other_sessions_is_refused(folder: Path) -> None:
    path = folder / "merged" / "two.parquet"
    write_table(builders.merged_table(session("stranger")), path, schema.MERGED, data_source="real")

    message = refusal(ContractError, lambda: read_circumstances(folder / "merged", *_open(folder)))

    assert_says(message, "two.parquet lacks 1 of its 1 test sessions", OTHER_TEST, "again")


def test_a_shard_that_is_gone_is_named(folder: Path) -> None:
    (folder / "merged" / "two.parquet").unlink()
    message = refusal(MissingInputError, lambda: read_circumstances(folder / "merged", *_open(folder)))
    assert_says(message, "two.parquet is missing")
