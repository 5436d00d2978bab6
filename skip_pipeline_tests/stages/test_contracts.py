import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import checks as contracts
from skip_pipeline.stages.checks import judge_bundles, judge_table
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import publish, write_table
from skip_pipeline_tests.builders import (
    TEST,
    TRAIN,
    VALIDATION,
    assert_says,
    changed,
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
    contracts.MERGED: merged_table(*SESSIONS).cast(schema.MERGED),  # as it is read from a file
    contracts.ENCODED: encoded_table(*SESSIONS)[0],
    contracts.SCALED: scaled_table(*SESSIONS)[0],
}

every_table = pytest.mark.parametrize("contract", list(GOOD), ids=lambda contract: contract.asset)
both_numeric = pytest.mark.parametrize(
    "contract", [contracts.ENCODED, contracts.SCALED], ids=lambda contract: contract.asset
)


def publish_good(folder, contract):
    with publish(folder, stage=contract.asset, data_source="real") as staging:
        for name in ("log_1.parquet", "log_2.parquet"):
            write_table(GOOD[contract], staging.path(name), contract.columns, data_source="real")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = {contract: tmp_path_factory.mktemp(contract.asset) for contract in GOOD}
    for contract, folder in folders.items():
        publish_good(folder, contract)
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


def swapped(table, name, one, other):
    values = table[name].to_pylist()
    values[one], values[other] = values[other], values[one]
    return replace_column(table, name, values)


# --- Good tables ----------------------------------------------------------------------------------------


@every_table
def test_a_good_table_passes_every_finding_of_its_contract(judge, contract):
    findings = judge(contract)
    assert tuple(finding.name for finding in findings) == contract.findings
    assert [finding for finding in findings if not finding.passed] == []


@pytest.mark.parametrize(
    ("contract", "more"),
    [
        (contracts.MERGED, ()),
        (contracts.ENCODED, ("one_level_per_category",)),
        (contracts.SCALED, ("one_level_per_category", "features_in_unit_interval")),
    ],
)
def test_findings_follow_from_the_columns(contract, more):
    assert contract.findings == (
        "columns_and_dtypes",
        "row_conservation",
        "no_null_or_non_finite",
        "positions_without_gaps",
        "session_lengths",
        *more,
    )


@both_numeric
def test_a_row_of_an_unknown_level_passes(judge, contract):
    table = GOOD[contract]
    for name in schema.indicators("context_type"):
        table = changed(table, name, 5, 0)
    assert all(finding.passed for finding in judge(contract, table))


def test_an_encoded_table_may_hold_values_beyond_the_unit_interval(judge):
    assert all(
        finding.passed
        for finding in judge(contracts.ENCODED, changed(GOOD[contracts.ENCODED], "energy", 0, -7))
    )


# --- Columns --------------------------------------------------------------------------------------------


@every_table
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
def test_other_columns_fail_and_what_they_hold_is_not_judged(judge, contract, spoil, difference):
    columns, rows, *others = judge(contract, spoil(GOOD[contract]))
    assert columns == Finding(
        "columns_and_dtypes",
        False,
        {"columns": len(contract.columns), "shards": 2, "log_2.parquet": difference},
    )
    assert rows.passed
    assert {finding.passed for finding in others} == {False}
    assert [finding.facts for finding in others] == [
        {"not judged": "columns_and_dtypes must pass first"}
    ] * len(others)


def test_a_table_without_shards_fails(tmp_path, layout):
    with publish(tmp_path, stage="merged_table", data_source="real"):
        pass
    columns, *_ = judge_table(layout, tmp_path, contracts.MERGED, expected_rows=0)
    assert not columns.passed


# --- Rows -----------------------------------------------------------------------------------------------


@every_table
@pytest.mark.parametrize("expected", [2 * ROWS - 1, 2 * ROWS + 1])
def test_lost_or_added_rows_fail_conservation_only(judge, contract, expected):
    failed = [finding for finding in judge(contract, expected_rows=expected) if not finding.passed]
    assert failed == [Finding("row_conservation", False, {"rows": 2 * ROWS, "expected": expected})]


# --- Nulls and numbers that are none --------------------------------------------------------------------


@every_table
@pytest.mark.parametrize("column", ["hour_of_day", "premium", "not_skipped"])
def test_a_null_fails_completeness_only(only_flaw, contract, column):
    flaw = only_flaw(contract, changed(GOOD[contract], column, 4, None))
    assert flaw == Finding("no_null_or_non_finite", False, {f"log_2.parquet: {column}": 1})


