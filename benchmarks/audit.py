"""Known weaknesses of the pinned dependencies, or why they cannot be looked up.

    python -m benchmarks.audit constraints.txt

The packages and versions in the file are sent to a public database of advisories. Where it cannot be reached,
or pip-audit is not installed, the reason is printed, and the exit status is 0.
"""

import importlib.util
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_DATABASE: Final = "https://api.osv.dev/v1/query"
_KNOWN: Final = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}
"""A release with advisories: a database without any for it would find none for others either."""

_SECONDS: Final = 20.0  # for one answer


def why_not(database: str = _DATABASE) -> str | None:
    """Why nothing can be looked up; None if it can."""
    if importlib.util.find_spec("pip_audit") is None:
        return "pip-audit is not installed; install it with pip install pip-audit"
    question = urllib.request.Request(database, json.dumps(_KNOWN).encode())
    try:
        with urllib.request.urlopen(question, timeout=_SECONDS) as answer:
            known = json.load(answer).get("vulns")
    except (OSError, ValueError, AttributeError) as failure:
        return f"the database of advisories at {database} gave no answer ({failure})"
    return None if known else f"the database at {database} knows no advisory for a release that has some"


def main(
    arguments: Sequence[str],
    *,
    reason: Callable[[], str | None] = why_not,
    run: Callable[[Sequence[str]], int] = subprocess.call,
) -> int:
    """Audit one file of pinned versions; the exit status is pip-audit's, 0 if nothing can be looked up."""
    (pinned,) = arguments
    if not Path(pinned).is_file():
        sys.stderr.write(
            f"{pinned} is not there; expected a file of pinned versions, such as constraints.txt\n"
        )
        return 2
    if said := reason():
        sys.stdout.write(f"audit skipped: {said}\n")
        return 0
    options = ["--vulnerability-service", "osv", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    return run([sys.executable, "-m", "pip_audit", "--requirement", pinned, *options])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
