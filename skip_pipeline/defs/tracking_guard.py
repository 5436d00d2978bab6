"""What keeps a failing tracking store from costing a result."""

import re
from collections.abc import Callable
from typing import Self

_CREDENTIALS = re.compile(r"://[^/\s@]+@")  # a store's errors quote the address they were given
LONGEST_REASON = 2_000  # characters: a whole message of ours; MLflow cuts tags at 8,000


class Guard:
    """The one place where failures of a tracking store end: the context manager around every call to it.

    A record may be lost, a result never. What a store raises is open-ended (drivers, cloud SDKs and
    plugins bring their own exceptions), so here, and nowhere else, every ``Exception`` is caught. It is
    kept as ``reason`` and reported. After a failure to reach the store, nothing more is tried.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.reason: str | None = None
        self.suspended = False

    def __enter__(self) -> Self:
        """Begin a call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, _traceback: object
    ) -> bool:
        """Keep and report what the call raised, unless it is an interruption."""
        if failure is None or not isinstance(failure, Exception):
            return False
        text = " ".join(f"{type(failure).__name__}: {failure}".split())
        self.reason = _CREDENTIALS.sub("://", text)[:LONGEST_REASON]
        self.suspended = self.suspended or _is_unreachable(failure)
        self._report(self.reason)
        return True


def _is_unreachable(failure: Exception) -> bool:
    """Whether the store did not answer at all, as against answering with a refusal."""
    from mlflow.exceptions import MlflowException, RestException

    return isinstance(failure, (MlflowException, OSError)) and not isinstance(failure, RestException)
