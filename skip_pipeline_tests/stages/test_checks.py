"""Checks of published tables and bundles: every way to fail, and judgements that are kept."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import checks, flow
from skip_pipeline.stages.checks import find_bundle_leaks, judge_bundles, judge_table
from skip_pipeline.stages.encode import split_of
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import publish, read_manifest, write_table
from skip_pipeline_tests.builders import (
    TEST,
    TRACKS,
    TRAIN,
    VALIDATION,
    assert_says,
    changed,
    deliver,
    encoded_table,
    merged_table,
    refusal,
    replace_column,
    scaled_table,
    session,
)

SESSIONS = (session(TRAIN, 10), session(VALIDATION, 13), session(TEST, 20))
ROWS = 43
GOOD = {
    checks.MERGED: merged_table(*SESSIONS).cast(schema.MERGED),  # as it is read from a file
    checks.ENCODED: encoded_table(*SESSIONS)[0],
    checks.SCALED: scaled_table(*SESSIONS)[0],
}


def tables(*contracts):
    return pytest.mark.parametrize("contract", contracts, ids=lambda contract: contract.asset)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = {contract: tmp_path_factory.mktemp(contract.asset) for contract in GOOD}
    for contract, folder in folders.items():
        with publish(folder, stage=contract.asset, data_source="real") as staging:
            for name in ("log_1.parquet", "log_2.parquet"):
                write_table(GOOD[contract], staging.path(name), contract.columns, data_source="real")
    return folders


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """Where judgements are kept from one test to the next, as from one night to the next."""
    return DataLayout(tmp_path_factory.mktemp("data"))


@pytest.fixture
def judge(folders, layout):
    """Findings on a published table, one of whose shards, log_2, another table replaces on disk."""

    def judge(contract, table=None, expected_rows=2 * ROWS):
        pq.write_table(GOOD[contract] if table is None else table, folders[contract] / "log_2.parquet")
        return judge_table(layout, folders[contract], contract, expected_rows=expected_rows)

    return judge


@pytest.fixture
def only_flaw(judge):
    """The one finding that fails on a table of the right number of rows; any other must pass."""

    def only_flaw(contract, table):
        findings = judge(contract, table, expected_rows=ROWS + table.num_rows)
        [failed] = [finding for finding in findings if not finding.passed]
        return failed

    return only_flaw


def flaw(finding, what, count=1):
    return Finding(finding, False, {f"log_2.parquet: {what}": count})


# --- Tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "more"),
    [
        (checks.MERGED, ()),
        (checks.ENCODED, ("one_level_per_category",)),
        (checks.SCALED, ("one_level_per_category", "features_in_unit_interval")),
    ],
    ids=lambda value: getattr(value, "asset", ""),
)
def test_a_good_table_passes_the_findings_that_follow_from_its_columns(judge, contract, more):
    findings = judge(contract)
    names = ("columns_and_dtypes", "row_conservation", "no_null_or_non_finite", "positions_without_gaps")
    assert tuple(finding.name for finding in findings) == (*names, "session_lengths", *more)
    assert contract.findings == (*names, "session_lengths", *more)
    assert [finding for finding in findings if not finding.passed] == []


def test_unknown_levels_and_features_that_are_not_scaled_pass(judge):
    table = changed(GOOD[checks.ENCODED], "energy", 0, -7)
    for name in schema.indicators("context_type"):
        table = changed(table, name, 5, 0)
    assert all(finding.passed for finding in judge(checks.ENCODED, table))


@tables(checks.MERGED, checks.SCALED)
@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        (lambda t: t.drop_columns(["premium"]), "missing ['premium']"),
        (lambda t: t.append_column("mood", t["tempo"]), "extra ['mood']"),
        (lambda t: t.select(t.column_names[::-1]), "same columns in another order"),
        (
            lambda t: t.set_column(t.column_names.index("tempo"), "tempo", t["tempo"].cast("double")),
            "tempo is double, not float",
        ),
    ],
    ids=["missing", "extra", "reordered", "mistyped"],
)
def test_other_columns_fail_and_their_values_are_not_judged(judge, contract, spoil, difference):
    columns, rows, *others = judge(contract, spoil(GOOD[contract]))
    facts = {"columns": len(contract.columns), "shards": 2, "log_2.parquet": difference}
    assert columns == Finding("columns_and_dtypes", False, facts)
    assert rows.passed
    unknown = {"not judged": "columns_and_dtypes must pass first"}
    assert others == [Finding(name, False, unknown) for name in contract.findings[2:]]


def test_a_table_without_shards_fails(tmp_path, layout):
    with publish(tmp_path, stage="merged_table", data_source="real"):
        pass
    columns, *_ = judge_table(layout, tmp_path, checks.MERGED, expected_rows=0)
    assert not columns.passed


@tables(*GOOD)
@pytest.mark.parametrize("expected", [2 * ROWS - 1, 2 * ROWS + 1])
def test_lost_or_added_rows_fail_conservation_only(judge, contract, expected):
    failed = [finding for finding in judge(contract, expected_rows=expected) if not finding.passed]
    assert failed == [Finding("row_conservation", False, {"rows": 2 * ROWS, "expected": expected})]


@tables(*GOOD)
@pytest.mark.parametrize("column", ["hour_of_day", "premium"])
def test_a_null_fails_completeness_only(only_flaw, contract, column):
    found = only_flaw(contract, changed(GOOD[contract], column, 4, None))
    assert found == flaw("no_null_or_non_finite", column)


@tables(checks.MERGED, checks.ENCODED)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_a_feature_that_is_not_finite_fails_completeness_only(only_flaw, contract, value):
    found = only_flaw(contract, changed(GOOD[contract], "valence", 42, value))
    assert found == flaw("no_null_or_non_finite", "valence")


@tables(*GOOD)
@pytest.mark.parametrize("column", ["session_id", "session_position", "session_length"])
def test_a_null_in_a_rows_address_fails_completeness_and_positions(judge, contract, column):
    failed = {f.name for f in judge(contract, changed(GOOD[contract], column, 4, None)) if not f.passed}
    assert {"no_null_or_non_finite", "positions_without_gaps"} <= failed


def with_positions_swapped(table):
    positions = table["session_position"].to_pylist()
    positions[:2] = positions[1::-1]
    return replace_column(table, "session_position", positions)


@tables(*GOOD)
@pytest.mark.parametrize(
    "spoil",
    [
        with_positions_swapped,
        lambda t: changed(t, "session_position", 12, 2),
        lambda t: changed(t, "session_position", 22, 14),
        lambda t: changed(t, "session_length", 12, 12),
        lambda t: replace_column(t, "session_length", [11] * 10 + t["session_length"].to_pylist()[10:]),
        lambda t: pa.concat_tables([t.slice(0, 22), t.slice(23)]),
        lambda t: pa.concat_tables([t.slice(0, 10), t.slice(11)]),
        lambda t: t.take([*range(10), *range(10), *range(10, 43)]),
        lambda t: t.take([*range(43), *range(10)]),
    ],
    ids=[
        "swapped",
        "repeated",
        "beyond length",
        "length of one row",
        "length of all rows",
        "last row missing",
        "first row missing",
        "session twice, adjoining",
        "session twice, apart",
    ],
)
def test_a_session_with_a_gap_fails_positions_only(only_flaw, contract, spoil):
    assert only_flaw(contract, spoil(GOOD[contract])) == flaw("positions_without_gaps", "sessions")


@tables(*GOOD)
def test_sessions_whose_rows_are_mixed_fail_positions(judge, contract):
    mixed = GOOD[contract].take([0, *range(10, 15), *range(1, 10), *range(15, 43)])
    assert "positions_without_gaps" in {f.name for f in judge(contract, mixed) if not f.passed}


@tables(*GOOD)
def test_a_whole_session_of_9_tracks_fails_lengths_only(only_flaw, contract):
    table = GOOD[contract].slice(1)
    for name in ("session_position", "session_length"):
        values = [value - 1 if row < 9 else value for row, value in enumerate(table[name].to_pylist())]
        table = replace_column(table, name, values)
    assert only_flaw(contract, table) == flaw("session_lengths", "sessions outside 10 to 20")


@tables(*GOOD)
def test_a_whole_session_of_21_tracks_fails_lengths_only(only_flaw, contract):
    table = GOOD[contract].take([*range(43), 42])
    table = replace_column(table, "session_length", table["session_length"].to_pylist()[:23] + [21] * 21)
    found = only_flaw(contract, changed(table, "session_position", 43, 21))
    assert found == flaw("session_lengths", "sessions outside 10 to 20")


@tables(checks.ENCODED, checks.SCALED)
@pytest.mark.parametrize("column", list(schema.LEVELS))
def test_two_levels_at_once_fail_indicators_only(only_flaw, contract, column):
    table = GOOD[contract]
    for i, name in enumerate(schema.indicators(column)):
        table = changed(changed(table, name, 3, int(i < 2)), name, 8, int(i < 2))
    assert only_flaw(contract, table) == flaw("one_level_per_category", column, count=2)


@pytest.mark.parametrize("value", [2, -1])
def test_an_indicator_that_is_neither_0_nor_1_fails_indicators_only(only_flaw, value):
    table = changed(GOOD[checks.ENCODED], "context_type_charts", 3, value)
    assert only_flaw(checks.ENCODED, table) == flaw("one_level_per_category", "context_type")


@pytest.mark.parametrize("column", ["track_id_clean", "duration", "acoustic_vector_7"])
@pytest.mark.parametrize("value", [-0.001, 1.001])
def test_a_scaled_feature_outside_0_to_1_fails_the_unit_interval_only(only_flaw, column, value):
    table = changed(GOOD[checks.SCALED], column, 3, value)
    assert only_flaw(checks.SCALED, table) == flaw("features_in_unit_interval", column)


def test_flaws_beyond_the_first_five_are_counted(judge):
    table = GOOD[checks.MERGED]
    for name in schema.NUMERIC_TRACK_FEATURES[:7]:
        table = changed(table, name, 0, None)
    [failed] = [finding for finding in judge(checks.MERGED, table) if not finding.passed]
    assert len(failed.facts) == 6
    assert failed.facts["and more"] == 2


def test_a_table_that_was_never_published_is_asked_for(tmp_path, layout):
    message = refusal(
        MissingInputError, lambda: judge_table(layout, tmp_path, checks.MERGED, expected_rows=0)
    )
    assert_says(message, str(tmp_path), "materialize merged_table first")


def test_a_shard_that_is_not_readable_is_named(judge, folders, layout):
    path = folders[checks.MERGED] / "log_2.parquet"
    path.write_bytes(b"half a file")
    message = refusal(ContractError, lambda: judge_table(layout, path.parent, checks.MERGED, expected_rows=0))
    assert_says(message, str(path.parent), "log_2.parquet is not a readable parquet file", "materialize")


# --- Bundles --------------------------------------------------------------------------------------------


def ids(*names):
    return {"session_id": np.array(names, dtype=str), "not_skipped": np.zeros(len(names), np.float32)}


def test_bundles_of_every_session_once_pass():
    bundles = {"train": ids("a", "b"), "validation": ids(), "test": ids("longer than the others")}
    sessions = {"train": 2, "validation": 0, "test": 1}
    assert judge_bundles(bundles, "", expected_sessions=3) == (
        Finding("bundle_shapes", True, sessions),
        Finding("each_session_in_one_split", True, sessions | {"distinct": 3, "expected": 3}),
    )


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (("a", "b"), ("b", "c"), 4),
        (("a", "b"), ("b", "c"), 3),
        (("a", "a"), ("b",), 3),
        (("a", "b"), ("c",), 4),
        (("a", "b"), ("c",), 2),
    ],
    ids=["in two splits", "in two splits, distinct as expected", "twice in one", "one lost", "one too many"],
)
def test_sessions_that_do_not_add_up_fail_that_finding_only(train, test, expected):
    bundles = {"train": ids(*train), "test": ids(*test)}
    shapes, once = judge_bundles(bundles, "", expected_sessions=expected)
    assert shapes.passed
    assert not once.passed
    assert once.facts["expected"] == expected


def test_bundles_that_could_not_be_opened_fail_shapes_and_are_not_judged_further():
    shapes, once = judge_bundles({}, "train: session_log is float64", expected_sessions=3)
    assert shapes == Finding("bundle_shapes", False, {"fault": "train: session_log is float64"})
    unknown = {"not judged": "bundle_shapes must pass first"}
    assert once == Finding("each_session_in_one_split", False, unknown)


# --- Judgements that are kept ---------------------------------------------------------------------------

SHARDS = ["log_0.parquet", "log_1.parquet"]


@pytest.fixture
def published(tmp_path):
    """Bundles of two logs of two sessions each."""
    layout = DataLayout(tmp_path / "data")
    deliver(layout.root / "01_raw" / "track_features" / "tf.csv", TRACKS)
    names = np.array([f"s{i}" for i in range(20)], object)
    training = names[split_of(names) == 0].tolist()
    for i in range(2):
        rows = [row for name in training[2 * i : 2 * i + 2] for row in session(name, 20)]
        deliver(layout.root / "01_raw" / "training_set" / f"log_{i}.csv", rows)
    for stage in (flow.merged_table, flow.encoded_table, flow.scaled_table, flow.tensor_bundles):
        stage(layout)
    return layout


class Counting:
    """Applies a function in turn and remembers the shards."""

    def __init__(self):
        self.shards = []

    def __call__(self, function, shards, /):
        self.shards += map(str, shards)
        return map(function, shards)


def judged(layout):
    """Shards of the encoded table that were read, and the names of the findings that failed."""
    apply = Counting()
    found = judge_table(layout, layout.encoded, checks.ENCODED, expected_rows=80, apply=apply)
    return apply.shards, {finding.name for finding in found if not finding.passed}


def leaks(layout):
    apply = Counting()
    found = find_bundle_leaks(layout, apply=apply)
    return apply.shards, {shard: tuple(inputs) for shard, inputs in found.items() if inputs}


def test_a_shard_is_judged_again_only_if_it_was_touched(published):
    assert judged(published) == (SHARDS, set())
    assert judged(published) == ([], set())

    path = published.encoded / "log_1.parquet"
    good = path.read_bytes()
    pq.write_table(changed(pq.read_table(path), "context_type_radio", 3, 2), path)
    assert judged(published) == (["log_1.parquet"], {"one_level_per_category"})
    assert judged(published) == ([], {"one_level_per_category"})

    path.write_bytes(good)
    assert judged(published) == (["log_1.parquet"], set())


def test_a_file_that_only_looks_the_same_is_judged_again(published):
    judged(published)
    path = published.encoded / "log_0.parquet"
    before = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert judged(published)[0] == ["log_0.parquet"]


def test_a_part_is_searched_for_leaks_again_only_if_it_was_touched(published):
    assert leaks(published) == (SHARDS, {})
    assert leaks(published) == ([], {})

    path = published.bundles / "log_1" / "rows.npy"
    rows = np.load(path)
    rows["binary"][5, 0] ^= 1
    np.save(path, rows)
    assert leaks(published) == (["log_1.parquet"], {"log_1.parquet": ("session_log",)})


def test_a_shard_that_is_gone_is_named(published):
    read_manifest(published.encoded, made_by="encoded_table").path("log_0.parquet").unlink()
    assert_says(refusal(MissingInputError, lambda: judged(published)), "log_0.parquet", "encoded_table again")


def test_bundles_of_other_shards_are_refused(published):
    (published.root / "01_raw" / "training_set" / "log_1.csv").unlink()
    for stage in (flow.merged_table, flow.encoded_table, flow.scaled_table):
        stage(published)

    message = refusal(ContractError, lambda: leaks(published))
    assert_says(message, "hold the parts", "materialize tensor_bundles again")
