"""Every command on every page is one that exists, with options that it takes; the fast ones are run."""

import importlib.util
import json
import re
import shutil
import tomllib
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from skip_pipeline.cli.main import app
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow
from skip_pipeline_tests.pages.contents import PAGES, blocks, commands, spans
from skip_pipeline_tests.pages.reference import DOCS, ROOT

BY_NAME = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
COMMAND = typer.main.get_command(app)
# Programs of others; what is checked is that nobody has mistyped their names.
OTHERS = {"apt-get", "cp", "createdb", "curl", "export", "git", "mkdir", "mlflow", "mutmut", "pre-commit"}


def parse(words: list[str], *, fully: bool) -> None:
    """Parse the words after ``skip-pipeline``; refuses commands and options that do not exist."""
    command, context = COMMAND, typer.Context(COMMAND, info_name="skip-pipeline")
    while isinstance(command, click.Group | typer.core.TyperGroup) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    if fully and "--help" not in words and words != ["--install-completion"]:
        command.make_context("skip-pipeline", list(words), parent=context)
        return
    known = {option for parameter in command.get_params(context) for option in parameter.opts}
    known |= {"--install-completion"} if command is COMMAND else set()
    unknown = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} - known
    assert not unknown, f"{command.name} takes no {unknown}"


def check(words: list[str]) -> None:
    """A command of a shell block."""
    program, rest = Path(words[0]).name, words[1:]
    if program == "skip-pipeline":
        parse(rest, fully=True)
    elif program == "make":
        targets = re.findall(r"^([a-z]+)[a-z ]*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in rest if "=" not in word and word not in targets] == []
    elif program in ("python", "python3"):
        if rest[:1] == ["-m"]:
            assert importlib.util.find_spec(rest[1]) is not None, rest[1]
        elif rest and rest[0] != "-c":
            assert (ROOT / rest[0]).is_file(), rest[0]
    elif program == "pytest":
        assert [word for word in rest if "/" in word and not (ROOT / word).exists()] == []
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        named = [name for word in rest for name in re.findall(r"skip-pipeline\[([\w,]+)\]", word)]
        assert [name for names in named for name in names.split(",") if name not in extras] == []
    elif words[0] == ".":
        assert (ROOT / rest[0]).is_file(), rest[0]
    else:
        assert program in OTHERS, f"{program} is no known program"
    for word in rest:  # a request that is sent from a file
        assert not word.startswith("@") or (ROOT / word[1:]).is_file(), word


@pytest.mark.parametrize("name", BY_NAME)
def test_every_command_of_a_page_exists(name):
    for block in blocks(BY_NAME[name], "sh"):
        for words in commands(block.text):
            check(words)


@pytest.mark.parametrize("name", BY_NAME)
def test_commands_within_sentences_exist(name):
    for span in spans(BY_NAME[name]):
        words = span.split()
        if words[:1] in (["skip-pipeline"], [".venv/bin/skip-pipeline"]) and len(words) > 1:
            parse(words[1:], fully=False)
        elif words[:1] == ["make"] and len(words) > 1:
            check(words[:2])


@pytest.mark.parametrize(
    "wrong",
    [
        "skip-pipeline fly",
        "skip-pipeline run --fast",
        "make tea",
        "python -m benchmarks.nothing",
        "skp run",
        "curl -d @docs/no.json",
    ],
)
def test_a_command_that_does_not_exist_is_found(wrong):
    with pytest.raises((AssertionError, click.UsageError, typer._click.exceptions.UsageError)):
        check(next(commands(wrong)))


def every_command(command, path=()):
    context = typer.Context(command, info_name="skip-pipeline")
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(context):
        yield from every_command(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize(("path", "command"), every_command(COMMAND), ids=lambda found: str(found)[:40])
def test_every_command_has_examples_of_its_own_and_they_parse(path, command):
    lines = [line.strip() for line in (command.epilog or "").split("\n\n")]

    assert lines[0] == "Examples:"
    assert len(lines) > 1
    for line in lines[1:]:
        words = line.split()
        assert words[1 : 1 + len(path)] == list(path)
        check(words)


# --- Run ------------------------------------------------------------------------------------------------


def invoke(words):
    answer = CliRunner().invoke(app, words)
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


@pytest.mark.slow
def test_the_tutorial_ends_with_its_answer(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0].layout.root, tmp_path / "data")
    shutil.copytree(DOCS, tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKIP_PIPELINE_DATA_DIR")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "data" / "dagster"))
    answers = []
    for block in blocks(DOCS / "tutorial.md", "sh", "python"):
        if block.kind == "python":
            exec(compile(block.text, str(block.page), "exec"), {})  # noqa: S102 - a page of ours
            continue
        for words in commands(block.text):
            if words[1] in ("status", "predict"):  # the others are run by ``benchmarks.first_paths``
                answer = invoke(words[1:])
                assert answer.exit_code == 0, answer.output
                answers.append(answer.stdout)

    status, three, six = answers
    assert "Served:   version 1" in status
    assert len(three.splitlines()) == 4
    p_skip = [float(line.split(",")[2]) for line in six.splitlines()[1:]]
    assert len(p_skip) == 6
    assert all(after < before for before, after in zip(p_skip[:3], p_skip[3:], strict=True))


@pytest.mark.slow
def test_the_tutorials_figures_are_those_of_the_demos_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(["synthesize", "--out", "data/01_raw", "--test-sessions", "1000"]).exit_code == 0
    layout = DataLayout(tmp_path / "data")
    flow.session_logs(layout)
    flow.merged_table(layout)
    capsys.readouterr()
    question = blocks(DOCS / "tutorial.md", "python")[0]
    answer = blocks(DOCS / "tutorial.md", "")[0]
    exec(compile(question.text, str(question.page), "exec"), {})  # noqa: S102 - a page of ours

    assert capsys.readouterr().out == answer.text


@pytest.mark.slow
def test_readme_commands_on_finished_data_answer(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0].layout.root, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "data" / "dagster"))
    shutil.copytree(DOCS, tmp_path / "docs")
    fast = {"status", "doctor", "--help", "predict"}
    run = {}
    for block in blocks(ROOT / "README.md", "sh"):
        for words in commands(block.text):
            if words[0].endswith("skip-pipeline") and words[1] in fast:
                answer = invoke(words[1:])
                assert answer.exit_code == 0, answer.output
                run[words[1]] = answer.stdout

    assert set(run) == fast
    shown = blocks(ROOT / "README.md", "")[-1].text.splitlines()
    cells = [line.split(",") for line in run["predict"].splitlines()]
    assert [line.split(",")[:2] for line in shown] == [line[:2] for line in cells]
    assert shown[0].split(",") == cells[0]


@pytest.mark.slow
def test_the_challenge_page_runs_on_synthetic_data(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = ["--sessions", "300", "--tracks", "600", "--test-sessions", "40"]
    assert invoke(["synthesize", "--out", "data/01_raw", *size]).exit_code == 0
    shutil.copytree(finished[0].layout.mlflow, tmp_path / "data" / "mlflow")
    model = ["--model", str(finished[0].layout.best / "served_model")]
    scored = 0
    for block in blocks(DOCS / "challenge.md", "sh"):
        for words in commands(block.text):
            chosen = model if words[2] == "submit" and "--rule" not in words else []
            answer = invoke([*words[1:], *chosen])
            assert answer.exit_code == 0, answer.output
            scored += "MAA" in answer.stdout

    assert scored == 2


def test_the_example_requests_are_json():
    for name in ("request.json", "candidates.json"):
        assert json.loads((DOCS / name).read_text())["dataframe_records"]
