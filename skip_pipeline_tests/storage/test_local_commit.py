"""A process killed at any step of a publication on this machine leaves the old files or the new."""

import signal
import subprocess
import sys

import pytest

from skip_pipeline.storage import finish_publication
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, listed, put

KILLED = """
import os, pathlib, shutil, signal, sys
from skip_pipeline import storage

folder, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def dying(change):
    # Kill this process in place of change number `steps` to the folder, counted from the commit on.
    def step(*args, **kwargs):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*args, **kwargs)
    return step

with storage.publish(folder, stage="some_table", data_source="real") as staging:
    for name in ("kept.txt", "sub/kept.txt", "new.txt", "other/new.txt"):
        staging.path(name).write_text("2")
    pathlib.Path.rename = dying(pathlib.Path.rename)
    pathlib.Path.replace = dying(pathlib.Path.replace)
    pathlib.Path.unlink = dying(pathlib.Path.unlink)
    shutil.rmtree = dying(shutil.rmtree)
"""
STEPS = 1 + 4 + 2 + 1 + 1  # commit, four files, two that are dropped, the manifest, the empty commit folder


def run_and_kill(folder, steps):
    return subprocess.run([sys.executable, "-c", KILLED, str(folder), str(steps)], check=False).returncode


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_process_killed_at_any_step_leaves_the_old_files_or_the_new(tmp_path, steps):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, steps) == -signal.SIGKILL

    names = listed(tmp_path)

    found = contents(tmp_path)
    assert found == (FIRST if steps == 0 else SECOND)
    assert names == set(found)
    assert not (tmp_path / ".commit").exists()
    put(tmp_path, {"next.txt": "3"})
    assert contents(tmp_path) == {"next.txt": "3"}


def test_the_steps_tried_are_all_there_are(tmp_path):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, STEPS) == 0
    assert contents(tmp_path) == SECOND


def test_a_publication_finishes_an_earlier_one_that_was_killed(tmp_path):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, 3) == -signal.SIGKILL
    put(tmp_path, {"kept.txt": "3"})
    assert contents(tmp_path) == {"kept.txt": "3"}
    assert listed(tmp_path) == {"kept.txt"}


def test_a_kill_while_a_commit_is_being_finished_does_no_harm(tmp_path, monkeypatch):
    put(tmp_path, FIRST)
    assert run_and_kill(tmp_path, 2) == -signal.SIGKILL
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_args, **_kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finish_publication(tmp_path)
    assert listed(tmp_path) == set(SECOND)
    assert contents(tmp_path) == SECOND
