"""What a failing tracking store may cost: one record if it refuses, all further records if it is down."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skip_pipeline.nightly.promotion_record import LONGEST_TAG

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")


def without_credentials(text: str) -> str:
    """The text without the user names and passwords of the URIs in it.

    >>> without_credentials("no answer from http://me:secret@host:80/path")
    'no answer from http://host:80/path'
    """
    return _CREDENTIALS.sub("", text)


class Guard:
    """Turns failures of a tracking store into lost records, so that no result is lost.

    Attributes:
        lost: every record that was lost, with the reason.
        suspended: the store could not be reached; nothing more is recorded.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        """Begin with nothing lost.

        Args:
            report: called with each lost record and the reason.
        """
        self._report = report
        self.lost: list[str] = []
        self.suspended = False

    @contextmanager
    def may_lose(self, record: str) -> Iterator[None]:
        """Lose ``record`` if the store refuses it or cannot be reached; raise any other failure.

        Args:
            record: what is lost if the block fails, in words.
        """
        try:
            yield
        except Exception as failure:  # plugins and cloud SDKs have exceptions of their own: see _is_of_store
            if not _is_of_store(failure):
                raise
            self.suspended = self.suspended or is_outage(failure)
            fate = "no answer" if is_outage(failure) else "refused"
            # Messages of a store quote its address.
            text = without_credentials(f"{record}: {fate}, {type(failure).__name__}: {failure}")
            self.lost.append(" ".join(text.split())[:LONGEST_TAG])
            self._report(self.lost[-1])


def is_outage(failure: BaseException) -> bool:
    """Whether a store could not be reached, as against answering with a refusal."""
    import requests
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE, ErrorCode
    from sqlalchemy.exc import OperationalError

    down = (
        ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout,
        requests.exceptions.RetryError,  # only answers of a server that is out of order, such as 503
        OperationalError,  # a database that cannot be opened, or is locked
    )  # fmt: skip
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, down):
            return True
        if isinstance(cause, MlflowException) and cause.error_code == ErrorCode.Name(TEMPORARILY_UNAVAILABLE):
            return True
        cause = cause.__cause__ or cause.__context__  # MLflow wraps what its HTTP client raises
    return False


def _is_of_store(failure: Exception) -> bool:
    """Whether a library raised this for its store: a built-in exception is a bug, except for these two.

    OSError: connections and files. ImportError: a driver, such as boto3, is not installed.
    """
    module = type(failure).__module__
    return isinstance(failure, OSError | ImportError) or module.split(".")[0] not in (
        "builtins",
        "skip_pipeline",
    )
