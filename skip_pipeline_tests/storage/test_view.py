"""The plain names on a disk: hard links to the newest generation, put right where they are not."""

import json
import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from skip_pipeline.storage import MANIFEST, publish, read_manifest, table_files, write_table
from skip_pipeline.storage.lock import locked
from skip_pipeline_tests.storage.faults import killed_at
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, plain, put


def is_linked(folder: Path) -> bool:
    manifest = read_manifest(folder, made_by="some_table")
    return all((folder / file.name).samefile(manifest.path(file.name)) for file in manifest.files)


def test_every_file_is_there_under_its_plain_name_and_takes_no_more_space(tmp_path: Path) -> None:
    put(tmp_path, FIRST, rows=7)
    assert plain(tmp_path) == FIRST
    assert is_linked(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text())["rows"] == 7


def test_names_of_earlier_files_go_with_folders_that_held_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, FIRST | {"only/dropped.txt": "1"})
    put(tmp_path, SECOND)
    assert plain(tmp_path) == SECOND
    assert not (tmp_path / "only").exists()


def test_files_that_no_publication_made_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("what this folder holds")
    put(tmp_path, FIRST)
    put(tmp_path, SECOND)
    assert plain(tmp_path) == SECOND | {"README.md": "what this folder holds"}


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_plain_name_that_is_another_file_is_put_right_by_the_next_publication(
    tmp_path: Path, change: str
) -> None:
    put(tmp_path, FIRST)
    (tmp_path / "kept.txt").unlink()
    if change == "replaced":
        (tmp_path / "kept.txt").write_text("9")
    assert read_manifest(tmp_path, made_by="some_table").path("kept.txt").read_text() == "1"
    put(tmp_path, FIRST)
    assert plain(tmp_path) == FIRST
    assert is_linked(tmp_path)


def interrupted(folder: Path) -> None:
    """Publish ``SECOND`` over ``FIRST``, and die between two plain names."""
    for fatal in range(1, 200):
        shutil.rmtree(folder, ignore_errors=True)
        put(folder, FIRST)
        with killed_at(fatal):
            put(folder, SECOND)
        if (found := plain(folder)) not in (FIRST, SECOND):
            assert set(found.values()) == {"1", "2"}
            return
    pytest.fail("no moment between two plain names")


def test_names_that_a_kill_left_mixed_are_put_right_when_the_stage_is_opened(tmp_path: Path) -> None:
    interrupted(tmp_path / "stage")
    read_manifest(tmp_path / "stage", made_by="some_table")
    assert plain(tmp_path / "stage") == SECOND


def test_names_that_a_kill_left_mixed_are_put_right_by_the_next_publication(tmp_path: Path) -> None:
    interrupted(tmp_path / "stage")
    put(tmp_path / "stage", {"third.txt": "3"})
    assert plain(tmp_path / "stage") == {"third.txt": "3"}


def test_a_reader_does_not_wait_for_a_publication_under_way(tmp_path: Path) -> None:
    interrupted(tmp_path / "stage")
    with locked(tmp_path / "stage"):
        manifest = read_manifest(tmp_path / "stage", made_by="some_table")
    assert {file.name for file in manifest.files} == set(SECOND)


def test_a_copied_stage_becomes_links_again(tmp_path: Path) -> None:
    put(tmp_path / "stage", FIRST)
    shutil.copytree(tmp_path / "stage", tmp_path / "copy")
    assert not (tmp_path / "copy" / "kept.txt").samefile(tmp_path / "stage" / "kept.txt")
    assert is_linked(tmp_path / "copy")


# --- One generation for readers of tables, as the README shows it -------------------------------------------

TABLE = pa.table({"n": pa.array([1, 2], pa.int8())})
BY_MANIFEST = """
SET VARIABLE shards = (
    SELECT list('{folder}/' || file.path ORDER BY file.name)
    FROM (SELECT unnest(files) AS file FROM read_json('{folder}/_manifest.json'))
    WHERE file.name LIKE '%.parquet' AND file.name NOT LIKE '\\_%' ESCAPE '\\'
);
SELECT n FROM read_parquet(getvariable('shards'))
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two shards and two lookups."""
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        for name in ("log_1.parquet", "log_0.parquet", "_tracks.parquet", "_sessions/log_0.parquet"):
            write_table(TABLE, staging.path(name), TABLE.schema, data_source="real")
    return tmp_path


def test_pandas_and_duckdb_read_one_generation_by_its_files(table: Path) -> None:
    files = table_files(str(table))
    assert [name.rsplit("-", 1)[1] for name in files] == ["log_0.parquet", "log_1.parquet"]
    assert pd.concat(map(pd.read_parquet, files))["n"].tolist() == [1, 2, 1, 2]
    assert duckdb.read_parquet(files).fetchall() == [(1,), (2,), (1,), (2,)]


def test_duckdb_alone_reads_one_generation_through_the_manifest(table: Path) -> None:
    assert duckdb.connect().sql(BY_MANIFEST.format(folder=table)).fetchall() == [(1,), (2,), (1,), (2,)]
