from skip_pipeline.stages import ingest
from skip_pipeline.stages.findings import Finding
from skip_pipeline_tests.builders import session, track


def test_findings_pass_on_a_log_without_oddities(load):
    _, summary = load(session())
    findings = ingest.log_findings(summary, "")
    assert [finding.name for finding in findings] == list(ingest.LOG_FINDINGS)
    assert all(finding.passed for finding in findings)


def test_a_doubtful_marker_is_a_finding_that_says_why(load):
    _, summary = load(session())
    *_, finding = ingest.log_findings(summary, "not listed")
    assert (finding.name, finding.passed, finding.facts) == (
        "marker_fits",
        False,
        {"doubt": "not listed"},
    )


def test_findings_show_unknown_levels_and_junk_dates_and_those_only(load):
    _, summary = load(session(context_type="car", date="soon"))
    failed = [finding for finding in ingest.log_findings(summary, "") if not finding.passed]
    assert failed == [
        Finding("known_levels", False, {"context_type": "'car' in 10 rows"}),
        Finding("plausible_dates", False, {"date": "'soon' in 10 rows"}),
    ]


def test_reasons_that_only_exports_have_are_counted_and_no_warning(load):
    _, summary = load(session(hist_user_behavior_reason_end="unexpected-exit"))
    found = {each.name: each for each in ingest.log_findings(summary, "", ("premium",))}
    said = {"hist_user_behavior_reason_end": "'unexpected-exit' in 10 rows"}
    assert found["known_levels"] == Finding("known_levels", True, said)


def test_track_findings_warn_of_an_unknown_mode_only(read_tracks):
    findings = ingest.track_findings(read_tracks([track("t_1"), track("t_2", mode="dorian")]))
    assert [finding.name for finding in findings] == list(ingest.TRACK_FINDINGS)
    assert [finding for finding in findings if not finding.passed] == [
        Finding("known_levels", False, {"mode": "'dorian' in 1 row"})
    ]


def test_long_and_many_oddities_are_cut(load):
    dates = ["x" * 500, *(f"soon {i}" for i in range(6)), *["2018-07-15"] * 3]
    _, summary = load(session(date=dates))
    [finding] = [finding for finding in ingest.log_findings(summary, "") if not finding.passed]
    assert finding.facts["date"] == (
        "'soon 0' in 1 row, 'soon 1' in 1 row, 'soon 2' in 1 row, 'soon 3' in 1 row, 'soon 4' in 1 row "
        "and 2 more values"
    )
    _, summary = load(session(date="x" * 500))
    assert f"'{'x' * 58}… in 10 rows" in str(ingest.log_findings(summary, ""))


def test_columns_with_unknown_values_are_a_fact_of_the_columns(load):
    _, summary = load(session())
    columns, *_ = ingest.log_findings(summary, "", ("premium", "context_type"))
    assert columns == Finding(
        "columns_and_dtypes", True, {"columns": 21, "unknown in own listening": "premium, context_type"}
    )
