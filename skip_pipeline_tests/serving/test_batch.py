import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline.engine import open_engine
from skip_pipeline.errors import BadInputError, BrokenSessionError, MissingInputError
from skip_pipeline.raw.test_pairs import log_pairs
from skip_pipeline.serving import ServedModel, batch
from skip_pipeline.serving.logs import read_log_pair, read_whole_log
from skip_pipeline.settings import EngineSettings
from skip_pipeline.storage import Apply, Staging, in_turn
from skip_pipeline_tests.builders import Row, assert_says, deliver, refusal, required, session
from skip_pipeline_tests.serving.small_models import SESSIONS, deliver_test_set, request

PAIR = "20180917_000000000000.csv"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def score(raw: Path, folder: Path, apply: Apply = in_turn) -> Staging:
    return batch.skip_predictions(
        raw, raw.parent / "08_predictions", model=folder, model_version="3", apply=apply
    )


def published(raw: Path) -> dict[str, dict[str, Any]]:
    """Predictions by session id."""
    files = sorted((raw.parent / "08_predictions").glob("*.parquet"))
    return {row["session_id"]: row for file in files for row in pq.read_table(file).to_pylist()}


# --- Scores -------------------------------------------------------------------------------------------------


def test_every_session_gets_what_a_request_gets(raw: Path, folder: Path, model: ServedModel) -> None:
    deliver_test_set(raw, SESSIONS)
    (raw / "SYNTHETIC.json").write_text('{"files": {}}')
    manifest = score(raw, folder).manifest
    rows = published(raw)
    halves = [request(rows_, len(rows_) // 2) for rows_ in SESSIONS]
    expected = model.score_records(halves)
    assert manifest.rows == len(rows) == len(SESSIONS)
    for half, p_skip in zip(halves, expected.p_skip, strict=True):
        row = rows[half["session_id"]]
        assert row["track_id"] == half["next_track_id"]
        assert row["p_skip"] == pytest.approx(p_skip, abs=1e-5)
        assert (row["model_version"], row["known_track"]) == ("3", True)
    assert manifest.details["values_of_unknown_level"] == expected.unknown_levels > 0
    assert manifest.data_source == "synthetic"
    (file,) = (raw.parent / "08_predictions").glob("*.parquet")
    assert file.name == "20180917_000000000000.parquet"
    assert pq.read_schema(file).metadata[b"data_source"] == b"synthetic"
    assert pq.read_schema(file).remove_metadata() == required(batch.SKIP_PREDICTIONS)


def test_an_unknown_track_is_scored_and_counted(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, [session("s1", 10, track_id_clean=["t_01"] * 5 + ["t_new"] * 5)])
    staging = score(raw, folder)
    assert [row["known_track"] for row in published(raw).values()] == [False]
    assert staging.manifest.details["unknown_tracks"] == 1


def test_a_pair_may_be_gzipped_and_rows_may_come_in_any_order(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, SESSIONS, f"{PAIR}.gz")
    score(raw, folder)
    expected = published(raw)
    assert len(expected) == len(SESSIONS)
    shutil.rmtree(raw)
    deliver_test_set(raw, SESSIONS)
    for file in (raw / "test_set").iterdir():
        header, *lines = file.read_text().splitlines()
        file.write_text("\n".join([header, *reversed(lines)]) + "\n")
    score(raw, folder)
    assert published(raw) == expected


def test_a_scored_pair_is_kept_until_it_or_the_model_changes(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, SESSIONS[:20])
    assert len(score(raw, folder).made) == 1
    deliver_test_set(raw, SESSIONS[20:], "20180918_000000000000.csv")
    assert score(raw, folder).made == ["20180918_000000000000.parquet"]
    assert score(raw, folder).made == []
    deliver_test_set(raw, SESSIONS[:19])
    assert score(raw, folder).made == [PAIR.replace("csv", "parquet")]


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, SESSIONS[:20])
    deliver_test_set(raw, SESSIONS[20:], "20180918_000000000000.csv")
    here = score(raw, folder).manifest.fingerprint
    shutil.rmtree(raw.parent / "08_predictions")
    with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
        there = score(raw, folder, apply=lambda f, shards: engine.map(f, shards, label="skip_predictions"))
    assert there.manifest.fingerprint == here
    assert len(there.made) == 2


def test_no_test_set_is_no_row(raw: Path, folder: Path) -> None:
    raw.mkdir()
    assert score(raw, folder).manifest.rows == 0


def test_no_model_is_refused(raw: Path, tmp_path: Path) -> None:
    deliver_test_set(raw, SESSIONS)
    assert_says(refusal(MissingInputError, lambda: score(raw, tmp_path)), "holds no served model")


# --- Pairs that cannot be scored ----------------------------------------------------------------------------


def only_pair(raw: Path) -> None:
    (pair,) = log_pairs(raw)
    read_log_pair(pair)


@pytest.mark.parametrize(
    ("lost", "named"), [("log_input_", "log_prehistory_"), ("log_prehistory_", "log_input_")]
)
def test_half_a_pair_is_refused(raw: Path, lost: str, named: str) -> None:
    deliver_test_set(raw, SESSIONS)
    (raw / "test_set" / f"{lost}{PAIR}").unlink()
    message = refusal(MissingInputError, lambda: log_pairs(raw))
    assert_says(message, f"{named}{PAIR} has no {lost}{PAIR} beside it", "Put the other there")


def inputs(rows: list[Row]) -> list[Row]:
    names = ("session_id", "track_id_clean", "session_position", "session_length")
    return [{name: row[name] for name in names} for row in rows]


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (inputs(session("s1", 10)[5:] + session("s9", 10)[5:]), ("'s9'", "is in log_input_20180917")),
        (inputs(session("s1", 10)[6:]), ("'s1'", "has 0 rows at position 6")),
        (inputs(session("s1", 10)[5:] + session("s1", 10)[5:6]), ("'s1'", "has 2 rows at position 6")),
    ],
)
def test_input_that_does_not_continue_the_prehistory_is_refused(
    raw: Path, asked: list[Row], parts: tuple[str, ...]
) -> None:
    deliver(raw / "test_set" / f"log_prehistory_{PAIR}", session("s1", 10)[:5])
    deliver(raw / "test_set" / f"log_input_{PAIR}", asked)
    message = refusal(BadInputError, lambda: only_pair(raw))
    assert_says(message, f"log_input_{PAIR}", *parts, "Deliver both files again")