@pytest.mark.parametrize(
    "contract", [contracts.MERGED, contracts.ENCODED], ids=lambda contract: contract.asset
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_a_feature_that_is_not_finite_fails_completeness_only(only_flaw, contract, value):
    flaw = only_flaw(contract, changed(GOOD[contract], "valence", 42, value))
    assert flaw == Finding("no_null_or_non_finite", False, {"log_2.parquet: valence": 1})


@every_table
@pytest.mark.parametrize("column", ["session_id", "session_position", "session_length"])
def test_a_null_in_a_rows_address_fails_completeness_and_positions(judge, contract, column):
    failed = {f.name for f in judge(contract, changed(GOOD[contract], column, 4, None)) if not f.passed}
    assert {"no_null_or_non_finite", "positions_without_gaps"} <= failed


# --- Sessions -------------------------------------------------------------------------------------------


@every_table
@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: swapped(t, "session_position", 0, 1),
        lambda t: changed(t, "session_position", 12, 2),
        lambda t: changed(t, "session_position", 22, 14),
        lambda t: changed(t, "session_length", 12, 12),
        lambda t: replace_column(t, "session_length", [11] * 10 + t["session_length"].to_pylist()[10:]),
        lambda t: pa.concat_tables([t.slice(0, 22), t.slice(23)]),
        lambda t: pa.concat_tables([t.slice(0, 10), t.slice(11)]),
    ],
    ids=[
        "swapped",
        "repeated",
        "beyond length",
        "length of one row",
        "length of all rows",
        "last row missing",
        "first row missing",
    ],
)
def test_a_session_with_a_gap_fails_positions_only(only_flaw, contract, spoil):
    flaw = only_flaw(contract, spoil(GOOD[contract]))
    assert flaw == Finding("positions_without_gaps", False, {"log_2.parquet: sessions": 1})


@every_table
def test_sessions_whose_rows_are_mixed_fail_positions(judge, contract):
    mixed = GOOD[contract].take([0, *range(10, 15), *range(1, 10), *range(15, 43)])
    assert "positions_without_gaps" in {f.name for f in judge(contract, mixed) if not f.passed}


@every_table
@pytest.mark.parametrize(
    "order", [[*range(10), *range(10), *range(10, 43)], [*range(43), *range(10)]], ids=["adjoining", "apart"]
)
def test_a_session_that_is_there_twice_fails_positions_only(only_flaw, contract, order):
    flaw = only_flaw(contract, GOOD[contract].take(order))
    assert flaw == Finding("positions_without_gaps", False, {"log_2.parquet: sessions": 1})


@every_table
def test_a_whole_session_of_9_tracks_fails_lengths_only(only_flaw, contract):
    table = GOOD[contract].slice(1)
    for name in ("session_position", "session_length"):
        values = [value - 1 if row < 9 else value for row, value in enumerate(table[name].to_pylist())]
        table = replace_column(table, name, values)
    flaw = only_flaw(contract, table)
    assert flaw == Finding("session_lengths", False, {"log_2.parquet: sessions outside 10 to 20": 1})


@every_table
def test_a_whole_session_of_21_tracks_fails_lengths_only(only_flaw, contract):
    table = GOOD[contract].take([*range(43), 42])
    table = replace_column(table, "session_length", table["session_length"].to_pylist()[:23] + [21] * 21)
    flaw = only_flaw(contract, changed(table, "session_position", 43, 21))
    assert flaw == Finding("session_lengths", False, {"log_2.parquet: sessions outside 10 to 20": 1})


# --- Indicators and unit interval -----------------------------------------------------------------------


@both_numeric
@pytest.mark.parametrize("column", list(schema.LEVELS))
def test_two_levels_at_once_fail_indicators_only(only_flaw, contract, column):
    table = GOOD[contract]
    for name in schema.indicators(column)[:2]:
        table = changed(changed(table, name, 3, 1), name, 8, 1)
    for name in schema.indicators(column)[2:]:
        table = changed(changed(table, name, 3, 0), name, 8, 0)
    flaw = only_flaw(contract, table)
    assert flaw == Finding("one_level_per_category", False, {f"log_2.parquet: {column}": 2})


