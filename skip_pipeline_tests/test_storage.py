import json
import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import storage
from skip_pipeline.errors import BusyError, ContractError, MissingInputError
from skip_pipeline.storage import (
    MANIFEST,
    FileRecord,
    Manifest,
    check_schema,
    fingerprint,
    finish_publication,
    publish,
    read_columns,
    read_json,
    read_manifest,
    read_table,
    schema_difference,
    shard_names,
    write_json,
    write_table,
)
from skip_pipeline_tests.builders import assert_says, refusal

CONTRACT = pa.schema([("n", pa.int8()), ("f", pa.float32())])
TABLE = pa.table({"n": [1, 2], "f": [0.5, 1.5]}, schema=CONTRACT)

FIRST = {"kept.txt": "1", "sub/kept.txt": "1", "dropped.txt": "1", "sub/dropped.txt": "1"}
SECOND = {"kept.txt": "2", "sub/kept.txt": "2", "new.txt": "2", "other/new.txt": "2"}


def put(folder, files, *, rows=0, **details):
    """Publish text files."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        for name, text in files.items():
            staging.path(name).write_text(text)
        staging.rows = rows
        staging.details |= details
    return staging.manifest


def fail(folder, error):
    """Publish, but raise an error in the block."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.path("kept.txt").write_text("2")
        staging.path("sub/new.txt").write_text("2")
        raise error


def contents(folder):
    """What the stage's reader finds: files by name, without locks and the like; manifest aside."""
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    return {n: (folder / n).read_text() for n in names if n not in (".lock", MANIFEST)}


def listed(folder):
    return {record.name for record in read_manifest(folder, made_by="some_table").files}


# --- Publishing -----------------------------------------------------------------------------------------


