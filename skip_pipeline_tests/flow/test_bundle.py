import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.flow import bundle
from skip_pipeline.flow.bundle import (
    ARRAYS,
    Bundle,
    BundleWriter,
    LeakReport,
    bundle_shard,
    class_balance,
    find_leaks,
    open_bundle,
    session_lengths,
    shard_parts,
)
from skip_pipeline.storage import publish
from skip_pipeline_tests.builders import (
    TEST,
    TRAIN,
    VALIDATION,
    assert_says,
    changed,
    refusal,
    scaled_table,
    session,
)

INPUTS = tuple(schema.BRANCH_SHAPES)
POSITION_IN_LOG = schema.SESSION_LOG_BRANCH.index("session_position")
LENGTH_IN_LOG = schema.SESSION_LOG_BRANCH.index("session_length")
LABEL_IN_LOG = schema.SESSION_LOG_BRANCH.index("not_skipped")
TEMPO_IN_TRACK = schema.TRACK_BRANCH.index("tempo")


def shard(lengths, splits=None, *, seed=0):
    """Scaled rows of sessions a, b, … in which no two rows are alike, and the sessions; all for training."""
    rng = np.random.default_rng(seed)
    columns = {}
    for field in schema.SCALED:
        if pa.types.is_floating(field.type):
            columns[field.name] = rng.random(sum(lengths), dtype=np.float32)
        else:
            columns[field.name] = rng.integers(0, 2, sum(lengths))
    columns["session_id"] = np.repeat(np.arange(len(lengths)), lengths)
    columns["session_position"] = np.concatenate([np.arange(1, n + 1) for n in lengths])
    columns["session_length"] = np.repeat(lengths, lengths)
    scaled = pa.table({name: pa.array(v) for name, v in columns.items()}).cast(schema.SCALED)
    indices = [schema.SPLITS.index(name) for name in splits or ["train"] * len(lengths)]
    sessions = pa.Table.from_arrays(
        [
            pa.array([chr(ord("a") + i) for i in range(len(lengths))]),
            pa.array(range(len(lengths)), pa.int32()),
            pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(schema.SPLITS)),
        ],
        schema=schema.SESSIONS,
    )
    return scaled, sessions


def rows_of(scaled, code, columns):
    """One session's rows as float32 (length, columns)."""
    chosen = scaled["session_id"].to_numpy() == code
    return np.column_stack([scaled[name].to_numpy()[chosen] for name in columns]).astype(np.float32)


def same(one, other, names=ARRAYS):
    return all(np.array_equal(one[name], other[name]) for name in names)


# --- Arrangement, on three sessions of 10, 13 and 20 tracks ---------------------------------------------


@pytest.fixture(scope="module")
def three():
    """Sessions whose tempo says position / 20 and whose label is 1 on positions divisible by 3."""
    scaled, sessions = shard([10, 13, 20])
    positions = scaled["session_position"].to_numpy()
    tempo, label = scaled.column_names.index("tempo"), scaled.column_names.index("not_skipped")
    scaled = scaled.set_column(
        tempo, schema.SCALED.field("tempo"), pa.array((positions / 20).astype(np.float32))
    )
    scaled = scaled.set_column(
        label, schema.SCALED.field("not_skipped"), pa.array((positions % 3 == 0).astype(np.int8))
    )
    return bundle_shard(scaled, sessions)["train"]


LENGTHS = pytest.mark.parametrize(("row", "length"), [(0, 10), (1, 13), (2, 20)])


def test_arrays_have_the_shapes_of_the_schema_and_are_float32(three):
    assert {name: three[name].shape for name in INPUTS} == {
        "session_log": (3, 19, 35),
        "previous_tracks": (3, 19, 31),
        "skip_sequence": (3, 19, 1),
        "last_track": (3, 31),
    }
    assert {three[name].dtype for name in (*INPUTS, "not_skipped")} == {np.dtype("float32")}
    assert three.not_skipped.shape == three.session_id.shape == (3,)
    assert three.sessions == 3


