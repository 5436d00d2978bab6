"""Text from data is shown, and does nothing: on a terminal, and in MLflow's Markdown."""

import io
from pathlib import Path

import pytest
from rich.text import Text
from typer.testing import CliRunner

from skip_pipeline.cli.main import app
from skip_pipeline.cli.options import PlainConsole
from skip_pipeline.cli.progress import RunProgress

EVIL = "log_\x1b]0;title\x07\x1b[2J\x9b31m\r\b.csv"
SHOWN = "log_\ufffd]0;title\ufffd\ufffd[2J\ufffd31m\ufffd\ufffd.csv"


@pytest.mark.parametrize("styled", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_do_not_reach_a_terminal(styled: bool, terminal: bool) -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=terminal, width=200)
    console.print(Text(EVIL, "red") if styled else EVIL, "\n")
    shown = file.getvalue()
    # Of a styled text Rich itself takes some of them away.
    assert [c for c in shown.removeprefix("\x1b[31m").replace("\x1b[0m", "") if c < " "] == ["\n", "\n"]
    assert "\x9b" not in shown
    assert "\ufffd]0;title" in shown
    assert styled or SHOWN in shown
    assert "\x07" not in shown
    assert "\x1b]" not in shown


@pytest.mark.parametrize("text", ["data[/b]", "[bold]data", "data:key:", "[link=x]data[/link]"])
def test_what_looks_like_markup_is_shown_as_it_is(text: str) -> None:
    file = io.StringIO()
    PlainConsole(file=file, force_terminal=True).print(text)
    assert file.getvalue() == f"{text}\n"


def test_a_warning_of_a_run_shows_no_control_character() -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=False, width=200)
    progress = RunProgress(console, ["merged_table"])
    progress.warned(EVIL)
    progress.failed(EVIL)
    shown = file.getvalue()
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_an_error_about_a_file_shows_its_name_without_control_characters(tmp_path: Path) -> None:
    path = tmp_path / EVIL
    path.write_text("x")
    shown = CliRunner().invoke(app, ["predict", str(path)])
    assert shown.exit_code == 1
    assert "\x1b" not in shown.output
    assert "\ufffd" in shown.output
