"""What all commands share: options, exit statuses, the two consoles, and refusals without a traceback."""

import errno
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from skip_pipeline import settings
from skip_pipeline.defs.places import data_directory, data_layout
from skip_pipeline.errors import MORE_OPEN_FILES, SkipPipelineError
from skip_pipeline.locations import is_url


class PlainConsole(Console):
    """A console that shows a text as it is: what looks like markup or an emoji's name may be part of a path.

    It shows no control character of a text: one may move the cursor, or set a window's title. Tables are the
    caller's: their cells are no texts of this method.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects, control characters of texts among them as U+FFFD."""
        super().print(*map(_without_control, objects), **options)


def _without_control(shown: object) -> object:
    if isinstance(shown, Text):
        shown.plain = without_control(shown.plain)  # of the same length, so that styles stay
    return without_control(shown) if isinstance(shown, str) else shown


def without_control(text: str) -> str:
    r"""The text with U+FFFD in place of each control character but line breaks.

    >>> without_control("log_\x1b[2J.csv\n")
    'log_\ufffd[2J.csv\n'
    """
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" and c != "\n" else c for c in text)


OUT: Final = PlainConsole()
ERR: Final = PlainConsole(stderr=True)


def named_folder(text: str) -> Path:
    """The folder of a name; refuses the empty string, which an unset variable gives, and URLs."""
    if not text.strip():
        raise typer.BadParameter("it names no folder")
    if is_url(text):
        raise typer.BadParameter("it is a URL; name a folder of this machine, and copy its files to the URL")
    return Path(text)


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        parser=named_folder,
        metavar="<path>",
        help=f"Data directory; by default ${settings.DATA_DIR_VARIABLE}, or {settings.DEFAULT_DATA_DIR}/.",
        show_default=False,
    ),
]

Model = Annotated[
    Path | None, typer.Option(help="Folder of a served model.", show_default="the registry's champion")
]
Workers = Annotated[
    int | None, typer.Option(help="Processes of that engine.", show_default="one per core", min=1)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]

FAILED: Final = 1
WRONG_LINE: Final = 2
FOUND: Final = 3
EXIT_STATUSES: Final = {
    0: "done; status: nothing is overdue; doctor: no errors, though perhaps warnings",
    FAILED: "refused or failed; standard error says why, and what to do",
    WRONG_LINE: "the command line is wrong",
    FOUND: "status: something is overdue or not served; doctor: there are errors",
    130: "ended by Ctrl-C, except ui and serve, whose normal end that is",
}
"""Exit statuses of every command, for `--help` and the reference."""


def examples(*commands: str) -> str:
    """The examples below a command's help; each is one line of arguments after ``skip-pipeline``."""
    return "\n\n".join(("Examples:", *(f"  skip-pipeline {command}" for command in commands)))


def show_json(content: Any) -> None:
    """Print JSON values as one object, and nothing else; paths and times as text."""
    OUT.print(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def use(data_dir: Path | None) -> settings.DataLayout:
    """Make ``data_dir`` the data directory of this process and its children."""
    with refusals():
        if data_dir is not None:
            os.environ[settings.DATA_DIR_VARIABLE] = str(data_directory(data_dir))
        return data_layout()


def refuse_other_encodings(words: Iterable[str]) -> None:
    """End a command whose line has a byte that is not UTF-8, which no message, database or manifest holds."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            ERR.print(f"error: {word} is not UTF-8; expected names in UTF-8. Rename the file")
            raise SystemExit(WRONG_LINE) from None


@contextmanager
def refusals() -> Iterator[None]:
    """An error of this package in the block becomes one line and exit status 1, without a traceback."""
    try:
        yield
    except SkipPipelineError as refusal:
        ERR.print(f"error: {refusal}", style="red")
        raise typer.Exit(FAILED) from None


def refuse_missing_docstrings() -> None:
    """End a command under a Python that drops docstrings, which MLflow reads."""
    if sys.flags.optimize > 1:
        ERR.print(
            "error: Python runs without docstrings (-OO, or PYTHONOPTIMIZE=2), expected them, because MLflow "
            "reads them. Unset PYTHONOPTIMIZE, and run again"
        )
        raise SystemExit(FAILED)


@contextmanager
def refusals_of_limits() -> Iterator[None]:
    """A lack of file handles or memory in the block becomes one line and exit status 1.

    Modules of libraries are files and memory, too, so both may lack before a command begins.
    """
    try:
        yield
    except OSError as failure:
        if failure.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        refused = (
            f"this process may open no more files ({failure}), expected about a hundred at a time; "
            f"{MORE_OPEN_FILES}, and run again"
        )
    except (MemoryError, ImportError) as failure:
        # What the loader says where memory lacks for a library.
        if isinstance(failure, ImportError) and "failed to map segment" not in str(failure):
            raise
        refused = (
            "the memory that this process may have is not enough, expected about 2 GB for the mini set. "
            "Close other programs, raise the limit, or start fewer workers, and run again"
        )
    else:
        return
    ERR.print(f"error: {refused}")
    raise SystemExit(FAILED)
