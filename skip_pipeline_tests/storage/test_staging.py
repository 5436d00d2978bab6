"""Shards whose inputs are unchanged and whose files are whole stay where they are; others are made again."""

import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.locations import file_system, files_below, key_of
from skip_pipeline.storage import Made, ShardJob, digest_of, publish, read_manifest
from skip_pipeline_tests.storage.publishing import contents, job, plain, put_shards


def put_with_failures(folder, *names, **shards):
    """Publish, but shards of some names cannot be made; the error, and names of those that were."""

    def failing(name):
        def make(*, out):
            raise BadInputError(f"{name} is corrupt")

        return ShardJob(name, digest_of("bad"), make)

    with (
        pytest.raises(BadInputError) as failure,
        publish(folder, stage="some_table", data_source="real") as staging,
    ):
        staging.make_shards([*map(failing, names), *(job(name, text) for name, text in shards.items())])
    return str(failure.value), staging.made


def test_only_a_new_shard_is_made(folder):
    assert put_shards(folder, a="1", b="22") == ["a", "b"]
    before = read_manifest(folder, made_by="some_table")
    assert put_shards(folder, a="1", b="22", c="333") == ["c"]
    assert contents(folder) == {"a.txt": "1", "b.txt": "22", "c.txt": "333", "own": "122333"}
    manifest = read_manifest(folder, made_by="some_table")
    assert manifest.path("a.txt") == before.path("a.txt")
    assert [record.name for record in manifest.files] == ["a.txt", "b.txt", "c.txt", "own"]
    assert manifest.shards["b"].summary == {"length": 2}
    put_shards(folder / "made", a="1", b="22", c="333")
    assert read_manifest(folder / "made", made_by="some_table").fingerprint == manifest.fingerprint


@pytest.mark.parametrize(
    ("now", "made"),
    [
        ({"a": "1", "b": "changed"}, ["b"]),
        ({"b": "22"}, []),
        ({"a": "1", "c": "22"}, ["c"]),
    ],
    ids=["changed", "removed", "renamed"],
)
def test_the_stage_holds_the_shards_that_are_asked_for_and_no_others(folder, now, made):
    put_shards(folder, a="1", b="22")
    assert put_shards(folder, **now) == made
    assert contents(folder) == {f"{name}.txt": text for name, text in now.items()} | {
        "own": "".join(now.values())
    }


def test_every_shard_is_said_to_be_made_kept_or_removed(folder):
    put_shards(folder, a="1", b="22", c="333", _table="x")
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.make_shards([job("a", "1"), job("b", "changed"), job("d", "4444"), job("_table", "x")])

    assert staging.fates() == {"a": "kept", "b": "made", "c": "removed", "d": "made"}


def test_other_inputs_make_it_again_though_the_name_is_the_same(folder):
    put_shards(folder, job("a", "1"))
    again = ShardJob("a", "code 2", job("a", "1").make)
    assert put_shards(folder, again) == ["a"]
    assert put_shards(folder, again) == []


def test_results_of_synthetic_data_are_not_kept_for_real_ones(folder):
    put_shards(folder, source="synthetic", a="1")
    assert put_shards(folder, source="real", a="1") == ["a"]


def test_one_corrupt_shard_keeps_no_other_from_being_made_and_is_made_alone_when_mended(folder):
    put_shards(folder, a="1")
    message, made = put_with_failures(folder, "c", a="1", b="22", d="4444")
    assert message == "c is corrupt"
    assert made == ["b", "d"]
    assert contents(folder) == {"a.txt": "1", "own": "1"}
    assert put_with_failures(folder, "c", a="1", b="22", d="4444")[1] == []
    assert put_shards(folder, a="1", b="22", c="333", d="4444") == ["c"]
    assert contents(folder)["d.txt"] == "4444"
    assert files_below(folder / "_made") == []