@LENGTHS
def test_the_last_step_of_the_session_log_is_the_track_before_the_predicted_one(three, row, length):
    padding = [0] * (20 - length)
    assert three.session_log[row, :, POSITION_IN_LOG].tolist() == [*padding, *range(1, length)]
    assert three.session_log[row, :, LENGTH_IN_LOG].tolist() == [*padding, *[length] * (length - 1)]


@LENGTHS
def test_the_tracks_of_a_step_are_those_of_the_session_log(three, row, length):
    steps = three.previous_tracks[row, :, TEMPO_IN_TRACK]
    assert steps == pytest.approx(three.session_log[row, :, POSITION_IN_LOG] / 20)


@LENGTHS
def test_the_skip_of_a_step_is_the_label_of_that_track_and_9_before_the_first(three, row, length):
    expected = [9] * (20 - length) + [int(position % 3 == 0) for position in range(1, length)]
    assert three.skip_sequence[row, :, 0].tolist() == expected
    assert three.session_log[row, 20 - length :, LABEL_IN_LOG].tolist() == expected[20 - length :]


@LENGTHS
def test_steps_before_the_first_track_are_zero_in_every_column(three, row, length):
    assert not three.session_log[row, : 20 - length].any()
    assert not three.previous_tracks[row, : 20 - length].any()


def test_the_last_track_is_that_of_the_predicted_position(three):
    assert three.last_track[:, TEMPO_IN_TRACK] == pytest.approx([0.5, 0.65, 1.0])


def test_the_label_is_that_of_the_predicted_position(three):
    assert three.not_skipped.tolist() == [0, 0, 0]
    scaled, sessions = scaled_table(session(TRAIN, 10, not_skipped=[False] * 9 + [True]))
    assert bundle_shard(scaled, sessions)["train"].not_skipped.tolist() == [1]


def test_sessions_keep_their_ids_and_their_order(three):
    assert three.session_id.tolist() == ["a", "b", "c"]


def test_a_session_is_in_the_bundle_of_its_split_only():
    scaled, sessions = shard([10, 11, 12, 13], ["test", "train", "test", "validation"])
    bundles = bundle_shard(scaled, sessions)
    assert {split: bundles[split].session_id.tolist() for split in schema.SPLITS} == {
        "train": ["b"],
        "validation": ["d"],
        "test": ["a", "c"],
    }
    alone = bundle_shard(*shard([10, 11, 12, 13]))["train"]
    assert same(bundles["test"], {name: alone[name][[0, 2]] for name in ARRAYS})


def test_a_bundle_gives_its_arrays_by_name_and_as_attributes(three):
    assert list(three) == [*INPUTS, "not_skipped", "session_id"]
    assert all(three[name] is getattr(three, name) for name in three)
    assert len(three) == 6


