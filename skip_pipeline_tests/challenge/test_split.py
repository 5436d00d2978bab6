"""Logs of whole sessions as test sets: formats, names, marks, and logs and folders that are refused."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow.csv as pacsv
import pytest

from skip_pipeline.challenge.evaluation import evaluate
from skip_pipeline.challenge.half_sessions import read_half_sessions
from skip_pipeline.challenge.rules import last_action
from skip_pipeline.challenge.split import SplitSummary, split_logs
from skip_pipeline.challenge.submission import submit
from skip_pipeline.engine import open_engine
from skip_pipeline.errors import BadInputError, BrokenSessionError, RefusedError
from skip_pipeline.raw.folder import marker_doubt
from skip_pipeline.raw.log_pairs import pairs_in
from skip_pipeline.raw.own_listening import own_listening as read_marker
from skip_pipeline.schema import SESSION_LOG
from skip_pipeline.settings import EngineSettings
from skip_pipeline_tests.builders import (
    GATE,
    TEST,
    TRAIN,
    VALIDATION,
    assert_says,
    csv_bytes,
    deliver,
    own_listening,
    refusal,
    session,
)
from skip_pipeline_tests.challenge.small_test_sets import inputs, skipping

TODAY = dt.date(2018, 7, 16)
LOG = "log_0_20180715_000000000000"


def cut(out: Path, *logs: Path, of: str | None = None) -> SplitSummary:
    return split_logs(logs, out, today=TODAY, of=of)


def names(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


# --- Formats ----------------------------------------------------------------------------------------------


def test_a_log_becomes_a_pair_and_its_truth_in_the_published_spelling(tmp_path: Path) -> None:
    rows = [*skipping("s2", "11111010011"), *skipping("s1", "0000010000")]
    made = cut(tmp_path / "out", deliver(tmp_path / f"{LOG}.csv", rows))
    second, first = rows[:11], rows[11:]

    assert names(tmp_path / "out") == [
        "test_set/log_input_0_20180715_000000000000.csv",
        "test_set/log_prehistory_0_20180715_000000000000.csv",
        "truth/log_truth_0_20180715_000000000000.csv",
    ]
    asked, heard, truth = (tmp_path / "out" / name for name in names(tmp_path / "out"))
    assert heard.read_bytes() == csv_bytes(first[:5] + second[:5], SESSION_LOG.names)
    assert asked.read_bytes() == csv_bytes(inputs(first[5:] + second[5:]))
    assert truth.read_bytes() == b"session_id,skip_2\ns1,10000\ns2,010011\n"
    assert made == SplitSummary("real", files=1, sessions=2, tracks=11)


def test_several_logs_are_several_pairs_that_evaluate_as_cut(tmp_path: Path) -> None:
    logs = [
        deliver(tmp_path / "log_b.csv.gz", skipping("s1", "0000111111")),
        deliver(tmp_path / "log_a.csv", skipping("s2", "00000000010")),
        deliver(tmp_path / "other.csv", skipping("s3", "0000011111")),
    ]
    made = cut(tmp_path / "out", *logs)
    submit(tmp_path / "out" / "test_set", tmp_path / "out.txt", last_action)
    found = evaluate(tmp_path / "out" / "truth", [tmp_path / "out.txt"])

    assert (made.files, made.sessions, found.sessions) == (3, 3, 3)
    assert [pair.input.name for pair in pairs_in(tmp_path / "out" / "test_set")] == [
        "log_input_a.csv",
        "log_input_b.csv",
        "log_input_other.csv",
    ]
    assert found.scores[0].fpa.value == pytest.approx(2 / 3)


def test_texts_that_need_quotes_are_read_again_as_they_were(tmp_path: Path) -> None:
    rows = session("s1", 10, context_type='a "b", c')
    log = tmp_path / "log_1.csv"
    log.write_bytes(csv_bytes(rows).replace(b'a "b", c', b'"a ""b"", c"'))
    cut(tmp_path / "out", log)
    [pair] = pairs_in(tmp_path / "out" / "test_set")

    assert read_half_sessions(pair).log["context_type"].to_pylist() == ['a "b", c'] * 5


@pytest.mark.parametrize(
    ("of", "kept"), [("test", TEST), ("gate", GATE), ("train", TRAIN), ("validation", VALIDATION)]
)
def test_sessions_of_one_split_can_be_cut_alone(tmp_path: Path, of: str, kept: str) -> None:
    rows = [row for name in (TRAIN, VALIDATION, GATE, TEST) for row in session(name)]
    made = cut(tmp_path / "out", deliver(tmp_path / "log_1.csv", rows), of=of)

    assert made.sessions == 1
    truth = tmp_path / "out" / "truth" / "log_truth_1.csv"
    assert pacsv.read_csv(truth)["session_id"].to_pylist() == [kept]


def test_a_log_without_a_session_of_the_split_makes_no_file(tmp_path: Path) -> None:
    logs = [deliver(tmp_path / f"log_{name}.csv", session(name)) for name in (TEST, TRAIN)]
    made = cut(tmp_path / "out", *logs, of="test")

    assert made.files == 1
    assert names(tmp_path / "out") == [
        f"test_set/log_input_{TEST}.csv",
        f"test_set/log_prehistory_{TEST}.csv",
        f"truth/log_truth_{TEST}.csv",
    ]


@pytest.mark.slow
def test_worker_processes_write_the_same_bytes(tmp_path: Path) -> None:
    logs = [deliver(tmp_path / f"log_{i}.csv", session(f"s{i}", 10 + i)) for i in range(3)]
    cut(tmp_path / "here", *logs)
    with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
        split_logs(
            logs,
            tmp_path / "there",
            today=TODAY,
            apply=lambda f, shards: engine.map(f, shards, label="split"),
        )
    here, there = (
        {name: (tmp_path / folder / name).read_bytes() for name in names(tmp_path / folder)}
        for folder in ("here", "there")
    )
    assert here == there


# --- Marks ------------------------------------------------------------------------------------------------


def test_cuts_of_a_synthetic_log_are_marked_as_synthetic(tmp_path: Path) -> None:
    log = deliver(tmp_path / "raw" / "training_set" / "log_mini.csv", session())
    (tmp_path / "raw" / "SYNTHETIC.json").write_text('{"files": {}}')
    made = cut(tmp_path / "out", log)
    marker = json.loads((tmp_path / "out" / "SYNTHETIC.json").read_text())

    assert made.data_source == "synthetic"
    assert sorted(marker["files"]) == [name for name in names(tmp_path / "out") if name != "SYNTHETIC.json"]
    assert "synthetic" in marker["note"]
    assert marker_doubt(tmp_path / "out") == ""


def test_cuts_of_own_listening_keep_its_marker_and_its_unknown_values(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    rows = [row | {"premium": "", "context_type": ""} for row in session("s1", 10)]
    log = deliver(raw / "training_set" / "log_1.csv", rows)
    marker = own_listening(raw, "premium", "context_type")
    made = cut(tmp_path / "out", log)
    found = read_marker(tmp_path / "out")
    sessions = read_half_sessions(pairs_in(tmp_path / "out" / "test_set")[0])

    assert made.data_source == "real"
    assert found
    assert (found.described(), found.unknown) == (marker.described(), marker.unknown)
    assert (found.plays, found.sessions) == (10, 1)
    assert sorted(found.files) == [name for name in names(tmp_path / "out") if name.endswith(".csv")]
    assert sessions.log["premium"].to_pylist() == [None] * 5
    assert last_action(sessions).tolist() == [0] * 5


def test_logs_of_an_import_are_not_cut_together_with_others(tmp_path: Path) -> None:
    logs = [deliver(tmp_path / name / "training_set" / f"log_{name}.csv", session(name)) for name in "ab"]
    own_listening(tmp_path / "a")
    message = refusal(BadInputError, lambda: cut(tmp_path / "out", *logs))
    assert_says(message, "different markers OWN_LISTENING.json", "one import after the other")


# --- Refusals ---------------------------------------------------------------------------------------------


def nothing_is_left(tmp_path: Path) -> bool:
    return not (tmp_path / "out").exists() and not list(tmp_path.glob(".*.part"))


def test_a_session_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    log = deliver(tmp_path / "log_1.csv", session("s1", 10)[:9])
    message = refusal(BrokenSessionError, lambda: cut(tmp_path / "out", log))
    assert_says(message, "log_1.csv: session 's1'", "lacks 10")
    assert nothing_is_left(tmp_path)


def test_a_session_in_two_logs_is_refused(tmp_path: Path) -> None:
    logs = [deliver(tmp_path / f"log_{i}.csv", session("s1")) for i in range(2)]
    message = refusal(BadInputError, lambda: cut(tmp_path / "out", *logs))
    assert_says(message, "session 's1'", "log_0.csv", "log_1.csv")
    assert nothing_is_left(tmp_path)


def test_logs_of_one_name_are_refused(tmp_path: Path) -> None:
    logs = [deliver(tmp_path / folder / "log_1.csv", session(folder)) for folder in ("a", "b")]
    message = refusal(BadInputError, lambda: cut(tmp_path / "out", *logs))
    assert_says(message, "2 logs are called log_1", "Rename one")


def test_no_session_of_the_split_is_refused(tmp_path: Path) -> None:
    log = deliver(tmp_path / "log_1.csv", session(TRAIN))
    message = refusal(BadInputError, lambda: cut(tmp_path / "out", log, of="test"))
    assert_says(message, "none of the 1 sessions of", "log_1.csv is in the split test")
    assert nothing_is_left(tmp_path)


def test_a_folder_that_is_not_empty_stays_as_it_is(tmp_path: Path) -> None:
    log = deliver(tmp_path / "log_1.csv", session())
    (tmp_path / "out").mkdir()
    cut(tmp_path / "out", log)  # an empty one will do
    before = names(tmp_path / "out")
    assert_says(
        refusal(RefusedError, lambda: cut(tmp_path / "out", log)), "out is not empty", "Choose another"
    )
    assert names(tmp_path / "out") == before
    assert_says(refusal(RefusedError, lambda: cut(log, log)), "log_1.csv is a file")
