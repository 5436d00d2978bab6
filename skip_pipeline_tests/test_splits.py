"""Nothing selects on test sessions: which modules read them, and that no choice comes after them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import skip_pipeline
from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.definitions import defs
from skip_pipeline_tests.stages.shard_builders import shard, write

# Every module that names the test split, all splits, or the parts of all splits.
ALLOWED: Final = {
    "schema": "names and order",
    "settings": "shares",
    "stages.encode": "assigns sessions to splits",
    "stages.bundle": "writes every split; counts sessions and labels for the plots of the data",
    "stages.flow": "counts sessions",
    "stages.checks": "finds leaks in every split",
    "bundles.leak": "finds leaks in every split",
    "bundles.parts": "the files of every split",
    "bundles.gather": "opens the splits that are named",
    "serving.model_folder": "opens all parts, of which it reads those of train",
    "baselines.predictions": "predictions of the rivals, for the report",
    "defs.assets.baselines": "predictions of the rivals, for the report",
    "defs.checks": "judges the files of every split; warns about the report's scores",
    "report.make": "the report",
    "report.evaluation": "the report",
    "report.calibration_effect": "the report",
    "report.sentences": "the report",
    "report.plots": "the report",
    "report.make_own_listening": "the page about oneself, which trains a network of its own",
    "report.newest_tenth": "the page about oneself",
    "cli.run": "prints the report's scores",
    "challenge.split": "cuts logs into halves, of one split or of all",
    "cli.challenge": "cuts logs into halves, of one split or of all",
}
OPENING: Final = {"SPLITS", "PREDICTED", "open_parts", "open_part"}
PACKAGE: Final = Path(skip_pipeline.__file__).parent


def names_the_test_split(source: str) -> bool:
    """Whether a source has the text "test" as a value, or names something that gives every split."""
    return any(
        (isinstance(node, ast.Constant) and node.value == "test")
        or (isinstance(node, ast.Name) and node.id in OPENING)
        or (isinstance(node, ast.Attribute) and node.attr in OPENING)
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('bundles["test"]', True),
        ("for split in schema.SPLITS: bundles[split]", True),
        ("tracks, parts = open_parts(folder, find)", True),
        ('bundles["gate"]  # not "test"', False),
        ('"""About test sessions."""', False),
        ("from skip_pipeline.schema import SPLITS", False),  # importing alone reads nothing
    ],
)
def test_a_source_that_reads_test_sessions_is_found(source: str, named: bool) -> None:
    assert names_the_test_split(source) is named


def test_only_the_listed_modules_read_test_sessions() -> None:
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if names_the_test_split(path.read_text(encoding="utf-8"))
    }

    assert found == set(ALLOWED)


def test_test_sessions_are_opened_only_where_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, log=shard([10, 11, 12, 13], list(schema.SPLITS)))

    assert list(open_bundles(tmp_path)) == ["train", "validation", "gate"]
    assert list(open_bundles(tmp_path, ("gate", "test"))) == ["gate", "test"]


def test_no_choice_comes_after_a_report() -> None:
    graph = defs().resolve_asset_graph()
    after = {"trained_model", "champion_model", "skip_predictions", "data_drift"}
    reports = {"evaluation_report", "own_listening_report"}
    for key in graph.get_all_asset_keys():
        if key.to_user_string() in after:
            assert not reports & {above.to_user_string() for above in graph.get_ancestor_asset_keys(key)}
            after.remove(key.to_user_string())

    assert not after
