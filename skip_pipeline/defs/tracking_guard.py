"""What keeps a failing tracking store from costing a result."""

import re
from collections.abc import Callable
from typing import Self

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
LONGEST_REASON = 2_000  # characters: a whole message of ours; MLflow cuts tags at 8,000


def without_credentials(text: str) -> str:
    """A URI, or a text that quotes some, as it may be shown: without user names and passwords."""
    return _CREDENTIALS.sub("", text)


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
        # A store's errors quote the address that it was given.
        text = without_credentials(f"{type(failure).__name__}: {failure}")
        self.reason = " ".join(text.split())[:LONGEST_REASON]
        self.suspended = self.suspended or _is_unreachable(failure)
        self._report(self.reason)
        return True


def _is_unreachable(failure: Exception) -> bool:
    """Whether the store did not answer at all, as against answering with a refusal."""
    from mlflow.exceptions import MlflowException, RestException

    return isinstance(failure, (MlflowException, OSError)) and not isinstance(failure, RestException)
