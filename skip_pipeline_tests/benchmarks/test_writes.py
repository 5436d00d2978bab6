"""A sample of the changes that fail, and the disk of which they are changes."""

import errno
import os
from pathlib import Path
from random import Random

import pytest

from benchmarks.torture import writes
from benchmarks.torture.faulty_disk import FaultyDisk, StoppedError
from benchmarks.torture.page import rows_in


@pytest.mark.slow
def test_every_stage_is_whole_after_a_failed_change_and_the_next_run_completes(capsys):
    status = writes.main(["--every", "97"])

    rows = rows_in(capsys.readouterr().out)
    assert status == 0, rows
    assert len(rows) == 5 * len(writes.STAGES)


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "disk"
    made.mkdir()
    (made / "old").write_text("before")
    return made


def change(root: Path) -> None:
    """Write a file durably under a scratch name, and give it its name."""
    with (root / "part").open("wb") as handle:
        handle.write(b"contents")
    with (root / "part").open("rb") as handle:
        os.fsync(handle.fileno())
    (root / "part").replace(root / "new")
    (root / "old").unlink()


def test_changes_are_counted_in_their_order(root):
    disk = FaultyDisk(root)
    with disk.watched():
        change(root)
        (root.parent / "elsewhere").write_text("")
    assert disk.changes == ["open part", "write part", "fsync part", "replace new", "unlink old"]
    assert (root / "new").read_bytes() == b"contents"


@pytest.mark.parametrize(("how", "number"), [("no space", errno.ENOSPC), ("input/output error", errno.EIO)])
def test_the_change_of_the_number_fails_and_later_ones_do_not(root, how, number):
    disk = FaultyDisk(root, 4, how)
    with disk.watched():
        with pytest.raises(OSError, match=os.strerror(number)):
            change(root)
        (root / "part").replace(root / "new")
    assert sorted(path.name for path in root.iterdir()) == ["new", "old"]


def test_a_write_that_is_cut_short_leaves_half(root):
    with FaultyDisk(root, 2, "cut short").watched(), pytest.raises(OSError, match="No space"):
        change(root)
    assert (root / "part").read_bytes().startswith(b"cont")


def test_nothing_changes_after_the_end_of_the_process(root):
    with FaultyDisk(root, 4, "end of the process").watched():
        with pytest.raises(StoppedError):
            change(root)
        (root / "old").unlink()
        (root / "later").write_text("lost")
    assert sorted(path.name for path in root.iterdir()) == ["old", "part"]


def states(root: Path, synced: tuple[str, ...]) -> set[tuple[tuple[str, bytes], ...]]:
    """What 50 ends of the power may leave of a change after which these places were synced."""
    disk = FaultyDisk(root, how="end of the power")
    with disk.watched():
        (root / "new").write_bytes(b"contents")
        for name in synced:
            handle = os.open(root / name, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
    found = set()
    for seed in range(50):
        left = root.parent / str(seed)
        disk.left(left, Random(seed))  # noqa: S311
        found.add(tuple(sorted((path.name, path.read_bytes()) for path in left.iterdir())))
    return found


def test_the_end_of_the_power_may_take_what_was_not_synced(root):
    old = ("old", b"before")
    contents = {(("new", content), old) for content in (b"", b"cont", bytes(8), b"contents")}
    assert states(root, ()) == {(old,)} | contents


def test_the_end_of_the_power_leaves_what_was_synced(root):
    assert states(root, ("new", ".")) == {(("new", b"contents"), ("old", b"before"))}


def test_a_loss_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(writes, "torn", lambda _found, **_how: ["a torn file"])
    case = next(writes.cases(tmp_path))
    disk = FaultyDisk(writes.copied(case.folder, tmp_path / "copy").root, 1)
    assert writes.try_one(case, disk, tmp_path / "after")[0] == "a torn file; a torn file"
