"""The plain names on a disk: hard links to the newest generation, put right where they are not."""

import json
import shutil

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline.storage import MANIFEST, locked, publish, read_manifest, table_files, write_table
from skip_pipeline_tests.storage.faults import at_each_change, killed_at
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, plain, put


def is_linked(folder):
    manifest = read_manifest(folder, made_by="some_table")
    return all((folder / file.name).samefile(manifest.path(file.name)) for file in manifest.files)


def test_every_file_is_there_under_its_plain_name_and_takes_no_more_space(tmp_path):
    put(tmp_path, FIRST, rows=7)
    assert plain(tmp_path) == FIRST
    assert is_linked(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text())["rows"] == 7


def test_names_of_earlier_files_go_with_folders_that_held_nothing_else(tmp_path):
    (tmp_path / "README.md").write_text("which no publication made")
    put(tmp_path, FIRST | {"only/dropped.txt": "1"})
    put(tmp_path, SECOND)
    assert plain(tmp_path) == SECOND | {"README.md": "which no publication made"}
    assert not (tmp_path / "only").exists()


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_plain_name_that_is_another_file_is_put_right_by_the_next_publication(tmp_path, change):
    put(tmp_path, FIRST)
    (tmp_path / "kept.txt").unlink()
    if change == "replaced":
        (tmp_path / "kept.txt").write_text("9")
    assert read_manifest(tmp_path, made_by="some_table").path("kept.txt").read_text() == "1"
    put(tmp_path, FIRST)
    assert plain(tmp_path) == FIRST
    assert is_linked(tmp_path)


@pytest.fixture
def interrupted(tmp_path):
    """A stage whose publication of ``SECOND`` over ``FIRST`` died between two plain names."""
    found = []
    put(tmp_path / "whole", FIRST)
    with at_each_change(lambda: found.append(plain(tmp_path / "whole"))):
        put(tmp_path / "whole", SECOND)
    fatal = next(n for n, names in enumerate(found, start=1) if names not in (FIRST, SECOND))
    put(tmp_path / "stage", FIRST)
    with killed_at(fatal):
        put(tmp_path / "stage", SECOND)
    assert set(plain(tmp_path / "stage").values()) == {"1", "2"}
    return tmp_path / "stage"


def test_names_that_a_kill_left_mixed_are_put_right_when_the_stage_is_opened(interrupted):
    with locked(interrupted):  # a reader does not wait for a publication under way
        manifest = read_manifest(interrupted, made_by="some_table")
    assert {file.name for file in manifest.files} == set(SECOND)
    assert plain(interrupted) != SECOND
    read_manifest(interrupted, made_by="some_table")
    assert plain(interrupted) == SECOND


def test_names_that_a_kill_left_mixed_are_put_right_by_the_next_publication(interrupted):
    put(interrupted, {"third.txt": "3"})
    assert plain(interrupted) == {"third.txt": "3"}


def test_a_copied_stage_becomes_links_again(tmp_path):
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
def table(tmp_path):
    """Two shards and two lookups."""
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        for name in ("log_1.parquet", "log_0.parquet", "_tracks.parquet", "_sessions/log_0.parquet"):
            write_table(TABLE, staging.path(name), TABLE.schema, data_source="real")
    return tmp_path


def test_pandas_and_duckdb_read_one_generation_by_its_files(table):
    files = table_files(str(table))
    assert [name.rsplit("-", 1)[1] for name in files] == ["log_0.parquet", "log_1.parquet"]
    assert pd.concat(map(pd.read_parquet, files))["n"].tolist() == [1, 2, 1, 2]
    assert duckdb.read_parquet(files).fetchall() == [(1,), (2,), (1,), (2,)]


def test_duckdb_alone_reads_one_generation_through_the_manifest(table):
    assert duckdb.connect().sql(BY_MANIFEST.format(folder=table)).fetchall() == [(1,), (2,), (1,), (2,)]


def test_a_reader_of_the_whole_folder_sees_the_shards_only(table):
    (table / "_scratch" / "log_3.parquet").write_bytes(b"half a file")
    assert pq.read_table(table).cast(TABLE.schema).equals(pa.concat_tables([TABLE, TABLE]))
    assert pd.read_parquet(table)["n"].tolist() == [1, 2, 1, 2]
