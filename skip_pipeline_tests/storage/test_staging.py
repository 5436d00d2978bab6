"""Shards whose inputs are unchanged stay where they are; anything else is made again."""

import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.locations import files_below
from skip_pipeline.storage import Made, ShardJob, digest_of, publish, read_manifest
from skip_pipeline_tests.storage.publishing import contents, job


def failing(name, inputs="bad"):
    """A shard that cannot be made."""

    def make(*, out):
        raise BadInputError(f"{name} is corrupt")

    return ShardJob(name, digest_of(inputs), make)


def put(folder, shards, *, data_source="real", inputs=None):
    """Publish a file a shard, each holding its own text; returns the names of the shards that were made."""
    with publish(folder, stage="some_table", data_source=data_source) as staging:
        jobs = [job(name, text, (inputs or {}).get(name)) for name, text in shards.items()]
        staging.rows = sum(summary["length"] for summary in staging.make_shards(jobs).values())
    return staging.made


def put_with_failures(folder, shards, failures):
    """Publish, but some shards cannot be made; returns the error and the names of those that were."""
    with (
        pytest.raises(BadInputError) as failure,
        publish(folder, stage="some_table", data_source="real") as s,
    ):
        s.make_shards([*map(failing, failures), *(job(name, text) for name, text in shards.items())])
    return str(failure.value), s.made


def left_behind(folder, name):
    """A stored file of a publication that was cut short."""
    [path] = [path for found, path in files_below(folder / "_files") if found.endswith(name)]
    return path


def test_only_a_new_shard_is_made(folder):
    assert put(folder, {"a": "1", "b": "22"}) == ["a", "b"]
    before = read_manifest(folder, made_by="some_table").path("a.txt")
    assert put(folder, {"a": "1", "b": "22", "c": "333"}) == ["c"]
    assert contents(folder) == {"a.txt": "1", "b.txt": "22", "c.txt": "333"}
    manifest = read_manifest(folder, made_by="some_table")
    assert manifest.path("a.txt") == before
    assert manifest.rows == 6
    assert [record.name for record in manifest.files] == ["a.txt", "b.txt", "c.txt"]
    assert manifest.shards["b"].summary == {"length": 2}
    assert manifest.record("c.txt").bytes == 3


def test_the_fingerprint_does_not_tell_kept_from_made(folder):
    for name in ("one", "two"):
        put(folder / name, {"a": "1", "b": "22"})
    put(folder / "two", {"a": "1", "b": "22"})
    one, two = (read_manifest(folder / name, made_by="some_table") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_a_changed_shard_is_made_again_and_the_others_stay(folder):
    put(folder, {"a": "1", "b": "22"})
    assert put(folder, {"a": "1", "b": "changed"}) == ["b"]
    assert contents(folder) == {"a.txt": "1", "b.txt": "changed"}


def test_what_was_made_of_a_removed_shard_goes(folder):
    put(folder, {"a": "1", "b": "22"})
    assert put(folder, {"b": "22"}) == []
    assert contents(folder) == {"b.txt": "22"}


def test_a_renamed_shard_is_made_under_its_new_name(folder):
    put(folder, {"a": "1", "b": "22"})
    assert put(folder, {"a": "1", "c": "22"}) == ["c"]
    assert contents(folder) == {"a.txt": "1", "c.txt": "22"}


def test_other_inputs_make_it_again_though_the_name_is_the_same(folder):
    put(folder, {"a": "1"}, inputs={"a": "code 1"})
    assert put(folder, {"a": "2"}, inputs={"a": "code 2"}) == ["a"]
    assert contents(folder) == {"a.txt": "2"}


def test_results_of_synthetic_data_are_not_kept_for_real_ones(folder):
    put(folder, {"a": "1"}, data_source="synthetic")
    assert put(folder, {"a": "1"}, data_source="real") == ["a"]


def test_one_corrupt_shard_keeps_no_other_from_being_made_and_is_made_alone_when_mended(folder):
    put(folder, {"a": "1"})
    message, made = put_with_failures(folder, {"a": "1", "b": "22", "d": "4444"}, ["c"])
    assert message == "c is corrupt"
    assert made == ["b", "d"]
    assert contents(folder) == {"a.txt": "1"}
    assert put(folder, {"a": "1", "b": "22", "c": "333", "d": "4444"}) == ["c"]
    assert contents(folder) == {"a.txt": "1", "b.txt": "22", "c.txt": "333", "d.txt": "4444"}
    assert files_below(folder / "_made") == []


def test_several_corrupt_shards_are_named_in_one_error(folder):
    message, made = put_with_failures(folder, {"a": "1"}, ["b", "c", "d"])
    assert message == "b is corrupt. 2 more failed: c, d"
    assert made == ["a"]


def test_failing_twice_forgets_nothing(folder):
    put_with_failures(folder, {"a": "1", "b": "22"}, ["c"])
    _, made = put_with_failures(folder, {"a": "1", "b": "22"}, ["c"])
    assert made == []
    assert put(folder, {"a": "1", "b": "22", "c": "333"}) == ["c"]


@pytest.mark.parametrize("damage", ["content", "missing", "note"])
def test_what_was_left_behind_is_trusted_only_if_it_is_whole(folder, damage):
    put_with_failures(folder, {"a": "1", "b": "22"}, ["c"])
    left = left_behind(folder, "b.txt")
    if damage == "content":
        left.write_text("no")
    elif damage == "missing":
        left.unlink()
    else:
        for _, note in files_below(folder / "_made"):
            note.write_text("{")
    made = ["b", "c"] if damage != "note" else ["a", "b", "c"]
    assert put(folder, {"a": "1", "b": "22", "c": "333"}) == made
    assert contents(folder) == {"a.txt": "1", "b.txt": "22", "c.txt": "333"}


def test_what_was_left_behind_from_other_inputs_or_another_source_is_made_again(folder):
    put_with_failures(folder, {"a": "1", "b": "22"}, ["c"])
    assert put(folder, {"a": "1", "b": "changed"}, data_source="synthetic") == ["a", "b"]


def test_an_interrupted_publication_leaves_its_finished_shards_to_the_next(folder):
    def interrupt(*, out):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), publish(folder, stage="s", data_source="real") as staging:
        staging.make_shards([job("a", "1"), ShardJob("b", "", interrupt)])
    assert put(folder, {"a": "1", "b": "22"}) == ["b"]
    assert contents(folder) == {"a.txt": "1", "b.txt": "22"}


def test_a_shard_that_wrote_no_file_it_names_is_refused(folder):
    def forget(*, out):
        return Made(("a.txt",), {})

    publication = publish(folder, stage="some_table", data_source="real")
    with pytest.raises(MissingInputError, match=r"a\.txt"), publication as staging:
        staging.make_shards([ShardJob("a", "", forget)])


def test_files_are_found_where_they_are(folder):
    put(folder, {"a": "1"})
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.make_shards([job("a", "1")])
        assert staging.made == []
        staging.path("new.txt").write_text("2")
        assert staging.find("a.txt").read_text() == "1"
        assert staging.find("new.txt").read_text() == "2"
