"""The reference pages that are made from the code; ``make reference`` writes them."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import typer
from typer.cli import get_docs_for_click

from skip_pipeline import settings
from skip_pipeline.cli.main import app
from skip_pipeline.serving.requests import Session

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_MADE: Final = "<!-- Made from the code by `make reference`; edit the code instead. -->"
_EXAMPLES: Final = re.compile(r"Examples:\n\n((?:  skip-pipeline .*\n\n?)+)")
_FIELD: Final = re.compile(
    r"^    (\w+): [^#\n]*(?:# (.*))?$", re.MULTILINE
)  # of a dataclass, with its comment
_STATUSES: Final = re.compile(r"Exit status:\n\n((?:\d+: .*\n\n)+)")


def commands() -> str:
    """Every command with its options, as Typer writes it."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="skip-pipeline")
    text = get_docs_for_click(obj=command, ctx=context, name="skip-pipeline", title="Commands")
    text = _EXAMPLES.sub(_as_block, text)
    text = _STATUSES.sub(_as_table, text)
    return text.replace("# Commands\n", f"# Commands\n\n{_MADE}\n", 1).rstrip() + "\n"


def _as_block(found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[1].split("\n\n")]
    return "\n".join(("Examples:", "", "```sh", *filter(None, lines), "```", "", ""))


def _as_table(found: re.Match[str]) -> str:
    rows = (line.split(": ", 1) for line in found[1].strip().split("\n\n"))
    return f"{_table(('exit status', 'meaning'), rows)}\n"


def variables() -> str:
    """Environment variables, and the training settings of each preset."""
    named = ((f"`{v.name}`", v.meaning, v.default) for v in settings.VARIABLES)
    presets = settings.PRESETS
    meanings = _FIELD.findall(inspect.getsource(settings.TrainingSettings))
    trained = (
        (f"`{name}`", *(f"{getattr(p, name)}" for p in presets.values()), meaning)
        for name, meaning in meanings
        if name != "preset"
    )
    return "\n".join(
        (
            "# Settings",
            "",
            _MADE,
            "",
            "Every other number is a constant in `skip_pipeline/settings.py` or beside its use, with its",
            "reason.",
            "`skip-pipeline doctor` shows the variables that are set, and those that are set to no effect.",
            "",
            "## Environment variables",
            "",
            _table(("variable", "meaning", "default"), named),
            "## Training",
            "",
            "The run config of the asset `trained_model`, which Dagster's launchpad edits;",
            "`skip-pipeline run` takes `--preset`, `--seed`, `--train-days` and `--batch-size`.",
            "",
            _table(("setting", *(f"`{name}`" for name in presets), "meaning"), trained).rstrip(),
            "",
        )
    )


def requests() -> str:
    """Fields of a request for predictions, by their pydantic models."""
    schema = Session.model_json_schema()
    play = schema["$defs"]["Play"]
    track = next(of for name, of in schema["$defs"].items() if "Track" in name)
    return "\n".join(
        (
            "# Fields of a request",
            "",
            _MADE,
            "",
            "[Serving](serving.md#a-request) explains what a request means and shows examples.",
            "",
            "## A session",
            "",
            _fields(schema),
            "## A row of its history",
            "",
            _fields(play),
            "## A next track by its features",
            "",
            _fields(track).rstrip(),
            "",
        )
    )


def _fields(model: Mapping[str, Any]) -> str:
    needed = set(model.get("required", ()))
    rows = (
        (f"`{name}`", _value(of), "yes" if name in needed else "no")
        for name, of in model["properties"].items()
    )
    return _table(("field", "value", "required"), rows)


def _value(field: Mapping[str, Any]) -> str:
    said = field.get("description") or next(of["description"] for of in field["anyOf"] if "description" in of)
    return str(said)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "commands.md": commands,
    "settings.md": variables,
    "request_fields.md": requests,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
