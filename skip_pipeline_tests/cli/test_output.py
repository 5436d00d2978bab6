"""What a command prints never decides how the command ends."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skip_pipeline.cli.main import app
from skip_pipeline.cli.output import LastingStream
from skip_pipeline.cli.progress import RunProgress

COMMAND = [sys.executable, "-c", "from skip_pipeline.cli.main import app; app()"]
SMALL = ("--sessions", "30", "--tracks", "40")


@pytest.fixture
def stdout(monkeypatch):
    """Put a stream in the place of standard output; the streams of this process come back afterwards."""

    def put(stream):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        monkeypatch.setattr(sys, "stdout", stream)

    return put


def command(*arguments):
    app(list(map(str, arguments)), standalone_mode=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_a_terminal_lacks_are_shown_as_escapes(stdout, tmp_path, encoding):
    shown = io.BytesIO()
    stdout(io.TextIOWrapper(shown, encoding))
    command("synthesize", "--out", tmp_path / "音楽", *SMALL)
    sys.stdout.flush()
    assert rf"to {tmp_path}/\u97f3\u697d in" in shown.getvalue().decode(encoding)
    command("synthesize", "--help")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_to_a_full_disk_is_lost_and_the_command_goes_on(stdout, tmp_path):
    with Path("/dev/full").open("w") as full:
        stdout(full)
        command("synthesize", "--out", tmp_path, *SMALL)
        command("synthesize", "--out", tmp_path, *SMALL)
        command("--help")
        sys.stdout.flush()
    assert (tmp_path / "training_set" / "log_mini.csv").is_file()


def test_output_to_a_reader_that_has_left_is_lost_and_the_command_goes_on(stdout, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as left:
        stdout(left)
        command("synthesize", "--out", tmp_path, *SMALL)
        sys.stdout.flush()
    assert (tmp_path / "training_set" / "log_mini.csv").is_file()


class Broken(io.StringIO):
    def write(self, _text):
        raise OSError("gone")

    def flush(self):
        raise OSError("gone")


def test_a_stream_without_a_descriptor_may_break_too():
    stream = LastingStream(Broken())
    assert stream.write("four") == 4
    stream.flush()


def test_progress_is_shown_on_a_stream_that_breaks(stdout):
    from rich.console import Console

    stdout(LastingStream(Broken()))
    with RunProgress(Console(force_terminal=True), ["session_logs"]) as progress:
        progress.started("session_logs")
        progress.finished("session_logs", "0.1 s")
        progress.warned("odd")
        progress.failed("merged_table")


def in_a_shell(streams, *arguments, **environment):
    line = f'set -o pipefail; "$@" {streams}'
    command = ["bash", "-c", line, "bash", *COMMAND, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.slow
def test_closed_streams_are_no_fault(tmp_path):
    answer = in_a_shell(">&- 2>&- <&-", "synthesize", "--out", tmp_path, *SMALL)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert (tmp_path / "training_set" / "log_mini.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["", "| true"], ids=["ascii", "a reader that leaves"])
def test_a_run_succeeds_wherever_its_output_goes(template, raw, tmp_path, streams):
    root = shutil.copytree(template, tmp_path / "data")
    shutil.copytree(raw, root / "01_raw")
    run = ("run", "--data-dir", root, "--select", "session_logs")
    answer = in_a_shell(streams, *run, PYTHONIOENCODING="ascii:strict")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert (r"\u2713 session_logs" in answer.stdout) == (not streams)
    assert list((root / "01_summaries" / "session_logs").iterdir())