@given(
    lengths=st.lists(st.integers(10, 20), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=50)
def test_every_row_can_be_read_back_from_the_bundle(lengths, seed):
    scaled, sessions = shard(lengths, seed=seed)
    made = bundle_shard(scaled, sessions)["train"]
    for code, length in enumerate(lengths):
        log = rows_of(scaled, code, schema.SESSION_LOG_BRANCH)
        tracks = rows_of(scaled, code, schema.TRACK_BRANCH)
        label = rows_of(scaled, code, ["not_skipped"])
        assert np.array_equal(made.session_log[code, 20 - length :], log[:-1])
        assert np.array_equal(made.previous_tracks[code, 20 - length :], tracks[:-1])
        assert np.array_equal(made.skip_sequence[code, 20 - length :], label[:-1])
        assert np.array_equal(made.last_track[code], tracks[-1])
        assert made.not_skipped[code] == label[-1]


# --- Leak -----------------------------------------------------------------------------------------------

UNSEEN = sorted(set(schema.SCALED.names) - set(schema.TRACK_BRANCH) - {"session_id"})


@given(column=st.sampled_from(UNSEEN), value=st.integers(-128, 127), code=st.integers(0, 2))
@settings(deadline=None)
def test_no_value_at_the_predicted_position_but_its_track_reaches_an_input(column, value, code):
    lengths = [10, 13, 20]
    scaled, sessions = shard(lengths)
    tampered = changed(scaled, column, sum(lengths[: code + 1]) - 1, value)
    before, after = bundle_shard(scaled, sessions)["train"], bundle_shard(tampered, sessions)["train"]
    assert same(before, after, INPUTS)
    assert column == "not_skipped" or same(before, after)


@pytest.mark.parametrize("column", schema.TRACK_BRANCH)
def test_the_predicted_track_reaches_the_last_track_and_nothing_else(column):
    scaled, sessions = shard([10, 13])
    tampered = changed(scaled, column, 22, 3)
    before, after = bundle_shard(scaled, sessions)["train"], bundle_shard(tampered, sessions)["train"]
    assert [name for name in ARRAYS if not np.array_equal(before[name], after[name])] == ["last_track"]


# Not the position, which says where a row stands: changing it alone would leave a gap.
@pytest.mark.parametrize("column", sorted(set(schema.SESSION_LOG_BRANCH) - {"session_position"}))
def test_history_reaches_the_session_log(column):
    scaled, sessions = shard([10, 13])
    tampered = changed(scaled, column, 21, 3)
    before, after = bundle_shard(scaled, sessions)["train"], bundle_shard(tampered, sessions)["train"]
    assert not np.array_equal(before.session_log, after.session_log)


def test_no_leak_is_found_in_what_is_really_bundled():
    made = shard([10, 13, 20])
    assert find_leaks(*made, bundle_shard(*made)) == LeakReport(sessions=3, leaking=())


def test_inputs_that_were_made_from_another_table_are_found():
    scaled, sessions = shard([10, 13, 20])
    published = bundle_shard(changed(scaled, "skip_1", 3, 5), sessions)
    assert find_leaks(scaled, sessions, published).leaking == ("session_log",)


def test_the_parts_of_bundles_are_what_each_shard_has_added():
    made = {"a": shard([10, 13]), "b": shard([20, 11, 12])}
    added = {name: bundle_shard(*tables) for name, tables in made.items()}
    whole = {
        split: Bundle({n: np.concatenate([part[split][n] for part in added.values()]) for n in ARRAYS})
        for split in schema.SPLITS
    }
    parts = dict(shard_parts(whole, {name: sessions for name, (_, sessions) in made.items()}))
    assert list(parts) == ["a", "b"]
    assert all(same(parts[name][s], added[name][s]) for name in made for s in schema.SPLITS)


LEAKS = {
    "session_log": lambda arrays, last: arrays["session_log"].__setitem__(
        (slice(None), 18, 0), last("skip_1")
    ),
    "previous_tracks": lambda arrays, last: arrays["previous_tracks"].__setitem__(
        (slice(None), 18, 0), last("hour_of_day")
    ),
    "skip_sequence": lambda arrays, last: arrays["skip_sequence"].__setitem__(
        (slice(None), 18, 0), last("not_skipped")
    ),
    "last_track": lambda arrays, last: arrays["last_track"].__setitem__(
        (slice(None), 0), last("hist_user_behavior_reason_end_fwdbtn")
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_planted_leak_is_found(monkeypatch, name):
    arrange = bundle._arrange

    def leaking(scaled, ids):
        arrays = arrange(scaled, ids)
        ends = np.cumsum(np.bincount(scaled["session_id"].to_numpy())) - 1
        LEAKS[name](arrays, lambda column: scaled[column].to_numpy()[ends])
        return arrays

    monkeypatch.setattr(bundle, "_arrange", leaking)
    made = shard([10, 13, 20])
    assert find_leaks(*made, bundle_shard(*made)).leaking == (name,)


def test_every_column_that_no_input_may_see_is_tampered_with(monkeypatch):
    seen = []
    arrange = bundle._arrange
    monkeypatch.setattr(bundle, "_arrange", lambda scaled, ids: seen.append(scaled) or arrange(scaled, ids))
    made = shard([10, 13])
    find_leaks(*made, bundle_shard(*made))
    before, after = seen
    moved = {name for name in before.column_names if not before[name].equals(after[name])}
    assert moved == set(UNSEEN) - {"session_position", "session_length"}
    assert {i for n in moved for i in np.flatnonzero(before[n].to_numpy() != after[n].to_numpy())} == {9, 22}


# --- Files ----------------------------------------------------------------------------------------------


def write(folder, *shards):
    writer = BundleWriter(folder, [sessions for _, sessions in shards])
    for scaled, sessions in shards:
        writer.add(bundle_shard(scaled, sessions))
    writer.close()
    return writer


@pytest.fixture
def bundles(tmp_path):
    """A folder with two sessions for training, one for validation and one for test."""
    write(tmp_path, shard([10, 11, 12, 13], ["train", "validation", "test", "train"]))
    return tmp_path


@pytest.mark.parametrize("split", schema.SPLITS)
def test_what_is_opened_is_what_was_bundled(bundles, split):
    made = bundle_shard(*shard([10, 11, 12, 13], ["train", "validation", "test", "train"]))
    assert same(open_bundle(bundles, split), made[split])


def test_a_folder_may_be_given_as_text(bundles):
    assert open_bundle(str(bundles), "train").sessions == 2


def test_opened_arrays_are_mapped_and_read_only(bundles):
    opened = open_bundle(bundles, "train")
    assert all(isinstance(opened[name], np.memmap) for name in ARRAYS)
    with pytest.raises(ValueError, match="read-only"):
        opened.session_log[0, 0, 0] = 1


def test_shards_follow_one_another(tmp_path):
    first = shard([10, 20], ["test", "train"], seed=1)
    second = shard([12, 15], ["train", "train"], seed=2)
    writer = write(tmp_path, first, second)
    assert writer.sessions == {"train": 3, "validation": 0, "test": 1}
    parts = [bundle_shard(*first)["train"], bundle_shard(*second)["train"]]
    opened = open_bundle(tmp_path, "train")
    assert same(opened, {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS})


def test_a_split_without_sessions_opens_with_the_right_shapes(tmp_path):
    write(tmp_path, shard([10, 11]))
    opened = open_bundle(tmp_path, "validation")
    assert opened.sessions == 0
    assert {name: opened[name].shape for name in INPUTS} == {
        n: (0, *s) for n, s in schema.BRANCH_SHAPES.items()
    }


def test_the_same_shards_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        write(tmp_path / folder, shard([10, 11, 12], list(schema.SPLITS)))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.npy"))
    assert len(files) == 18
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_long_and_non_ascii_ids_are_kept(tmp_path):
    ids = ["s0" + "ü" * 70, "音楽"]
    scaled, sessions = scaled_table(session(TRAIN), session(ids[0]), session(ids[1]))
    write(tmp_path, (scaled, sessions))
    opened = np.concatenate([open_bundle(tmp_path, split).session_id for split in schema.SPLITS])
    assert set(opened.tolist()) == {TRAIN, *ids}


def test_fewer_sessions_than_announced_are_refused(tmp_path):
    scaled, sessions = shard([10, 11])
    writer = BundleWriter(tmp_path, [sessions, sessions])
    writer.add(bundle_shard(scaled, sessions))
    assert_says(refusal(ContractError, writer.close), "'train': 2", "announced were {'train': 4")


def test_more_sessions_than_announced_are_refused(tmp_path):
    made = bundle_shard(*shard([10, 11]))
    writer = BundleWriter(tmp_path, [shard([10])[1]])
    assert_says(refusal(ContractError, lambda: writer.add(made)), "2 sessions of train", "announced were 1")


def test_an_unknown_split_is_refused_with_those_there_are(bundles):
    message = refusal(RefusedError, lambda: open_bundle(bundles, "holdout"))
    assert_says(message, "no split 'holdout'", "choose one of train, validation, test")


def test_a_bundle_that_was_never_made_is_asked_for(tmp_path):
    message = refusal(MissingInputError, lambda: open_bundle(tmp_path / "05_bundles", "test"))
    assert_says(
        message, str(tmp_path / "05_bundles" / "test"), "session_log.npy", "materialize tensor_bundles"
    )


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_array_is_named(bundles, name):
    (bundles / "test" / f"{name}.npy").unlink()
    message = refusal(MissingInputError, lambda: open_bundle(bundles, "test"))
    assert_says(message, f"{bundles / 'test'} holds no {name}.npy", "materialize tensor_bundles")


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("session_log", np.zeros((2, 19, 34), np.float32), "session_log is float32 (2, 19, 34)"),
        ("skip_sequence", np.zeros((2, 19), np.float32), "skip_sequence is float32 (2, 19)"),
        ("last_track", np.zeros((3, 31), np.float32), "last_track is float32 (3, 31)"),
        ("previous_tracks", np.zeros((2, 19, 31)), "previous_tracks is float64 (2, 19, 31)"),
        ("not_skipped", np.zeros((2, 1), np.float32), "not_skipped is float32 (2, 1)"),
        ("not_skipped", np.float32(1), "not_skipped is float32 ()"),
        ("session_id", np.array(["a"]), "session_id is <U1 (1,)"),
        ("session_id", np.zeros(2), "session_id is float64 (2,)"),
    ],
)
def test_an_array_of_another_shape_or_dtype_is_named(bundles, name, array, fault):
    np.save(bundles / "train" / f"{name}.npy", array)
    message = refusal(ContractError, lambda: open_bundle(bundles, "train"))
    assert_says(message, str(bundles / "train"), fault, ", not ", "materialize tensor_bundles again")


@pytest.mark.parametrize("kept", [0, 20, -1], ids=["nothing", "part of the header", "all but a byte"])
def test_a_truncated_array_is_named(bundles, kept):
    path = bundles / "train" / "session_log.npy"
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(ContractError, lambda: open_bundle(bundles, "train"))
    assert_says(message, f"{path} is not a readable array", "materialize tensor_bundles again")


def test_a_pickle_is_not_opened(bundles):
    np.save(bundles / "train" / "session_id.npy", np.array(["a", None], dtype=object))
    assert_says(refusal(ContractError, lambda: open_bundle(bundles, "train")), "not a readable array")


def test_opening_first_finishes_a_publication_that_a_kill_cut_short(tmp_path):
    earlier, later = (shard([10, 11, 12], list(schema.SPLITS), seed=seed) for seed in (1, 2))
    for folder, made in ((tmp_path, earlier), (tmp_path / "elsewhere", later)):
        with publish(folder, stage="tensor_bundles", data_source="real") as staging:
            write(staging.folder, made)
    # As if killed after the later publication's commit, when one file had been moved.
    (tmp_path / "elsewhere").rename(tmp_path / ".commit")
    (tmp_path / ".commit" / "train" / "session_log.npy").replace(tmp_path / "train" / "session_log.npy")

    assert same(open_bundle(tmp_path, "train"), bundle_shard(*later)["train"])


# --- What a person would rather look at -----------------------------------------------------------------


def test_the_class_balance_counts_skipped_and_played_last_tracks(tmp_path):
    played, skipped = [True] * 10, [True] * 9 + [False]
    write(
        tmp_path,
        scaled_table(
            session(TRAIN, not_skipped=played),
            session("s1", not_skipped=skipped),
            session("s4", not_skipped=skipped),
            session(VALIDATION, not_skipped=played),
            session(TEST, not_skipped=skipped),
        ),
    )
    assert class_balance(tmp_path) == {"train": (2, 1), "validation": (0, 1), "test": (1, 0)}


def test_session_lengths_are_those_of_the_log(tmp_path):
    write(tmp_path, shard([10, 20, 20, 13], ["train", "train", "test", "validation"]))
    assert session_lengths(tmp_path) == {10: 1, 13: 1, 20: 2}
