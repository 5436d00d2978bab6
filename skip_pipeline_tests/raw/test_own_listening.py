"""The marker of own listening, and what is refused as one."""

import json

import pytest

from skip_pipeline.errors import BadInputError
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
