"""Shards whose inputs are unchanged stay where they are; anything else is made again."""

import json

import pytest

from skip_pipeline.storage import MANIFEST, Made, digest_of, publish, read_manifest


def put(folder, shards, *, data_source="real", inputs=None):
    """Publish a file a shard, each holding its own text; returns the names of the shards that were made."""
    with publish(folder, stage="some_table", data_source=data_source) as staging:
        for name, text in shards.items():

            def make(name=name, text=text):
                staging.path(f"{name}.txt").write_text(text)
                return Made((f"{name}.txt",), {"length": len(text)})

            summary = staging.shard(name, digest_of((inputs or {}).get(name, text)), make)
            staging.rows += summary["length"]
    return staging.made


def contents(folder):
    return {path.name: path.read_text() for path in folder.glob("*.txt")}


def test_only_a_new_shard_is_made(tmp_path):
    assert put(tmp_path, {"a": "1", "b": "22"}) == ["a", "b"]
    before = (tmp_path / "a.txt").stat().st_mtime_ns
    assert put(tmp_path, {"a": "1", "b": "22", "c": "333"}) == ["c"]
    assert contents(tmp_path) == {"a.txt": "1", "b.txt": "22", "c.txt": "333"}
    assert (tmp_path / "a.txt").stat().st_mtime_ns == before
    manifest = read_manifest(tmp_path, made_by="some_table")
    assert manifest.rows == 6
    assert [record.name for record in manifest.files] == ["a.txt", "b.txt", "c.txt"]
    assert manifest.shards["b"].summary == {"length": 2}
    assert manifest.record("c.txt").bytes == 3


def test_the_fingerprint_does_not_tell_kept_from_made(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / folder, {"a": "1", "b": "22"})
    put(tmp_path / "two", {"a": "1", "b": "22"})
    one, two = (read_manifest(tmp_path / name, made_by="some_table") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_a_changed_shard_is_made_again_and_the_others_stay(tmp_path):
    put(tmp_path, {"a": "1", "b": "22"})
    assert put(tmp_path, {"a": "1", "b": "changed"}) == ["b"]
    assert contents(tmp_path) == {"a.txt": "1", "b.txt": "changed"}


def test_what_was_made_of_a_removed_shard_goes(tmp_path):
    put(tmp_path, {"a": "1", "b": "22"})
    assert put(tmp_path, {"b": "22"}) == []
    assert contents(tmp_path) == {"b.txt": "22"}


def test_a_renamed_shard_is_made_under_its_new_name(tmp_path):
    put(tmp_path, {"a": "1", "b": "22"})
    assert put(tmp_path, {"a": "1", "c": "22"}) == ["c"]
    assert contents(tmp_path) == {"a.txt": "1", "c.txt": "22"}


def test_other_inputs_make_it_again_though_the_name_is_the_same(tmp_path):
    put(tmp_path, {"a": "1"}, inputs={"a": "code 1"})
    assert put(tmp_path, {"a": "2"}, inputs={"a": "code 2"}) == ["a"]
    assert contents(tmp_path) == {"a.txt": "2"}


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_a_result_that_is_not_as_recorded_is_made_again(tmp_path, damage):
    put(tmp_path, {"a": "1", "b": "22"})
    if damage == "missing":
        (tmp_path / "b.txt").unlink()
    else:
        (tmp_path / "b.txt").write_text("2")
    assert put(tmp_path, {"a": "1", "b": "22"}) == ["b"]
    assert contents(tmp_path) == {"a.txt": "1", "b.txt": "22"}


def test_results_of_synthetic_data_are_not_kept_for_real_ones(tmp_path):
    put(tmp_path, {"a": "1"}, data_source="synthetic")
    assert put(tmp_path, {"a": "1"}, data_source="real") == ["a"]


@pytest.mark.parametrize("manifest", ["", "{}", '{"stage": "some_table"}', None])
def test_without_a_readable_manifest_everything_is_made(tmp_path, manifest):
    put(tmp_path, {"a": "1"})
    if manifest is None:
        (tmp_path / MANIFEST).unlink()
    else:
        (tmp_path / MANIFEST).write_text(manifest)
    assert put(tmp_path, {"a": "1"}) == ["a"]


def test_a_manifest_from_before_shards_were_recorded_keeps_nothing(tmp_path):
    put(tmp_path, {"a": "1"})
    content = json.loads((tmp_path / MANIFEST).read_text())
    del content["shards"]
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    assert put(tmp_path, {"a": "1"}) == ["a"]


def test_a_failure_leaves_the_kept_and_the_earlier_files_alone(tmp_path):
    put(tmp_path, {"a": "1", "b": "22"})

    def fail():
        raise OSError("disk full")

    def publish_and_fail():
        with publish(tmp_path, stage="some_table", data_source="real") as staging:
            staging.shard("a", digest_of("1"), fail)  # unchanged: not called
            staging.shard("b", digest_of("other"), fail)

    with pytest.raises(OSError, match="disk full"):
        publish_and_fail()
    assert contents(tmp_path) == {"a.txt": "1", "b.txt": "22"}
    assert put(tmp_path, {"a": "1", "b": "22"}) == []


def test_files_are_found_where_they_are(tmp_path):
    put(tmp_path, {"a": "1"})
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        staging.shard("a", digest_of("1"), lambda: pytest.fail("made again"))
        staging.path("new.txt").write_text("2")
        assert staging.find("a.txt").read_text() == "1"
        assert staging.find("new.txt").read_text() == "2"
