"""Own listening as assets: what is unknown goes through, and what the data are is said everywhere."""

import json
import shutil

import dagster as dg
import pytest

from skip_pipeline.cli.run import headline
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TEST, TRACKS, TRAIN, deliver, own_listening, session

STAGES = ("session_logs", "track_features", "merged_table", "encoded_table", "scaled_table", "tensor_bundles")


@pytest.mark.slow
def test_every_stage_and_its_checks_take_what_is_unknown_and_say_what_the_data_are(project):
    raw = project.layout.raw
    shutil.rmtree(raw)
    rows = [row for own in (TRAIN, TEST) for row in session(own, 20, premium=None, context_type="")]
    deliver(raw / "training_set" / "log_0_20240101_000000000000.csv", rows)
    deliver(raw / "track_features" / "tf.csv", [track | {"tempo": None} for track in TRACKS])
    own = own_listening(raw, "premium", "context_type", "tempo")

    outcome = project.run(",".join(STAGES))

    assert outcome.success
    runs = project.mlflow_runs(outcome.run_id)
    for asset in STAGES:
        found = project.metadata(asset)
        assert found["data_source"] == "real"
        assert found["data"].startswith("Real listening of 1 person, 2019-01-02 to 2024-03-31")
        assert runs[asset].data.tags["data"] == own.described()
    columns = project.metadata("merged_table")["dagster/column_schema"].columns
    nullable = {column.name for column in columns if column.constraints.nullable}
    assert nullable == {"premium", "context_type", "tempo"}
    logged = project.instance().all_logs(outcome.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [entry.get_dagster_event().asset_check_evaluation_data for entry in logged]
    assert all(evaluation.passed for evaluation in evaluations)
    said = [
        evaluation.metadata["unknown in own listening"].value
        for evaluation in evaluations
        if "unknown in own listening" in evaluation.metadata
    ]
    assert sorted(said) == ["premium, context_type", "tempo"]


SCORES = {"sessions": 293, "accuracy": 0.788, "log_loss": 0.449, "roc_auc": 0.871, "brier": 0.146}
METRICS = {
    "served": "served stack",
    "test": SCORES,
    "baselines": {"majority": {"accuracy": 0.529}, "repeat_last_outcome": {"accuracy": 0.683}},
}
OWN = {"mark": "real listening of 2 people", "note": "not known: premium"}


@pytest.mark.parametrize(
    ("facts", "lines"),
    [
        ({"data_source": "real"}, ["served stack, 293 test sessions, real data:"]),
        (
            {"data_source": "synthetic", "data": {"mark": "synthetic data, law habits", "note": "none"}},
            ["served stack, 293 test sessions, synthetic data, law habits:"],
        ),
        (
            {"data_source": "real", "data": OWN},
            [
                "served stack, 293 test sessions, real listening of 2 people:",
                "  not known: premium",
            ],
        ),
    ],
)
def test_the_headline_says_what_the_data_are(tmp_path, facts, lines):
    layout = DataLayout(tmp_path)
    layout.report.mkdir()
    (layout.report / "metrics.json").write_text(json.dumps(METRICS | facts))
    assert headline(layout).splitlines()[: len(lines)] == lines
    assert headline(layout).splitlines()[len(lines)].startswith("  accuracy 0.788")
