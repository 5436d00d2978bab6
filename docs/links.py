"""A hook of MkDocs: links to files outside ``docs`` become the paths of these files.

A link to a file that does not exist is an error, on the site and in the tests of the pages.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)#]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    return without_outside_links(markdown)


def without_outside_links(markdown: str) -> str:
    """Replace links that leave the folder by their text and the path of the file.

    Raises:
        FileNotFoundError: a link leads to a file that does not exist.
    """
    return _LINK.sub(_path, markdown)


def _path(found: re.Match[str]) -> str:
    path = posixpath.normpath(f"docs/{found['target']}")
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"{path} is not there; correct the link of {found['text']!r}")
    text = found["text"]
    return text if text.strip("`") in path else f"{text} (`{path}`)"
