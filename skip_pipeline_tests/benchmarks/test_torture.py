"""The short form of mutated files and requests; ``python -m benchmarks.torture.input`` has the long one."""

import json
from dataclasses import replace
from random import Random

import pyarrow as pa
import pytest

from benchmarks.torture import exports, files, parquet_logs, requests, submissions
from benchmarks.torture import input as long_form
from benchmarks.torture.plain_log import ordered_log, read_rows, second_halves
from benchmarks.torture.plain_request import is_right
from benchmarks.torture.tally import HEAD, READ, REFUSED, Tally
from skip_pipeline.errors import BadInputError
from skip_pipeline.serving.examples import EXAMPLE

SEED = 19
CONTRACT = pa.schema([("session_id", pa.string()), ("key", pa.int8()), ("skip_1", pa.bool_())])


def losses(tallies):
    return [loss for tally in tallies for loss in tally.lost]


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """Right files of each kind."""
    return long_form.subjects_of(tmp_path_factory.mktemp("subjects") / "raw")


KINDS = ("delivered CSV", "input of a pair", "parquet log", "submission", "export")


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_every_mutated_file_is_read_right_or_refused(subjects, tmp_path, kind):
    mutations = len(subjects[kind][0].mutations)
    first, *others = files.torture(subjects[kind], tmp_path, times=12 * mutations, seed=SEED)
    assert losses([first, *others]) == []
    assert first.fault.startswith(f"{KINDS[kind]}: written otherwise")
    assert first.outcomes == {READ: 12}
    assert all(tally.tried == 12 and tally.outcomes[REFUSED] > 2 for tally in others)


@pytest.mark.slow
def test_the_long_form_prints_a_row_for_each_fault(capsys):
    assert long_form.main(["--files", "8", "--requests", "300", "--seed", str(SEED)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[:2] == HEAD.splitlines()
    assert len(rows) == 2 + 2 * len(files.MUTATIONS) + len(requests.MUTATIONS) + sum(
        len(module.MUTATIONS) for module in (parquet_logs, submissions, exports)
    )
    assert all(row.endswith(f"| nothing | at once | {SEED} |") for row in rows[2:])
    assert (
        f"| HTTP request: written and sent otherwise | 50 | read right 50 | nothing | at once | {SEED} |"
        in rows
    )


@pytest.mark.parametrize(
    ("failure", "lost"),
    [
        (BadInputError("no name"), "does not name the file"),
        (KeyError("x"), "KeyError"),
        (None, "read wrongly"),
    ],
)
def test_what_is_neither_read_right_nor_refused_is_a_loss(subjects, tmp_path, failure, lost):
    def load(_path):
        if failure:
            raise failure
        return []

    right = subjects[0][0]
    name, content = right.mutations["written otherwise, as spreadsheets, R and pandas do"](Random(1))  # noqa: S311 - no secret
    tally = Tally("values replaced")
    files.try_one(tally, replace(right, load=load), tmp_path / name, content, "seed 1, number 2")
    assert len(tally.lost) == 1
    assert lost in tally.lost[0]
    assert tally.row() == f"| values replaced | 1 | otherwise 1 | 1: {tally.lost[0]} | at once | none |"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("session_id,key,skip_1\na,1,true\n", [("a", 1, True)]),
        ('skip_1,"key",session_id\r\n1.0,0x7f,b\r\n,,\n', [("b", 127, True)]),
        ("session_id,key,skip_1\na,1e1,0\n\n", [("a", 10, False)]),
        *(
            (f"session_id,key,skip_1\n{row}\n", None)
            for row in ("a,1.5,1", "a,128,1", ",1,1", "a,1", "a,1,2")
        ),
        ("session_id,key\na,1\n", None),
        ("session_id,key,skip_1\n", None),
        ("", None),
    ],
)
def test_the_reference_reads_the_obvious(text, rows):
    try:
        found = [tuple(row[name] for name in CONTRACT.names) for row in read_rows(text.encode(), CONTRACT)]
    except ValueError:
        found = None
    assert found == rows


def test_the_reference_orders_sessions_and_refuses_broken_ones():
    rows = [{"session_id": "s", "session_position": i, "session_length": 2} for i in (2, 1)]
    assert [row["session_position"] for row in ordered_log(rows)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        ordered_log(rows[:1])


def test_the_reference_orders_second_halves_and_refuses_broken_ones():
    rows = [{"session_id": name, "session_position": i, "session_length": 4} for name in "ba" for i in (4, 3)]
    found = [(row["session_id"], row["session_position"]) for row in second_halves(rows, {"a": 2, "b": 2})]
    assert found == [("b", 3), ("b", 4), ("a", 3), ("a", 4)]
    for wrong, heard in ((rows[1:], {"a": 2, "b": 2}), (rows, {"a": 2}), (rows, {"a": 2, "b": 1})):
        with pytest.raises(ValueError, match=r"other sessions|a broken session"):
            second_halves(wrong, heard)


def test_the_reference_scores_digit_by_digit():
    assert submissions.scores_of(["10101", "01111"], ["10101", "00000"]) == (0.6, 1.0)
    with pytest.raises(ValueError, match="digit"):
        submissions.scores_of(["12"], ["10"])


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"next_track_id": float("nan"), "candidates": ["a", "b"]}, True),
        ({"candidates": ["a", "b"]}, False),
        ({"next_track_id": None}, False),
        ({"session_id": ""}, False),
        ({"history": []}, False),
        ({"history": [EXAMPLE["history"][0] | {"session_length": 4}] * 2}, False),
        ({"history": [EXAMPLE["history"][0] | {"session_length": 4.0, "hour_of_day": 3.0}]}, True),
        ({"history": [EXAMPLE["history"][0] | {"skip_1": 0.5}]}, False),
        ({"more": 1}, False),
    ],
)
def test_the_reference_judges_requests_by_the_documented_rules(change, right):
    assert is_right(json.dumps({"inputs": EXAMPLE | change}).encode()) == right
    assert not is_right(json.dumps([EXAMPLE | change]).encode())