def test_what_the_block_writes_appears_with_its_manifest(tmp_path):
    put(tmp_path / "deep" / "stage", FIRST, rows=7, clipped=3)
    assert contents(tmp_path / "deep" / "stage") == FIRST
    manifest = read_manifest(tmp_path / "deep" / "stage", made_by="some_table")
    assert (manifest.stage, manifest.data_source, manifest.rows) == ("some_table", "real", 7)
    assert manifest.details == {"clipped": 3}
    assert manifest.bytes == 4
    assert manifest.files[1] == FileRecord(
        "kept.txt", 1, "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )


def test_nothing_appears_before_the_block_ends(tmp_path):
    put(tmp_path, FIRST)
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        staging.path("kept.txt").write_text("2")
        assert (tmp_path / "kept.txt").read_text() == "1"
        assert listed(tmp_path) == set(FIRST)


def test_a_second_publication_replaces_the_first_and_drops_its_other_files(tmp_path):
    put(tmp_path, FIRST)
    put(tmp_path, SECOND)
    assert contents(tmp_path) == SECOND
    assert listed(tmp_path) == set(SECOND)


def test_files_that_no_publication_made_are_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("what this folder holds")
    put(tmp_path, FIRST)
    put(tmp_path, SECOND)
    assert contents(tmp_path) == SECOND | {"README.md": "what this folder holds"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_what_was_there_and_no_staging(tmp_path, error):
    before = put(tmp_path, FIRST)
    with pytest.raises(error):
        fail(tmp_path, error)
    assert contents(tmp_path) == FIRST
    assert read_manifest(tmp_path, made_by="some_table") == before
    assert not (tmp_path / ".staging").exists()


def test_an_error_in_a_first_publication_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="of the block"):
        fail(tmp_path, ValueError("of the block"))
    assert contents(tmp_path) == {}
    refusal(MissingInputError, lambda: read_manifest(tmp_path, made_by="some_table"))


def test_details_that_json_cannot_hold_leave_what_was_there(tmp_path):
    put(tmp_path, FIRST)
    with pytest.raises(ValueError, match="JSON"):
        put(tmp_path, SECOND, loss=math.nan)
    assert contents(tmp_path) == FIRST


def test_the_manifest_at_hand_is_the_one_that_others_read(tmp_path):
    manifest = put(tmp_path, FIRST, lengths={10: 3}, pair=(1, 2))
    assert manifest == read_manifest(tmp_path, made_by="some_table")


def test_the_manifest_is_not_at_hand_before_publication(tmp_path):
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        message = refusal(ContractError, lambda: staging.manifest)
    assert_says(message, str(tmp_path), "not published yet")


def test_a_stage_that_was_never_published_is_asked_for(tmp_path):
    message = refusal(MissingInputError, lambda: read_manifest(tmp_path / "none", made_by="some_table"))
    assert_says(message, str(tmp_path / "none"), "no finished some_table", "materialize some_table first")


def test_reading_a_manifest_writes_nothing(tmp_path):
    put(tmp_path, FIRST)
    (tmp_path / ".lock").unlink(missing_ok=True)
    before = sorted(tmp_path.rglob("*"))
    read_manifest(tmp_path, made_by="some_table")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_second_publisher_is_told_that_the_first_is_at_work(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_LOCK_SECONDS", 0.05)
    put(tmp_path, FIRST)
    caught = []

    def intrude():
        try:
            put(tmp_path, SECOND)
        except BusyError as busy:
            caught.append(str(busy))

    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        staging.path("mine.txt").write_text("3")
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    [message] = caught
    assert_says(message, str(tmp_path), "another process is writing", "let it finish or stop it")
    assert contents(tmp_path) == {"mine.txt": "3"}


# --- Kills ----------------------------------------------------------------------------------------------

KILLED = """
import os, pathlib, shutil, signal, sys
from skip_pipeline import storage

folder, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def dying(change):
    # Kill this process in place of change number `steps` to the folder, counted from the commit on.
    def step(*args, **kwargs):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*args, **kwargs)
    return step

with storage.publish(folder, stage="some_table", data_source="real") as staging:
    for name in ("kept.txt", "sub/kept.txt", "new.txt", "other/new.txt"):
        staging.path(name).write_text("2")
    pathlib.Path.rename = dying(pathlib.Path.rename)
    pathlib.Path.replace = dying(pathlib.Path.replace)
    pathlib.Path.unlink = dying(pathlib.Path.unlink)
    shutil.rmtree = dying(shutil.rmtree)
"""
STEPS = 1 + 4 + 2 + 1 + 1  # commit, four files, two that are dropped, the manifest, the empty commit folder


def run_and_kill(folder, steps):
    return subprocess.run([sys.executable, "-c", KILLED, str(folder), str(steps)], check=False).returncode


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_process_killed_at_any_step_leaves_the_old_files_or_the_new(tmp_path, steps):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, steps) == -signal.SIGKILL

    names = listed(tmp_path)

    found = {name: text for name, text in contents(tmp_path).items() if not name.startswith(".staging/")}
    assert found == (FIRST if steps == 0 else SECOND)
    assert names == set(found)
    assert not (tmp_path / ".commit").exists()
    put(tmp_path, {"next.txt": "3"})
    assert contents(tmp_path) == {"next.txt": "3"}


def test_the_steps_tried_are_all_there_are(tmp_path):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, STEPS) == 0
    assert contents(tmp_path) == SECOND


def test_a_publication_finishes_an_earlier_one_that_was_killed(tmp_path):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, 3) == -signal.SIGKILL
    put(tmp_path, {"kept.txt": "3"})
    assert contents(tmp_path) == {"kept.txt": "3"}
    assert listed(tmp_path) == {"kept.txt"}


def test_a_kill_while_a_commit_is_being_finished_does_no_harm(tmp_path, monkeypatch):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, 2) == -signal.SIGKILL
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_args, **_kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finish_publication(tmp_path)
    assert listed(tmp_path) == set(SECOND)
    assert contents(tmp_path) == SECOND


