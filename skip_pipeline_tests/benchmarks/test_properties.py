"""The counter of examples, on two tests of its own."""

from pathlib import Path

import pytest

TESTS = """
from hypothesis import given, settings, strategies as st

@given(st.integers())
@settings(deadline=None)
def test_squares_are_not_negative(n):
    assert n * n >= 0

@given(st.integers(0, 9))
def test_digits_are_below_nine(n):
    assert n < 9

def test_of_no_property():
    raise AssertionError
"""


def test_examples_are_counted_and_a_property_that_does_not_hold_is_told(
    pytester_process, tmp_path: Path
) -> None:
    (tmp_path / "test_two.py").write_text(TESTS)
    rows = pytester_process(tmp_path / "test_two.py")

    squares = next(row for row in rows if "squares are not negative" in row)
    digits = next(row for row in rows if "digits are below nine" in row)
    assert squares == "| property: squares are not negative | 40 | held 40 | nothing | at once | 5 |"
    assert "otherwise 1" in digits
    assert "test_digits_are_below_nine" in digits
    assert len(rows) == 2


@pytest.fixture
def pytester_process():
    """Runs ``torture`` in a process of its own, where no other run of pytest is under way."""
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from benchmarks.torture.properties import torture;"
        "[print(t.row()) for t in torture([pathlib.Path(sys.argv[1])], examples=40, seed=5)]"
    )

    def run(path: Path) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        return [line for line in done.stdout.splitlines() if line.startswith("| ")]

    return run
