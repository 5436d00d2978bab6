"""A publication that dies at any moment leaves one whole generation, and the next one completes."""

from pathlib import Path

import pytest

from skip_pipeline.locations import file_system, files_below, is_local
from skip_pipeline.storage import MANIFEST, read_manifest
from skip_pipeline_tests.storage.faults import at_each_change, killed_at
from skip_pipeline_tests.storage.publishing import contents, generation, plain, put_shards

BEFORE = {"a": "1", "b": "2", "sub": "3"}
AFTER = {"a": "1", "b": "changed", "c": "new"}
WHOLE_BEFORE = {"a.txt": "1", "b.txt": "2", "sub.txt": "3", "own": "x"}
WHOLE_AFTER = {"a.txt": "1", "b.txt": "changed", "c.txt": "new", "own": "y"}


def leftovers(folder: Path) -> set[str]:
    """Whatever is there beside the two newest generations and their plain names."""
    manifest = read_manifest(folder, made_by="some_table")
    expected = {MANIFEST, ".lock", *(file.name for file in manifest.files), *(f.path for f in manifest.files)}
    found = {name for name, _ in files_below(folder) if not name.startswith("_manifests/")}
    return {name for name in found - expected if not name.startswith("_files/")}


def test_a_kill_at_any_change_leaves_a_whole_generation_and_the_next_run_completes(folder: Path) -> None:
    fatal, ends = 0, set()
    while True:
        fatal += 1
        stage = folder / str(fatal)
        put_shards(stage, BEFORE, own="x")
        held = read_manifest(stage, made_by="some_table")
        with killed_at(fatal) as changes:
            put_shards(stage, AFTER, own="y")

        found = contents(stage)
        assert found in (WHOLE_BEFORE, WHOLE_AFTER)
        assert generation(held) == WHOLE_BEFORE
        if is_local(stage):
            assert plain(stage) == found
        ends.add(found == WHOLE_AFTER)

        assert set(put_shards(stage, AFTER, own="y")) <= {"b", "c"}
        assert contents(stage) == WHOLE_AFTER
        assert leftovers(stage) == set()
        if len(changes) < fatal:
            break
        if not is_local(stage):
            file_system(stage).store.clear()
    assert ends == {True, False}
    assert fatal > 15


def test_shards_that_were_complete_before_a_kill_are_not_made_again(folder: Path) -> None:
    made = []
    for fatal in range(1, 30):
        with killed_at(fatal):
            put_shards(folder / str(fatal), {"a": "1", "b": "2"})
        made.append(put_shards(folder / str(fatal), {"a": "1", "b": "2"}))
    assert [made[0], made[-1]] == [["a", "b"], []]
    assert made == sorted(made, key=len, reverse=True)
    assert ["b"] in made


def test_whoever_reads_while_another_publishes_finds_one_whole_generation(folder: Path) -> None:
    put_shards(folder, BEFORE, own="x")
    held = read_manifest(folder, made_by="some_table")
    found = []

    def read() -> None:
        found.append(contents(folder))
        assert generation(held) == WHOLE_BEFORE

    with at_each_change(read):
        put_shards(folder, AFTER, own="y")

    assert [whole for whole in found if whole not in (WHOLE_BEFORE, WHOLE_AFTER)] == []
    assert found[0] == WHOLE_BEFORE
    assert found[-1] == WHOLE_AFTER
    assert contents(folder) == WHOLE_AFTER


def test_a_generation_goes_when_two_later_ones_are_published(folder: Path) -> None:
    put_shards(folder, BEFORE, own="x")
    held = read_manifest(folder, made_by="some_table")
    put_shards(folder, AFTER, own="y")
    assert generation(held) == WHOLE_BEFORE
    put_shards(folder, AFTER, own="z")
    with pytest.raises(FileNotFoundError):
        generation(held)
    assert held.path("a.txt").read_text() == "1"  # which the later ones kept
