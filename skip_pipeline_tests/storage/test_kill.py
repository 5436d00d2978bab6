"""A publication that dies at any moment leaves one whole generation, and the next one completes."""

import os
import shutil
from itertools import count

import pytest

from skip_pipeline.locations import file_system, files_below, is_local
from skip_pipeline.storage import read_manifest
from skip_pipeline_tests.storage.faults import at_each_change, killed_at
from skip_pipeline_tests.storage.publishing import contents, generation, plain, put_shards

BEFORE = {"a": "1", "b": "2", "sub": "3"}
AFTER = {"a": "1", "b": "changed", "c": "new"}
WHOLE_BEFORE = {"a.txt": "1", "b.txt": "2", "sub.txt": "3", "own": "123"}
WHOLE_AFTER = {"a.txt": "1", "b.txt": "changed", "c.txt": "new", "own": "1changednew"}


@pytest.fixture
def again(folder):
    """Makes the stage as it was before, at little cost."""
    stage = folder / "stage"
    put_shards(stage, **BEFORE)
    if is_local(stage):
        number = count()
        return lambda: shutil.copytree(stage, folder / str(next(number)), copy_function=os.link)
    store = file_system(stage).store
    before = dict(store)

    def restore():
        store.clear()
        store.update(before)
        return stage

    return restore


def test_a_kill_at_any_change_leaves_a_whole_generation_and_the_next_run_completes(again):
    fatal, ends, changes = 0, set(), [1]
    while len(changes) >= fatal:
        fatal += 1
        stage = again()
        held = read_manifest(stage, made_by="some_table")
        with killed_at(fatal) as changes:
            put_shards(stage, **AFTER)

        found = contents(stage)
        assert found in (WHOLE_BEFORE, WHOLE_AFTER)
        assert generation(held) == WHOLE_BEFORE
        assert not is_local(stage) or plain(stage) == found
        ends.add(found == WHOLE_AFTER)

        assert set(put_shards(stage, **AFTER)) <= {"b", "c"}
        assert contents(stage) == WHOLE_AFTER
        assert not is_local(stage) or plain(stage) == WHOLE_AFTER
        left = {name.split("/")[0] for name, _ in files_below(stage)} - {"_manifest.json", ".lock"}
        assert left <= {"_files", "_manifests", *WHOLE_AFTER}
    assert ends == {True, False}
    assert fatal > 15


def test_shards_that_were_complete_before_a_kill_are_not_made_again(again):
    made = []
    for fatal in range(1, 30):
        stage = again()
        with killed_at(fatal):
            put_shards(stage, **AFTER)
        made.append(put_shards(stage, **AFTER))
    assert [made[0], made[-1]] == [["b", "c"], []]
    assert made == sorted(made, key=len, reverse=True)
    assert ["c"] in made


def test_whoever_reads_while_another_publishes_finds_one_whole_generation(again):
    stage = again()
    held = read_manifest(stage, made_by="some_table")
    found = []

    def read():
        found.append(contents(stage))
        assert generation(held) == WHOLE_BEFORE

    with at_each_change(read):
        put_shards(stage, **AFTER)

    assert [whole for whole in found if whole not in (WHOLE_BEFORE, WHOLE_AFTER)] == []
    assert [found[0], found[-1]] == [WHOLE_BEFORE, WHOLE_AFTER]
    assert contents(stage) == WHOLE_AFTER


def test_a_generation_goes_when_two_later_ones_are_published(folder):
    put_shards(folder, **BEFORE)
    held = read_manifest(folder, made_by="some_table")
    put_shards(folder, **AFTER)
    assert generation(held) == WHOLE_BEFORE
    put_shards(folder, **AFTER)
    with pytest.raises(FileNotFoundError):
        generation(held)
    assert held.path("a.txt").read_text() == "1"  # which the later ones kept
