"""What pages hold: fenced blocks, commands, links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skip_pipeline_tests.pages.reference import ROOT

PAGES: Final = (
    *(
        ROOT / name
        for name in (
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "benchmarks/README.md",
            "deploy/README.md",
        )
    ),
    *sorted((ROOT / "docs").glob("*.md")),
)
_BLOCK: Final = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"(?<!`)`(?P<text>[^`\n]+)`(?!`)")
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_REDIRECTION: Final = re.compile(r"\d?>+\s*(&\d|[\w./]+)")
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=.*")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the page."""

    page: Path
    kind: str
    text: str


def blocks(page: Path, *kinds: str) -> list[Block]:
    """Fenced blocks of a page, of some languages."""
    found = (Block(page, of["kind"], of["text"]) for of in _BLOCK.finditer(page.read_text(encoding="utf-8")))
    return [block for block in found if block.kind in kinds]


def spans(page: Path) -> list[str]:
    """Texts in backticks outside of fenced blocks."""
    return [found["text"] for found in _SPAN.finditer(_BLOCK.sub("", page.read_text(encoding="utf-8")))]


def links(page: Path) -> list[str]:
    """Targets of links and pictures outside of fenced blocks."""
    return [found["target"] for found in _LINK.finditer(_BLOCK.sub("", page.read_text(encoding="utf-8")))]


def commands(text: str) -> Iterator[list[str]]:
    """Words of each command of a shell block, without comments, assignments and redirections.

    >>> list(commands("A=1 run x && make demo > log 2>&1  # words" + chr(10) + "curl a | head"))
    [['run', 'x'], ['make', 'demo'], ['curl', 'a'], ['head']]
    """
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(_REDIRECTION.sub("", line), posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in (*lexer, ";"):
            if word.strip("|&;"):
                words.append(word)
                continue
            while words and _ASSIGNMENT.fullmatch(words[0]):
                del words[0]
            if words:
                yield words
            words = []
