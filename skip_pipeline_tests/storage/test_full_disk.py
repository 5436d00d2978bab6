"""A disk that is full, as the system says it."""

from __future__ import annotations

import errno
import os

import pytest

from skip_pipeline.errors import FullDiskError
from skip_pipeline.storage import Made, ShardJob, publish, read_manifest
from skip_pipeline.storage.full_disk import saying_when_full


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_lack_of_space_is_named_with_its_remedy(tmp_path, code):
    expected = pytest.raises(FullDiskError, match=f"{tmp_path}.*{os.strerror(code)}.*free some space")
    with expected, saying_when_full(tmp_path):
        raise OSError(code, os.strerror(code))


def test_other_failures_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), saying_when_full(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_shards_that_fit_are_kept_when_another_does_not(tmp_path):
    def fits(folder, name):
        (folder / name).write_text(name)
        return Made((name,), {})

    def does_not_fit():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def jobs(folder, second):
        return [
            ShardJob("a", "1", lambda: fits(folder, "a")),
            ShardJob("b", "1", second),
            ShardJob("c", "1", lambda: fits(folder, "c")),
        ]

    first = publish(tmp_path, stage="some_table", data_source="real")
    with pytest.raises(FullDiskError), first as staging:
        staging.make_shards(jobs(staging.folder, does_not_fit))
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        staging.make_shards(jobs(staging.folder, lambda: fits(staging.folder, "b")))
        assert staging.made == ["b"]
    assert [record.name for record in read_manifest(tmp_path, made_by="some_table").files] == ["a", "b", "c"]
