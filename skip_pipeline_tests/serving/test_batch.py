import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline.challenge.submission import submit
from skip_pipeline.engine import open_engine
from skip_pipeline.errors import BadInputError, BrokenSessionError, MissingInputError
from skip_pipeline.metrics.decision_rule import DecisionRule
from skip_pipeline.serving import ServedModel, batch
from skip_pipeline.serving.logs import read_whole_log
from skip_pipeline.settings import DataLayout, EngineSettings
from skip_pipeline.storage import Apply, Staging, in_turn
from skip_pipeline_tests.builders import Row, assert_says, deliver, refusal, required, session
from skip_pipeline_tests.serving.small_models import SESSIONS, copied, deliver_test_set, pack, request

PAIR = "20180917_000000000000.csv"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def score(raw: Path, folder: Path, apply: Apply = in_turn) -> Staging:
    return batch.skip_predictions(
        raw, raw.parent / "08_predictions", model=folder, model_version="3", apply=apply
    )


def published(raw: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Predictions by session id and position."""
    files = sorted((raw.parent / "08_predictions").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return {(row["session_id"], row["session_position"]): row for row in rows}


def second_half(rows: list[Row]) -> list[Row]:
    return rows[len(rows) // 2 :]


# --- Scores -------------------------------------------------------------------------------------------------


def test_the_first_row_of_every_session_is_what_a_request_gets(
    raw: Path, folder: Path, model: ServedModel
) -> None:
    deliver_test_set(raw, SESSIONS)
    (raw / "SYNTHETIC.json").write_text('{"files": {}}')
    manifest = score(raw, folder).manifest
    rows = published(raw)
    halves = [request(rows_, len(rows_) // 2) for rows_ in SESSIONS]
    expected = model.score_records(halves)
    assert manifest.rows == len(rows) == sum(len(second_half(rows_)) for rows_ in SESSIONS)
    for half, p_skip, p_flags in zip(halves, expected.p_skip, expected.p_flags, strict=True):
        row = rows[half["session_id"], len(half["history"]) + 1]
        assert row["track_id"] == half["next_track_id"]
        assert row["p_skip"] == pytest.approx(p_skip, abs=1e-5)
        assert row["p_skip_2"] == pytest.approx(p_flags[1], abs=1e-5)
        assert (row["model_version"], row["known_track"]) == ("3", True)
    assert manifest.details["values_of_unknown_level"] == expected.unknown_levels > 0
    assert manifest.data_source == "synthetic"
    (file,) = (raw.parent / "08_predictions").glob("*.parquet")
    assert file.name == "20180917_000000000000.parquet"
    assert pq.read_schema(file).metadata[b"data_source"] == b"synthetic"
    assert pq.read_schema(file).remove_metadata() == required(batch.SKIP_PREDICTIONS)


def test_every_track_of_a_second_half_is_a_row_in_order(
    raw: Path, layout: DataLayout, tmp_path: Path
) -> None:
    folder = pack(copied(layout, tmp_path), weight=3.0)
    order = [*reversed(SESSIONS[:20]), *SESSIONS[20:]]  # not the order of the ids
    deliver_test_set(raw, order)
    score(raw, folder)
    rows = list(published(raw).values())
    expected = [row for rows_ in order for row in second_half(rows_)]
    for name, of_log in (("session_id", "session_id"), ("track_id", "track_id_clean")):
        assert [row[name] for row in rows] == [row[of_log] for row in expected]
    assert [row["session_position"] for row in rows] == [row["session_position"] for row in expected]
    assert all(0 <= row["p_skip_2"] <= row["p_skip"] <= 1 for row in rows)
    assert [row["decision"] for row in rows] == [row["p_skip_2"] > 0.5 for row in rows]
    assert {row["decision"] for row in rows} == {True, False}


def test_decisions_follow_the_models_rule(raw: Path, layout: DataLayout, tmp_path: Path) -> None:
    own = copied(layout, tmp_path)
    tables = {length: np.ones((length - length // 2,) * 2) for length in range(10, 21)}
    folder = pack(own, weight=3.0, rule=DecisionRule(tables, joint=True))
    deliver_test_set(raw, SESSIONS)
    score(raw, folder)
    rows = published(raw).values()
    expected = DecisionRule(tables, joint=True).decide(
        np.array([row["p_skip_2"] for row in rows]),
        np.array([len(second_half(rows_)) for rows_ in SESSIONS]),
        np.array([len(rows_) for rows_ in SESSIONS]),
    )
    assert [row["decision"] for row in rows] == expected.tolist()
    assert [row["decision"] for row in rows] != [row["p_skip_2"] > 0.5 for row in rows]


@pytest.mark.parametrize("asked_for", [1, 4, 9])
def test_a_prehistory_that_is_no_half_is_answered_by_the_threshold(
    raw: Path, layout: DataLayout, tmp_path: Path, asked_for: int
) -> None:
    tables = {length: np.ones((length - length // 2,) * 2) for length in range(10, 21)}
    folder = pack(copied(layout, tmp_path), rule=DecisionRule(tables, joint=True))
    sessions = [rows for rows in SESSIONS if len(rows) - len(rows) // 2 != asked_for]
    deliver_test_set(raw, sessions, asked_for=asked_for)
    score(raw, folder)
    rows = published(raw)
    assert len(rows) == asked_for * len(sessions)
    assert all(row["decision"] == (row["p_skip_2"] > 0.5) for row in rows.values())


def test_a_network_of_last_tracks_answers_no_second_half(
    raw: Path, layout: DataLayout, tmp_path: Path
) -> None:
    folder = pack(copied(layout, tmp_path), last_tracks_alone=True)
    deliver_test_set(raw, SESSIONS)
    message = refusal(BadInputError, lambda: score(raw, folder))
    assert_says(message, "the rest of the session is a list of", "Serve a model of preset fast")
    deliver_test_set(raw, SESSIONS, asked_for=1)
    message = refusal(BadInputError, lambda: score(raw, folder))
    assert_says(message, "does not predict skip_2", "serve a model of preset fast")


def test_the_same_model_decides_for_a_submission(raw: Path, layout: DataLayout, tmp_path: Path) -> None:
    folder = pack(copied(layout, tmp_path), weight=3.0)
    deliver_test_set(raw, [*reversed(SESSIONS)])
    score(raw, folder)
    submit(raw / "test_set", tmp_path / "submission.txt", partial(batch.decide, model=folder))
    digits = "".join((tmp_path / "submission.txt").read_text().split("\n"))
    assert digits == "".join(str(int(row["decision"])) for row in published(raw).values())


def test_an_unknown_track_is_scored_and_counted(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, [session("s1", 10, track_id_clean=["t_01"] * 6 + ["t_new"] * 4)])
    staging = score(raw, folder)
    assert [row["known_track"] for row in published(raw).values()] == [True] + [False] * 4
    assert staging.manifest.details["unknown_tracks"] == 4


def test_a_pair_may_be_gzipped_and_rows_may_come_in_any_order(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, SESSIONS, f"{PAIR}.gz")
    score(raw, folder)
    expected = published(raw)
    assert len(expected) == sum(len(second_half(rows)) for rows in SESSIONS)
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


def test_a_pair_whose_files_do_not_fit_is_refused(raw: Path, folder: Path) -> None:
    deliver_test_set(raw, [session("s1", 10)])
    file = raw / "test_set" / f"log_input_{PAIR}"
    file.write_text(file.read_text().replace(",7,", ",6,"))
    message = refusal(BrokenSessionError, lambda: score(raw, folder))
    assert_says(message, str(file), "'s1'", "column session_position lacks 7", "Deliver both files again")


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
        ({"skip_1": "maybe"}, ("column skip_1 is not true or false in data rows 1", "maybe")),
        ({"skip_1": [1]}, ("column skip_1 is not true or false in data rows 1 ([1])",)),
        ({"hour_of_day": pd.Timestamp(0)}, ("column hour_of_day is not a whole number from 0 to 23 in",)),
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
    message = refusal(BadInputError, lambda: read_whole_log(path))
    assert_says(message, str(path), "column context_type is not UTF-8 text in data rows 1 (b'\\xffharts'), 2")


def test_parquet_without_columns_or_rows_is_refused(tmp_path: Path) -> None:
    rows = session("s1", 10)
    lacking = [{k: v for k, v in row.items() if k not in ("skip_1", "premium")} for row in rows]
    path = parquet(tmp_path, lacking)
    message = refusal(BadInputError, lambda: read_whole_log(path))
    assert_says(message, str(path), "columns missing skip_1, premium", "21", "deliver the file with those")
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