def test_several_corrupt_shards_are_named_in_one_error(folder):
    message, made = put_with_failures(folder, "b", "c", "d", a="1")
    assert message == "b is corrupt. 2 more failed: c, d"
    assert made == ["a"]


@pytest.mark.parametrize("damage", ["content", "missing", "note"])
def test_what_was_left_behind_is_trusted_only_if_it_is_whole(folder, damage):
    put_with_failures(folder, "c", a="1", b="22")
    [left] = [path for name, path in files_below(folder / "_files") if name.endswith("b.txt")]
    if damage == "content":
        left.write_text("no")
    elif damage == "missing":
        left.unlink()
    else:
        for _, note in files_below(folder / "_made"):
            note.write_text("{")
    made = ["b", "c"] if damage != "note" else ["a", "b", "c"]
    assert put_shards(folder, a="1", b="22", c="333") == made
    assert contents(folder)["b.txt"] == "22"


def test_what_was_left_behind_from_other_inputs_or_another_source_is_made_again(folder):
    put_with_failures(folder, "c", a="1", b="22")
    assert put_shards(folder, source="synthetic", a="1", b="changed") == ["a", "b"]


def test_an_interrupted_publication_leaves_its_finished_shards_to_the_next(folder):
    def interrupt(*, out):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_shards(folder, job("a", "1"), ShardJob("b", "", interrupt))
    assert put_shards(folder, a="1", b="22") == ["b"]


def test_a_shard_that_wrote_no_file_it_names_is_refused(folder):
    def forget(*, out):
        return Made(("a.txt",), {})

    with pytest.raises(MissingInputError, match=r"a\.txt"):
        put_shards(folder, ShardJob("a", "", forget))


def test_files_are_found_where_they_are(folder):
    put_shards(folder, a="1")
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.make_shards([job("a", "1")])
        staging.path("new.txt").write_text("2")
        assert staging.find("a.txt").read_text() == "1"
        assert staging.find("new.txt").read_text() == "2"


# --- Damage -----------------------------------------------------------------------------------------------


def stored(folder):
    """The file of shard b."""
    return read_manifest(folder, made_by="some_table").path("b.txt")


@pytest.mark.parametrize("damage", ["2X", "2", None], ids=["of equal size", "shorter", "missing"])
def test_a_damaged_shard_is_made_again_alone(folder, damage):
    put_shards(folder, a="1", b="22")
    damaged = stored(folder)
    if damage is None:
        damaged.unlink()
    else:
        damaged.write_text(damage)
    assert put_shards(folder, a="1", b="22") == ["b"]
    assert contents(folder) == {"a.txt": "1", "b.txt": "22", "own": "122"}
    assert stored(folder) != damaged
    # It goes with its generation, so readers keep theirs.
    assert damage is None or damaged.read_text() == damage
    assert put_shards(folder, a="1", b="22") == []


def test_a_shard_changed_in_place_under_its_plain_name_is_made_again(tmp_path):
    put_shards(tmp_path, a="1", b="22")
    with (tmp_path / "b.txt").open("r+") as handle:
        handle.write("X")
    assert contents(tmp_path)["b.txt"] == "X2"
    assert put_shards(tmp_path, a="1", b="22") == ["b"]
    assert contents(tmp_path) == plain(tmp_path) == {"a.txt": "1", "b.txt": "22", "own": "122"}


def test_the_mark_of_an_s3_store_shows_a_change_of_equal_size(s3_bucket):
    put_shards(s3_bucket, a="1", b="22")
    assert read_manifest(s3_bucket, made_by="some_table").record("b.txt").mark.startswith("2 ETag")
    assert put_shards(s3_bucket, a="1", b="22") == []
    file_system(s3_bucket).pipe_file(key_of(stored(s3_bucket)), b"2X")
    assert put_shards(s3_bucket, a="1", b="22") == ["b"]
    assert contents(s3_bucket)["b.txt"] == "22"