def test_finishing_without_a_commit_does_nothing(tmp_path):
    finish_publication(tmp_path / "none")
    finish_publication(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- Fingerprints and records ---------------------------------------------------------------------------


def test_a_fingerprint_depends_on_names_and_contents_alone(tmp_path):
    for folder, names in ((tmp_path / "a", list(FIRST)), (tmp_path / "b", list(reversed(FIRST)))):
        put(folder, {name: FIRST[name] for name in names}, rows=len(folder.name))
    os.utime(tmp_path / "b" / "kept.txt", (1, 1))
    first, second = (read_manifest(tmp_path / name, made_by="some_table") for name in "ab")
    assert first.fingerprint == second.fingerprint
    assert first.facts.digest == first.fingerprint


@pytest.mark.parametrize("other", [FIRST | {"kept.txt": "2"}, FIRST | {"more.txt": ""}, {"kept.txt": "1"}])
def test_a_fingerprint_changes_with_any_file(tmp_path, other):
    assert put(tmp_path / "a", FIRST).fingerprint != put(tmp_path / "b", other).fingerprint


def test_a_fingerprint_does_not_depend_on_the_order_of_records():
    records = (FileRecord("a", 1, "00"), FileRecord("b", 2, "11"))
    assert fingerprint(records) == fingerprint(records[::-1])
    assert fingerprint(records) != fingerprint((FileRecord("a", 1, "11"), FileRecord("b", 2, "00")))


def test_shards_are_the_parquet_files_that_are_no_lookups():
    names = ("log_2.parquet", "log_1.parquet", "_tracks.parquet", "_sessions/log_1.parquet", "scaler.json")
    records = tuple(FileRecord(name, 0, "") for name in names)
    manifest = Manifest("some_table", "real", rows=0, seconds=0.0, files=records)
    assert shard_names(manifest) == ("log_1.parquet", "log_2.parquet")


# --- Tables ---------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.parquet"


def test_a_table_is_read_as_it_was_written(path):
    write_table(TABLE, path, CONTRACT, data_source="real")
    assert read_table(path, CONTRACT).equals(TABLE)
    assert read_table(path, CONTRACT, columns=["f"]).equals(TABLE.select(["f"]))
    assert read_columns(path)[0].equals(CONTRACT)
    assert read_columns(path)[1] == 2


def test_dictionary_columns_keep_their_dtype(path):
    contract = pa.schema([("split", pa.dictionary(pa.int8(), pa.string()))])
    table = pa.table({"split": ["test", "train"]}, schema=contract)
    write_table(table, path, contract, data_source="real")
    assert read_table(path, contract)["split"].to_pylist() == ["test", "train"]


@pytest.mark.parametrize("source", ["real", "synthetic"])
def test_a_file_says_by_itself_whether_it_is_synthetic(path, source):
    write_table(TABLE.replace_schema_metadata({"pandas": "{}"}), path, CONTRACT, data_source=source)
    assert pq.read_schema(path).metadata == {b"data_source": source.encode()}


N, F = pa.field("n", pa.int8()), pa.field("f", pa.float32())
DIFFERENCES = [
    ([N], "missing ['f']"),
    ([N, F, pa.field("g", pa.int8())], "extra ['g']"),
    ([N, pa.field("F", pa.float32())], "missing ['f']; extra ['F']"),
    ([F, N], "same columns in another order"),
    ([N, N, F], "more than once ['n']"),
    ([pa.field("n", pa.int16()), F], "n is int16, not int8"),
    ([N, pa.field("f", pa.string())], "f is string, not float"),
    ([], "missing ['n', 'f']"),
]


@pytest.mark.parametrize(("fields", "difference"), DIFFERENCES)
def test_a_table_of_other_columns_is_not_written(path, fields, difference):
    other = pa.schema(fields)
    table = pa.Table.from_arrays([pa.array([], field.type) for field in other], schema=other)
    message = refusal(ContractError, lambda: write_table(table, path, CONTRACT, data_source="real"))
    assert message == f"log.parquet has {len(fields)} columns, expected 2: {difference}"
    assert not path.exists()


@pytest.mark.parametrize(("fields", "difference"), DIFFERENCES[:-1])
def test_a_table_of_other_columns_is_not_read(path, fields, difference):
    other = pa.schema(fields)
    pq.write_table(pa.Table.from_arrays([pa.array([], field.type) for field in other], schema=other), path)
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert message == f"{path} has {len(fields)} columns, expected 2: {difference}"


def test_schemas_that_differ_in_metadata_or_nullability_do_not_differ():
    other = pa.schema([pa.field("n", pa.int8(), nullable=False), F], metadata={"data_source": "real"})
    assert schema_difference(other, CONTRACT) == ""
    check_schema(other, CONTRACT, what="log.parquet")


def test_a_null_is_not_written(path):
    table = pa.table({"n": [1, None], "f": [0.5, 1.5]}, schema=CONTRACT)
    message = refusal(ContractError, lambda: write_table(table, path, CONTRACT, data_source="real"))
    assert_says(message, "log.parquet", "nulls in ['n']")
    assert not path.exists()


@pytest.mark.parametrize("read", [lambda p: read_table(p, CONTRACT), read_columns])
def test_a_missing_table_is_asked_for(path, read):
    assert_says(refusal(MissingInputError, lambda: read(path)), f"{path} is missing", "materialize the asset")


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1" * 8])
def test_a_file_that_is_not_parquet_is_named(path, content):
    path.write_bytes(content)
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "materialize the asset again")