def test_a_length_that_the_prehistory_has_reached_is_refused(raw: Path) -> None:
    ended = [row | {"session_length": 12} for row in session("s1", 13)]
    deliver(raw / "test_set" / f"log_prehistory_{PAIR}", ended[:12])
    deliver(raw / "test_set" / f"log_input_{PAIR}", inputs(ended[12:]))
    message = refusal(BadInputError, lambda: only_pair(raw))
    assert_says(message, f"log_input_{PAIR}", "'s1' has 12 in column session_length and 12 rows in log_preh")


def test_a_gap_in_a_prehistory_is_refused(raw: Path) -> None:
    rows = session("s1", 12)
    deliver(raw / "test_set" / f"log_prehistory_{PAIR}", rows[:3] + rows[4:6])
    deliver(raw / "test_set" / f"log_input_{PAIR}", inputs(rows[6:]))
    message = refusal(BrokenSessionError, lambda: only_pair(raw))
    assert_says(message, f"log_prehistory_{PAIR}", "'s1'", "1, 2, 3, 5, 6", "without gaps, 1 to 19 of them")


def test_a_bad_value_is_named_by_column_and_row(raw: Path) -> None:
    deliver_test_set(raw, [session("s1", 10)])
    file = raw / "test_set" / f"log_input_{PAIR}"
    file.write_text(file.read_text().replace(",7,", ",seven,"))
    message = refusal(BadInputError, lambda: only_pair(raw))
    assert_says(message, str(file), "session_position", "data row", "'seven'")


