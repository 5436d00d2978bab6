"""Records, fingerprints and JSON."""

import math

import pytest

from skip_pipeline.errors import MissingInputError
from skip_pipeline.storage import FileRecord, fingerprint, read_json, record_file, write_json


def test_a_fingerprint_does_not_depend_on_the_order_of_records():
    records = (FileRecord("a", 1, "00"), FileRecord("b", 2, "11"))
    assert fingerprint(records) == fingerprint(records[::-1])
    assert fingerprint(records) != fingerprint((FileRecord("a", 1, "11"), FileRecord("b", 2, "00")))


def test_json_is_read_as_it_was_written(tmp_path):
    content = {"b": [1, 0.1 + 0.2], "a": {"ü": None}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_json_is_the_same_text_whatever_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1, "b": 2})
    write_json(tmp_path / "b.json", {"b": 2, "a": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_without_a_spelling_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": value})
    assert not (tmp_path / "a.json").exists()


def test_a_file_that_has_gone_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"gone\.csv has gone"):
        record_file(tmp_path / "gone.csv", "gone.csv")
