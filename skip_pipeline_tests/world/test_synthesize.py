"""Arguments, sizes, repeatability and the safety of what already lies in the folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from skip_pipeline.errors import BusyError, RefusedError
from skip_pipeline.raw import output_folder
from skip_pipeline.storage import publication
from skip_pipeline.world import constants
from skip_pipeline.world import synthesize as module
from skip_pipeline.world.synthesize import synthesize

LOG, TRACKS, MARKER = "training_set/log_mini.csv", "track_features/tf_mini.csv", "SYNTHETIC.json"
ORACLE, FULL_TRACKS = "oracle.parquet", "track_features/tf_000000000000.csv"


def _contents(out: Path) -> dict[str, bytes]:
    return {
        p.relative_to(out).as_posix(): p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def _rows(out: Path, name: str) -> pa.Table:
    return csv.read_csv(out / name)


def _write(out: Path, seed: int = 0) -> None:
    synthesize(out, sessions=2, tracks=3, seed=seed)


def _refuses(out: Path, reason: str) -> None:
    """Another set is refused, and everything in the folder stays."""
    before = _contents(out)
    with pytest.raises(RefusedError, match=reason):
        _write(out, seed=1)
    assert _contents(out) == before


# --- Sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sessions", "tracks"), [(1, 1), (1, 500), (3, 5), (40, 7), (200, 3000)])
def test_any_size_gives_a_consistent_set(tmp_path: Path, sessions: int, tracks: int) -> None:
    summary = synthesize(tmp_path, sessions=sessions, tracks=tracks, seed=0)
    log, features = _rows(tmp_path, LOG), _rows(tmp_path, TRACKS)
    assert (log.num_rows, features.num_rows) == (summary.rows, tracks)
    assert len(pc.unique(log.column("session_id"))) == sessions
    assert 10 * sessions <= summary.rows <= 20 * sessions
    played = set(log.column("track_id_clean").to_pylist())
    assert played <= set(features.column("track_id").to_pylist())
    assert len(played) == tracks or summary.rows < tracks


def test_marker_says_in_words_and_figures_what_the_files_are(tmp_path: Path) -> None:
    synthesize(tmp_path, sessions=2, tracks=3, seed=9)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert (marker["sessions"], marker["tracks"], marker["seed"]) == (2, 3, 9)
    assert (marker["days"], marker["drifts"]) == (1, [])
    assert sorted(marker["files"]) == [ORACLE, TRACKS, LOG]
    log = (tmp_path / LOG).read_bytes()
    assert marker["files"][LOG] == {"bytes": len(log), "sha256": hashlib.sha256(log).hexdigest()}
    assert isinstance(marker["generator_version"], int)
    assert "synthetic" in marker["note"]


# --- Repeatability ----------------------------------------------------------------------------------------


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        synthesize(tmp_path / name, sessions=50, tracks=300, seed=7)
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    for seed in (0, 1):
        synthesize(tmp_path / str(seed), sessions=50, tracks=300, seed=seed)
    first, second = _contents(tmp_path / "0"), _contents(tmp_path / "1")
    assert all(first[name] != second[name] for name in (LOG, TRACKS, ORACLE, MARKER))
    ids = [set(_rows(tmp_path / name, LOG).column("session_id").to_pylist()) for name in ("0", "1")]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("days", [1, 3])
def test_shards_cut_the_same_rows(tmp_path: Path, days: int) -> None:
    size: dict[str, Any] = {"sessions": 4300, "tracks": 300, "seed": 7, "days": days}
    synthesize(tmp_path / "one", **size, shards=1)
    summary = synthesize(tmp_path / "ten", **size, shards=10)
    one, ten = _contents(tmp_path / "one"), _contents(tmp_path / "ten")
    shards = [path.relative_to(tmp_path / "ten").as_posix() for path in summary.paths[:10]]
    assert {len(ten[name].splitlines()) > 4000 for name in shards} == {True}
    assert _lines(ten, shards) == _lines(one, [name for name in one if name.startswith("training_set/")])
    assert ten[FULL_TRACKS] == one[FULL_TRACKS]
    assert ten[ORACLE] == one[ORACLE]


def _lines(contents: dict[str, bytes], names: list[str]) -> list[bytes]:
    """Rows of several CSVs in the order given, without headers."""
    return [line for name in names for line in contents[name].splitlines()[1:]]


def test_many_threads_write_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "BLOCKS_IN_RUN", 1)
    for threads in (1, 3):
        synthesize(tmp_path / str(threads), sessions=4_300, tracks=90, seed=7, shards=4, threads=threads)
    assert _contents(tmp_path / "1") == _contents(tmp_path / "3")


def test_gzipped_files_hold_the_same_bytes_and_are_the_same_each_time(tmp_path: Path) -> None:
    size: dict[str, Any] = {"sessions": 50, "tracks": 30, "seed": 7, "shards": 2}
    for name, compressed in (("plain", False), ("zip", True), ("again", True)):
        synthesize(tmp_path / name, **size, compressed=compressed)
    plain, zipped = _contents(tmp_path / "plain"), _contents(tmp_path / "zip")
    csvs = [name for name in plain if name.endswith(".csv")]
    assert len(csvs) == 3
    assert {name: gzip.decompress(zipped[f"{name}.gz"]) for name in csvs} == {n: plain[n] for n in csvs}
    assert zipped == _contents(tmp_path / "again")


def test_the_oracle_has_every_session_of_the_log_in_its_order(tmp_path: Path) -> None:
    synthesize(tmp_path, sessions=2100, tracks=30, seed=7, shards=3)
    oracle = pq.read_table(tmp_path / ORACLE)
    logs = [csv.read_csv(path) for path in sorted((tmp_path / "training_set").iterdir())]
    ids = pa.concat_tables(logs).column("session_id").to_pylist()
    assert oracle.column("session_id").to_pylist() == list(dict.fromkeys(ids))
    for column in oracle.column_names[1:]:
        assert 0 < pc.min(oracle.column(column)).as_py() < pc.max(oracle.column(column)).as_py() < 1


def test_row_groups_of_the_oracle_do_not_depend_on_the_pieces_it_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ORACLE_ROW_GROUP", 700)
    for shards in (1, 5):
        synthesize(tmp_path / str(shards), sessions=2100, tracks=30, seed=7, shards=shards)
    one, five = tmp_path / "1" / ORACLE, tmp_path / "5" / ORACLE
    assert one.read_bytes() == five.read_bytes()
    groups = pq.ParquetFile(one).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [700, 700, 700]


# --- Refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ({"sessions": 0}, "sessions is 0, but must be at least 1; choose 1 or more"),
        ({"tracks": 0}, "tracks is 0, but must be at least 1; choose 1 or more"),
        ({"seed": -1}, "seed is -1, but must be at least 0; choose 0 or more"),
        ({"days": 0}, "days is 0, but must be at least 1; choose 1 or more"),
        ({"shards": -2}, "shards is -2, but must be at least 1; choose 1 or more"),
        (
            {"sessions": 10**12},
            "sessions is 10{12}, but must be at most 10{9}; choose 10{9} or fewer",
        ),
        (
            {"sessions": 50_000, "days": 40_000},
            "days is 40000, but must be at most 36525; choose 36525 or",
        ),
        ({"tracks": 10**12}, "tracks is 10{12}, but must be at most 10{8}; choose 10{8} or fewer"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any], fact: str) -> None:
    with pytest.raises(RefusedError, match=fact):
        synthesize(tmp_path / "out", **({"sessions": 1, "tracks": 1, "seed": 0} | wrong))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("blocked", [".", "training_set", "track_features"])
def test_a_file_where_a_folder_belongs_is_refused(tmp_path: Path, blocked: str) -> None:
    out = tmp_path / "out"
    path = out / blocked
    path.parent.mkdir(exist_ok=True)
    path.write_text("not a folder")
    with pytest.raises(RefusedError, match=r"cannot hold synthetic data \(it is a file\).*; choose another"):
        _write(out)
    assert path.read_text() == "not a folder"


def test_a_folder_without_write_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not bind the superuser, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)
    _refuses(tmp_path, "no permission to write")


@pytest.mark.parametrize(
    "real",
    [
        "training_set/log_0_20180715_000000000000.csv",
        LOG,
        "training_set/LOG.CSV",
        "track_features/tf_000000000000.csv.gz",
        ORACLE,
    ],
)
def test_csvs_without_a_marker_are_never_touched(tmp_path: Path, real: str) -> None:
    path = tmp_path / real
    path.parent.mkdir(exist_ok=True)
    path.write_text("real")
    _refuses(tmp_path, r"may be real data.*move the files away")


def test_real_csvs_put_beside_a_synthetic_set_are_never_touched(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "training_set/log_0_20180715_000000000000.csv").write_text("real")
    _refuses(tmp_path, r"holds training_set/log_0_20180715_\d+\.csv, which")


def test_a_marker_that_lists_nothing_protects_all_csvs(tmp_path: Path) -> None:
    _write(tmp_path)
    for damaged in ("", "{}", "[]", '{"files": 3}'):
        (tmp_path / MARKER).write_text(damaged)
        _refuses(tmp_path, r"which no readable SYNTHETIC\.json lists")


def test_real_data_under_a_synthetic_name_are_never_touched(tmp_path: Path) -> None:
    """The public archive has files of the same names as the default set."""
    _write(tmp_path)
    of_equal_size = (tmp_path / LOG).read_text().replace("true", "fals", 1)
    for content in ("real", of_equal_size):
        (tmp_path / LOG).write_text(content)
        _refuses(tmp_path, r"holds training_set/log_mini\.csv, which no readable")


def test_real_data_that_come_while_a_set_is_drawn_are_never_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)
    before = _contents(tmp_path)
    real = "training_set/log_0_20180716_000000000000.csv"
    append = output_folder.append_rows

    def append_and_deliver(stream: Any, table: pa.Table) -> None:
        (tmp_path / real).write_text("real")
        append(stream, table)

    monkeypatch.setattr(module, "append_rows", append_and_deliver)
    with pytest.raises(RefusedError, match=f"holds {real}, which"):
        _write(tmp_path, seed=1)
    assert _contents(tmp_path) == before | {real: b"real"}


def test_a_second_run_into_the_same_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = output_folder.append_rows
    refusals: list[str] = []

    def append_and_start_another(stream: Any, table: pa.Table) -> None:
        if not refusals:
            with pytest.raises(BusyError) as refusal:
                _write(tmp_path, seed=1)
            refusals.append(str(refusal.value))
        append(stream, table)

    monkeypatch.setattr(publication, "_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(module, "append_rows", append_and_start_another)
    _write(tmp_path)
    assert "another process is writing" in refusals[0]
    monkeypatch.undo()
    _write(tmp_path / "alone")
    assert _contents(tmp_path / "alone").items() <= _contents(tmp_path).items()


@pytest.mark.parametrize("name", [MARKER, LOG, ORACLE])
def test_a_folder_where_a_file_belongs_is_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    _refuses(tmp_path, "may be real data")


# --- Overwriting ------------------------------------------------------------------------------------------


def test_an_earlier_synthetic_set_is_replaced_with_its_stale_shards(tmp_path: Path) -> None:
    _write(tmp_path / "old")
    stale = "training_set/log_1.csv.gz"
    (tmp_path / "old" / stale).write_text("stale")
    marker = json.loads((tmp_path / "old" / MARKER).read_text())
    marker["files"][stale] = {"bytes": 5, "sha256": hashlib.sha256(b"stale").hexdigest()}
    (tmp_path / "old" / MARKER).write_text(json.dumps(marker))
    for name in ("old", "fresh"):
        synthesize(tmp_path / name, sessions=4, tracks=6, seed=1)
    assert _contents(tmp_path / "old") == _contents(tmp_path / "fresh")


def test_a_failure_while_writing_leaves_the_earlier_set_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)
    before = _contents(tmp_path)

    def fail(stream: object, table: pa.Table) -> None:
        if "session_id" in table.column_names:
            raise OSError("disk full")

    monkeypatch.setattr(module, "append_rows", fail)
    with pytest.raises(RefusedError, match=r"cannot be written \(disk full\).*make room or choose another"):
        synthesize(tmp_path, sessions=4, tracks=6, seed=1)
    assert _contents(tmp_path) == before


def test_parts_of_a_killed_process_are_cleared_away(tmp_path: Path) -> None:
    _write(tmp_path)
    left = tmp_path / "training_set/.log_7_20180715_000000000000.csv.raw-part"
    left.write_text("half")
    _write(tmp_path, seed=1)
    assert not left.exists()


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_kill_between_any_two_renames_leaves_only_whole_marked_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool, steps: int
) -> None:
    if earlier:
        _write(tmp_path / "out")
    synthesize(tmp_path / "whole", sessions=4, tracks=6, seed=1)
    whole = _contents(tmp_path / "whole")
    done: list[Any] = []
    replace = Path.replace

    def replace_until_killed(source: Path, target: Path) -> None:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_until_killed)
        with pytest.raises(KeyboardInterrupt):
            synthesize(tmp_path / "out", sessions=4, tracks=6, seed=1)

    left = _contents(tmp_path / "out")
    csvs = {name for name in left if name.endswith(".csv")}
    assert all(left[name] == whole[name] for name in csvs)
    assert MARKER in left or not csvs
    assert TRACKS in left or LOG not in left
    synthesize(tmp_path / "out", sessions=4, tracks=6, seed=1)
    assert _contents(tmp_path / "out") == whole