def test_a_bad_pair_leaves_the_others_scored(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, SESSIONS[:20])
    deliver_test_set(raw, SESSIONS[20:], "20180918_000000000000.csv")
    broken = raw / "test_set" / f"log_input_{PAIR}"
    whole = broken.read_text()
    broken.write_text("session_id\n")
    with pytest.raises(BadInputError, match="log_input_20180917"):
        score(raw, folder)
    broken.write_text(whole)
    assert score(raw, folder).made == [PAIR.replace("csv", "parquet")]


# --- Whole logs ---------------------------------------------------------------------------------------------


def parquet(folder: Path, rows: list[Row]) -> Path:
    path = folder / "log.parquet"
    pd.DataFrame(rows).to_parquet(path, compression=None)
    return path


def test_parquet_of_any_fitting_types_reads_as_the_csv_does(tmp_path: Path, model: ServedModel) -> None:
    rows = [row for rows in SESSIONS for row in rows]
    csv = read_whole_log(deliver(tmp_path / "log.csv", rows))
    found = read_whole_log(parquet(tmp_path, rows))
    assert found.session_id == csv.session_id
    np.testing.assert_array_equal(model.score(found).p_skip, model.score(csv).p_skip)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"context_switch": 2}, ("column context_switch is not a whole number from 0 to 1", "data row")),
        ({"hist_user_behavior_n_seekback": -1}, ("hist_user_behavior_n_seekback", "(-1)")),
        ({"track_id_clean": ""}, ("column track_id_clean is empty in data rows 1,",)),
        ({"context_type": None}, ("column context_type has no value in data rows 1,",)),
        ({"context_type": "a\nb"}, ("column context_type has a line break",)),
        ({"skip_1": "maybe"}, ("is no session log", "values that fit them")),
    ],
)
def test_parquet_with_wrong_values_is_refused(
    tmp_path: Path, change: dict[str, Any], parts: tuple[str, ...]
) -> None:
    path = parquet(tmp_path, [row | change for row in session("s1", 10)])
    message = refusal(BadInputError, lambda: read_whole_log(path))
    assert_says(message, "log.parquet", *parts)


@pytest.mark.parametrize("keep", [0, 3, 20, -1, -400])
def test_parquet_that_was_cut_is_refused(tmp_path: Path, keep: int) -> None:
    path = parquet(tmp_path, session("s1", 10))
    path.write_bytes(path.read_bytes()[:keep])
    message = refusal(BadInputError, lambda: read_whole_log(path))
    assert_says(message, str(path), "damaged", "copy the file again")


def test_parquet_with_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, session("s1", 10, context_type="charts"))
    content = path.read_bytes()
    assert b"charts" in content
    path.write_bytes(content.replace(b"charts", b"\xffharts"))
    assert_says(refusal(BadInputError, lambda: read_whole_log(path)), str(path), "UTF", "copy the file again")


def test_parquet_without_columns_or_rows_is_refused(tmp_path: Path) -> None:
    rows = session("s1", 10)
    lacking = [{k: v for k, v in row.items() if k not in ("skip_1", "premium")} for row in rows]
    path = parquet(tmp_path, lacking)
    assert_says(refusal(BadInputError, lambda: read_whole_log(path)), str(path), "skip_1, premium", "21")
    pd.DataFrame(rows).iloc[:0].to_parquet(path)
    assert_says(refusal(BadInputError, lambda: read_whole_log(path)), str(path), "at least one")


def test_a_log_that_was_cut_between_rows_is_refused(tmp_path: Path) -> None:
    path = deliver(tmp_path / "log.csv", [*session("s1", 10), *session("s2", 12)[:11]])
    message = refusal(BrokenSessionError, lambda: read_whole_log(path))
    assert_says(
        message, str(path), "'s2' has 11 rows, and 12 in column session_length", "Deliver the session"
    )


@pytest.mark.parametrize("length", [1, 21])
def test_a_session_of_too_few_or_many_tracks_is_refused(tmp_path: Path, length: int) -> None:
    positions = [min(position, 20) for position in range(1, length + 1)]
    rows = session("s1", length, session_position=positions, session_length=20)
    path = deliver(tmp_path / "log.csv", rows)
    assert_says(refusal(BrokenSessionError, lambda: read_whole_log(path)), "'s1'", "2 to 20 of them")
