"""What happens to a run, and to what it would replace, when something unusable is delivered."""

import shutil

import dagster as dg
import pytest

from skip_pipeline_tests.projects import lasting_project

pytestmark = pytest.mark.slow

SELECTION = "session_logs,track_features,merged_table"


@pytest.fixture(scope="module")
def merged(tmp_path_factory, raw, template):
    """A data directory whose merged table has been made; to be copied."""
    with lasting_project(tmp_path_factory.mktemp("merged") / "data", raw, template) as project:
        assert project.run(SELECTION).success
        return project.layout.root


def change(project, edit):
    """Rewrite the session log through ``edit``, a function of its lines."""
    path = project.layout.raw / "training_set" / "log_mini.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(edit(lines)))


def misspell_a_boolean(lines):
    return [*lines[:4], lines[4].replace(",true,", ",maybe,", 1).replace(",false,", ",maybe,", 1), *lines[5:]]


def name_a_track_without_features(lines):
    fields = lines[4].split(",")
    fields[3] = "t_nobody-knows"
    return [*lines[:4], ",".join(fields), *lines[5:]]


@pytest.mark.parametrize(
    ("edit", "failing", "told"),
    [
        (misspell_a_boolean, "session_logs", ["log_mini.csv", "'maybe'", "row 4", "true or false"]),
        (name_a_track_without_features, "merged_table", ["log_mini.csv", "track_id_clean", "t_nobody-knows"]),
    ],
)
def test_a_broken_log_fails_the_asset_that_reads_it_and_keeps_what_was_there(
    project, merged, edit, failing, told
):
    shutil.rmtree(project.layout.root)
    shutil.copytree(merged, project.layout.root)
    before = (project.layout.merged / "log_mini.parquet").read_bytes()
    change(project, edit)

    outcome = project.run(SELECTION)

    assert not outcome.success
    [message] = outcome.failures
    assert message.startswith(f"{failing}: ")
    for words in told:
        assert words in message
    assert (project.layout.merged / "log_mini.parquet").read_bytes() == before
    assert project.mlflow_runs(outcome.run_id)[failing].info.status == "FAILED"
    record = project.instance().get_run_by_id(outcome.run_id)
    assert record.status == dg.DagsterRunStatus.FAILURE


def test_an_unknown_category_and_a_junk_date_are_warned_about_and_go_through(project):
    def edit(lines):
        fields = lines[4].split(",")
        fields[16], fields[18] = "1969-12-31", "smart_speaker"
        return [*lines[:4], ",".join(fields), *lines[5:]]

    change(project, edit)

    outcome = project.run("session_logs,track_features,merged_table,encoded_table")

    assert outcome.success
    instance = project.instance()
    event = instance.get_latest_materialization_event(dg.AssetKey("encoded_table"))
    assert event.asset_materialization.metadata["values_of_unknown_level"].value == 1
    logged = instance.all_logs(outcome.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = {
        data.check_name: data
        for entry in logged
        if (data := entry.get_dagster_event().asset_check_evaluation_data).asset_key.path == ["session_logs"]
    }
    for name, value in (("known_levels", "smart_speaker"), ("plausible_dates", "1969-12-31")):
        assert not evaluations[name].passed
        assert evaluations[name].severity == dg.AssetCheckSeverity.WARN
        assert value in str(evaluations[name].metadata)


def test_a_stage_without_its_input_names_the_asset_to_materialize(project):
    outcome = project.run("scaled_table")

    [message] = outcome.failures
    assert "materialize encoded_table first" in message
