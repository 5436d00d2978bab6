"""The error for a disk that is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from skip_pipeline.errors import FullDiskError
from skip_pipeline.storage import ShardJob, digest_of, publish
from skip_pipeline.storage.full_disk import saying_when_full
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import contents, job, put_shards


def does_not_fit(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_lack_of_space_is_named_with_its_remedy(tmp_path, code):
    expected = pytest.raises(FullDiskError, match=f"{tmp_path}.*{os.strerror(code)}.*free some space")
    with expected, saying_when_full(tmp_path):
        raise OSError(code, os.strerror(code))


def test_other_failures_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), saying_when_full(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_shards_that_fit_are_kept_when_another_does_not(tmp_path):
    first = publish(tmp_path, stage="some_table", data_source="real")
    with pytest.raises(FullDiskError, match="free some space"), first as staging:
        staging.make_shards([job("a", "1"), ShardJob("b", digest_of("2"), does_not_fit), job("c", "3")])
    assert put_shards(tmp_path, {"a": "1", "b": "2", "c": "3"}) == ["b"]
    assert contents(tmp_path) == {"a.txt": "1", "b.txt": "2", "c.txt": "3"}


@pytest.mark.parametrize("full", ["link", "replace"])
def test_a_disk_that_fills_up_while_files_are_published_leaves_the_earlier_ones(tmp_path, monkeypatch, full):
    put_shards(tmp_path, {"a": "1"})
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "link") if full == "link" else (Path, "replace")), does_not_fit)
        message = refusal(FullDiskError, lambda: put_shards(tmp_path, {"a": "1", "b": "2"}, own="3"))
    assert_says(message, str(tmp_path), "free some space")
    assert contents(tmp_path) == {"a.txt": "1"}
    assert put_shards(tmp_path, {"a": "1", "b": "2"}) == ([] if full == "link" else ["b"])
