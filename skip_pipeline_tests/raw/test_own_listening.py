"""The marker of own listening, and what is refused as one."""

import json

import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.description import Description, describe
from skip_pipeline.raw.own_listening import own_listening, unknown_columns
from skip_pipeline_tests import builders
from skip_pipeline_tests.builders import assert_says, refusal


def test_a_folder_without_a_marker_has_no_unknown_columns(tmp_path):
    assert own_listening(tmp_path) is None
    assert unknown_columns(tmp_path / "missing") == frozenset()


def test_a_marker_comes_back_as_it_was_written(tmp_path):
    written = builders.own_listening(tmp_path, "premium", "tempo", people=2)
    assert own_listening(tmp_path) == written
    assert unknown_columns(tmp_path) == {"premium", "tempo"}
    assert written.described() == (
        "real listening of 2 people, 2019-01-02 to 2024-03-31 (Spotify Extended streaming history)"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unknown": ["premium", "not_skipped"]}, "not_skipped must be known of every play and track"),
        ({"data": "synthetic"}, "'real'"),
        ({"people": 0}, "greater than or equal to 1"),
    ],
)
def test_a_marker_that_says_something_else_is_refused(tmp_path, changed, said):
    builders.own_listening(tmp_path)
    marker = tmp_path / "OWN_LISTENING.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | changed))
    message = refusal(BadInputError, lambda: unknown_columns(tmp_path))
    assert_says(message, str(marker), said, "Import the export again")


def test_a_marker_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "OWN_LISTENING.json").mkdir()
    assert_says(refusal(BadInputError, lambda: own_listening(tmp_path)), "cannot be read as the marker")


FEATURES = tuple(name for name in schema.TRACK_FEATURES.names if name != "track_id")


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ((), "no column is unknown"),
        (("premium",), "not known, and neutral for every model: premium"),
        (("tempo", "mode", "premium"), "not known, and neutral for every model: premium, mode, tempo"),
        (
            (*FEATURES, "context_type"),
            "not known, and neutral for every model: context_type, all track features",
        ),
    ],
)
def test_unknown_columns_are_said_in_the_order_of_the_tables(tmp_path, unknown, words):
    assert builders.own_listening(tmp_path, *unknown).unknown_in_words() == words


# --- Descriptions -------------------------------------------------------------------------------------


def test_public_data_have_no_description(tmp_path):
    assert describe(tmp_path, "real") == Description()
    assert Description().banner == ""


@pytest.mark.parametrize(
    ("content", "mark"),
    [('{"files": {}}', "synthetic data"), ('{"files": {}, "law": "habits"}', "synthetic data, law habits")],
)
def test_synthetic_data_are_described_with_their_law(tmp_path, content, mark):
    (tmp_path / "SYNTHETIC.json").write_text(content)
    found = describe(tmp_path, "synthetic")
    assert found.mark == mark
    assert found.banner == f"S{mark[1:]}: these figures say nothing about real listeners."


def test_own_listening_is_described_with_what_it_does_not_know(tmp_path):
    own = builders.own_listening(tmp_path, "premium")
    assert describe(tmp_path, "real") == Description(own.described(), own.unknown_in_words())
    assert describe(tmp_path, "real").banner == (
        "Real listening of 1 person, 2019-01-02 to 2024-03-31 (Spotify Extended streaming history): "
        "not known, and neutral for every model: premium."
    )
    assert describe(tmp_path, "synthetic").mark == "synthetic data"  # results of before
