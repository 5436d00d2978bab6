"""The tests of properties of the stages, with many more examples than in ``make test``: rows of a table.

python -m benchmarks.torture.properties --examples 400      # of each test

A property is a test of this repository that Hypothesis feeds with random examples.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest

import skip_pipeline_tests
from benchmarks.torture.tally import Tally, report

FOLDERS: Final = ("raw", "stages", "bundles")
"""Packages of tests, from delivered files to bundles."""

_PROFILE: Final = "torture"


class Examples:
    """A plugin of pytest that keeps tests of properties alone, and counts their examples."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tallies: dict[str, Tally] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep tests of properties; examples of one test with several parameters count together."""
        items[:] = [item for item in items if hasattr(getattr(item, "obj", None), "hypothesis")]
        for test in {item.function for item in items if isinstance(item, pytest.Function)}:
            inner = getattr(test, "hypothesis").inner_test  # noqa: B009 - unknown to the function's type
            words = test.__name__.removeprefix("test_").replace("_", " ")
            tally = self.tallies[test.__name__] = Tally(f"property: {words}", self.seed)
            vars(getattr(test, "hypothesis"))["inner_test"] = self._counted(inner, tally)  # noqa: B009

    def _counted(self, inner: Callable[..., Any], tally: Tally) -> Callable[..., Any]:
        @functools.wraps(inner)
        def counted(*args: Any, **options: Any) -> Any:
            outcome = inner(*args, **options)
            tally.count("held")
            return outcome

        return counted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure by its last line."""
        if report.failed:
            name = report.nodeid.rpartition("::")[2].partition("[")[0]
            self.tallies[name].lost.append(f"{report.nodeid}: {str(report.longrepr).splitlines()[-1]}")


def torture(paths: Sequence[Path], *, examples: int, seed: int) -> list[Tally]:
    """Run the tests of properties below some paths with so many examples each."""
    hypothesis.settings.register_profile(_PROFILE, max_examples=examples, database=None)
    counted = Examples(seed)
    options = ["-q", "-p", "no:cacheprovider", "--timeout=0", "-o", "addopts="]
    options += [f"--hypothesis-profile={_PROFILE}", f"--hypothesis-seed={seed}"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # Hypothesis has been imported before
    status = pytest.main([*map(str, paths), *options], plugins=[counted])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {status}; expected it to run the tests below {paths}")
    return sorted(counted.tallies.values(), key=lambda tally: tally.fault)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if a property did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=400, help="of each test")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    tests = Path(skip_pipeline_tests.__file__).parent
    tallies = torture([tests / name for name in FOLDERS], examples=given.examples, seed=given.seed)
    sys.stdout.write("\n")
    return report(tallies)


if __name__ == "__main__":
    sys.exit(main())