@pytest.mark.parametrize("damage", [slice(4, 40), slice(-60, -20), slice(-30, None)])
def test_a_damaged_table_is_named(path, damage):
    write_table(TABLE, path, CONTRACT, data_source="real")
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[damage] ^= 0xFF
    path.write_bytes(content.tobytes())
    message = refusal(ContractError, lambda: read_table(path, CONTRACT))
    assert_says(message, f"{path} is not a readable parquet file", "materialize the asset again")


def test_a_reader_of_the_whole_folder_sees_the_shards_only(tmp_path):
    lookup = pa.table({"id": ["a"]})
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        for name in ("log_1.parquet", "log_2.parquet"):
            write_table(TABLE, staging.path(name), CONTRACT, data_source="real")
        write_table(lookup, staging.path("_tracks.parquet"), lookup.schema, data_source="real")
        write_table(lookup, staging.path("_sessions/log_1.parquet"), lookup.schema, data_source="real")
    (tmp_path / ".staging").mkdir()
    (tmp_path / ".staging" / "log_3.parquet").write_bytes(b"half a file")
    assert pq.read_table(tmp_path).equals(pa.concat_tables([TABLE, TABLE]))
    assert pd.read_parquet(tmp_path)["n"].tolist() == [1, 2, 1, 2]


# --- JSON -----------------------------------------------------------------------------------------------


def test_json_is_read_as_it_was_written(tmp_path):
    content = {"b": [1, 0.1 + 0.2], "a": {"ü": None}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_json_is_the_same_text_whatever_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1, "b": 2})
    write_json(tmp_path / "b.json", {"b": 2, "a": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_without_a_spelling_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": value})
    assert not (tmp_path / "a.json").exists()


def test_the_manifest_is_plain_json(tmp_path):
    put(tmp_path, {"kept.txt": "1"}, rows=7)
    fields = json.loads((tmp_path / MANIFEST).read_text())
    assert fields.keys() == {
        "stage",
        "data_source",
        "rows",
        "seconds",
        "files",
        "details",
        "shards",
    }
    assert fields["files"][0].keys() == {"name", "bytes", "sha256"}


@pytest.mark.parametrize("content", ["{", "[]", '{"stage": "x"}', '{"files": [{"nome": "a"}]}'])
def test_a_damaged_manifest_is_refused_by_name_and_healed_by_publishing_again(tmp_path, content):
    (tmp_path / storage.MANIFEST).write_text(content)
    with pytest.raises(ContractError, match=r"_manifest\.json is damaged .* materialize the_asset again"):
        storage.read_manifest(tmp_path, made_by="the_asset")

    with storage.publish(tmp_path, stage="the_asset", data_source="real") as staging:
        staging.path("a.txt").write_text("a")

    assert storage.read_manifest(tmp_path, made_by="the_asset").stage == "the_asset"


def test_a_file_that_has_gone_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"gone\.csv has gone"):
        storage.record_file(tmp_path / "gone.csv", "gone.csv")