@both_numeric
@pytest.mark.parametrize("value", [2, -1])
def test_an_indicator_that_is_neither_0_nor_1_fails_indicators_only(only_flaw, contract, value):
    flaw = only_flaw(contract, changed(GOOD[contract], "context_type_charts", 3, value))
    assert flaw == Finding("one_level_per_category", False, {"log_2.parquet: context_type": 1})


@pytest.mark.parametrize("column", ["track_id_clean", "duration", "acoustic_vector_7"])
@pytest.mark.parametrize("value", [-0.001, 1.001])
def test_a_scaled_feature_outside_0_to_1_fails_the_unit_interval_only(only_flaw, column, value):
    flaw = only_flaw(contracts.SCALED, changed(GOOD[contracts.SCALED], column, 3, value))
    assert flaw == Finding("features_in_unit_interval", False, {f"log_2.parquet: {column}": 1})


def test_flaws_beyond_the_first_five_are_counted(judge):
    table = GOOD[contracts.MERGED]
    for name in schema.NUMERIC_TRACK_FEATURES[:7]:
        table = changed(table, name, 0, None)
    [failed] = [finding for finding in judge(contracts.MERGED, table) if not finding.passed]
    assert len(failed.facts) == 6
    assert failed.facts["and more"] == 2


# --- Files that are not there or not readable -----------------------------------------------------------


def test_a_table_that_was_never_published_is_asked_for(tmp_path, layout):
    message = refusal(
        MissingInputError, lambda: judge_table(layout, tmp_path, contracts.MERGED, expected_rows=0)
    )
    assert_says(message, str(tmp_path), "materialize merged_table first")


def test_a_shard_that_is_gone_is_named(tmp_path, layout):
    publish_good(tmp_path, contracts.MERGED)
    (tmp_path / "log_1.parquet").unlink()
    message = refusal(
        MissingInputError, lambda: judge_table(layout, tmp_path, contracts.MERGED, expected_rows=0)
    )
    assert_says(message, f"{tmp_path / 'log_1.parquet'} is missing", "materialize")


def test_a_shard_that_is_not_readable_is_named(tmp_path, layout):
    publish_good(tmp_path, contracts.MERGED)
    (tmp_path / "log_1.parquet").write_bytes(b"half a file")
    message = refusal(ContractError, lambda: judge_table(layout, tmp_path, contracts.MERGED, expected_rows=0))
    assert_says(message, f"{tmp_path / 'log_1.parquet'} is not a readable parquet file", "materialize")


# --- Bundles --------------------------------------------------------------------------------------------


def ids(*names):
    return {"session_id": np.array(names, dtype=str), "not_skipped": np.zeros(len(names), np.float32)}


def test_bundles_of_every_session_once_pass():
    bundles = {"train": ids("a", "b"), "validation": ids(), "test": ids("longer than the others")}
    assert judge_bundles(bundles, "", expected_sessions=3) == (
        Finding("bundle_shapes", True, {"train": 2, "validation": 0, "test": 1}),
        Finding(
            "each_session_in_one_split",
            True,
            {"train": 2, "validation": 0, "test": 1, "distinct": 3, "expected": 3},
        ),
    )


@pytest.mark.parametrize(
    ("bundles", "expected"),
    [
        ({"train": ids("a", "b"), "test": ids("b", "c")}, 4),
        ({"train": ids("a", "b"), "test": ids("b", "c")}, 3),
        ({"train": ids("a", "a"), "test": ids("b")}, 3),
        ({"train": ids("a", "b"), "test": ids("c")}, 4),
        ({"train": ids("a", "b"), "test": ids("c")}, 2),
    ],
    ids=["in two splits", "in two splits, distinct as expected", "twice in one", "one lost", "one too many"],
)
def test_sessions_that_do_not_add_up_fail_that_finding_only(bundles, expected):
    shapes, once = judge_bundles(bundles, "", expected_sessions=expected)
    assert shapes.passed
    assert not once.passed
    assert once.facts["expected"] == expected


def test_bundles_that_could_not_be_opened_fail_shapes_and_are_not_judged_further():
    shapes, once = judge_bundles({}, "train: session_log is float64", expected_sessions=3)
    assert shapes == Finding("bundle_shapes", False, {"fault": "train: session_log is float64"})
    assert once == Finding(
        "each_session_in_one_split", False, {"not judged": "bundle_shapes must pass first"}
    )
