"""The threat model names tests that exist."""

import re
from pathlib import Path

import skip_pipeline_tests

TESTS = Path(skip_pipeline_tests.__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


def test_every_line_of_defence_names_a_test() -> None:
    lines = PAGE.partition("| line | test |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(lines) >= 20
    assert [line for line in lines if "::test_" not in line] == []


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) >= 25
    missing = [
        (file, test)
        for file, test in NAMED
        if not re.search(rf"^def {test}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []
