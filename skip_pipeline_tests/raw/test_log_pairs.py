"""Pairs of the published test set: which files belong together, and how sessions are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.log_pairs import LOG_INPUT, LogPair, cut, digits_of, log_pairs, pair_of
from skip_pipeline.schema import SESSION_LOG
from skip_pipeline_tests.builders import assert_says, log_table, refusal, session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "test_set"
    path.mkdir()
    return path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


# --- Files ------------------------------------------------------------------------------------------------


def test_a_gzipped_file_and_a_plain_one_are_a_pair(folder: Path) -> None:
    touch(folder, "log_prehistory_20180715_0.csv.gz", "log_input_20180715_0.csv")
    touch(folder, "log_prehistory_20180716_0.csv", "log_input_20180716_0.csv.gz")
    expected = [
        LogPair(folder / "log_prehistory_20180715_0.csv.gz", folder / "log_input_20180715_0.csv"),
        LogPair(folder / "log_prehistory_20180716_0.csv", folder / "log_input_20180716_0.csv.gz"),
    ]

    assert list(log_pairs(folder.parent)) == expected
    assert [pair_of(pair.prehistory) for pair in expected] == expected


def test_pairs_are_in_the_order_of_the_plain_names_of_their_inputs(folder: Path) -> None:
    names = ("1.csv", "10.csv.gz", "1-2.csv.gz", "2.csv")
    touch(folder, *(f"{kind}{name}" for kind in ("log_prehistory_", "log_input_") for name in names))
    plain = sorted(f"log_input_{name.removesuffix('.gz')}" for name in names)

    assert [pair.input.name.removesuffix(".gz") for pair in log_pairs(folder.parent)] == plain
    assert plain[0] == "log_input_1-2.csv"


@pytest.mark.parametrize(
    ("lost", "named"), [("log_input_", "log_prehistory_"), ("log_prehistory_", "log_input_")]
)
def test_half_a_pair_is_refused(folder: Path, lost: str, named: str) -> None:
    touch(folder, "log_prehistory_1.csv", "log_input_1.csv", f"{named}2.csv.gz")
    message = refusal(MissingInputError, lambda: log_pairs(folder.parent))
    assert_says(message, f"{named}2.csv.gz has no {lost}2.csv.gz beside it", "Put the other there")


@pytest.mark.parametrize("twice", ["log_input_1.csv", "log_prehistory_1.csv"])
def test_a_file_that_is_there_plain_and_gzipped_is_refused(folder: Path, twice: str) -> None:
    touch(folder, "log_prehistory_1.csv", "log_input_1.csv", f"{twice}.gz")
    message = refusal(BadInputError, lambda: log_pairs(folder.parent))
    assert_says(message, f"holds both {twice} and {twice}.gz", "Remove the other")


def test_a_missing_input_is_expected_under_the_name_of_its_prehistory(folder: Path) -> None:
    prehistory = folder / "log_prehistory_1.csv.gz"
    assert pair_of(prehistory).input == folder / "log_input_1.csv.gz"


def test_without_a_folder_there_are_no_pairs(tmp_path: Path) -> None:
    assert log_pairs(tmp_path) == ()


# --- Sessions ---------------------------------------------------------------------------------------------


def test_sessions_are_cut_where_twice_the_position_exceeds_the_length() -> None:
    odd = session("s1", 11, skip_2=[True] * 5 + [True, False, True, False, False, True])
    even = session("s0", 10, skip_2=[False] * 9 + [True])
    heard, asked, truth = cut(log_table(odd, even))

    assert heard.schema == SESSION_LOG
    assert heard["session_position"].to_pylist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    assert asked.column_names == LOG_INPUT.names
    assert asked["session_position"].to_pylist() == [6, 7, 8, 9, 10, 11, 6, 7, 8, 9, 10]
    assert asked["session_length"].to_pylist() == [11] * 6 + [10] * 5
    assert asked["track_id_clean"].to_pylist()[:2] == ["t_06", "t_07"]
    assert truth.to_pylist() == [
        {"session_id": "s1", "skip_2": "101001"},
        {"session_id": "s0", "skip_2": "00001"},
    ]


def test_digits_of_a_slice_of_texts_and_of_none() -> None:
    digits, tracks = digits_of(pa.array(["000", "10", "1"]).slice(1))
    assert (digits.tolist(), tracks.tolist()) == ([1, 0, 1], [2, 1])
    digits, tracks = digits_of(pa.array([], pa.string()))
    assert (digits.tolist(), tracks.tolist()) == ([], [])
    assert set(digits_of(pa.array(["2a /"]))[0].tolist()).isdisjoint({0, 1})
    assert digits.dtype == np.uint8
