"""The connection with MLflow's store: its client, its outages, and what a failure of it may cost."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from skip_pipeline.environment import settle
from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.promotion_record import LONGEST_TAG
from skip_pipeline.settings import (
    QUESTION_SECONDS,
    TRACKING_ENVIRONMENT,
    TRACKING_PATIENCE_SECONDS,
    TRACKING_URI_VARIABLE,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_NO_SCHEME = re.compile(r"[\w.-]+:\d+(/.*)?")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")


def mlflow_client(uri: str) -> "MlflowClient":
    """A client of the tracking store and model registry at an address; creates a new SQLite file.

    Raises:
        RefusedError: the address is that of a server, without a scheme; MLflow takes it for a folder.
    """
    settle()
    if _NO_SCHEME.fullmatch(uri):
        raise RefusedError(
            f"${TRACKING_URI_VARIABLE} is {uri}, expected an address with its scheme. Set it to "
            f"http://{uri}, or unset it to keep the records in a file of the data directory"
        )
    for variable, value in TRACKING_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)  # MLflow reads some of them while it is imported
    from mlflow import MlflowClient

    database = Path(uri.removeprefix(_SQLITE))
    if uri.startswith(_SQLITE) and database.parent.is_dir() and not database.exists():
        _create(database)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create(database: Path) -> None:
    """Create MLflow's tables in a new file: whole or not at all, by one process, while the others wait.

    MLflow cannot continue migrations that were cut short, or that another process has begun.
    """
    from mlflow import MlflowClient

    with FileLock(database.with_name(f".{database.name}.creating")):
        if not database.exists():
            new = database.with_name(f".{database.name}.new")
            new.unlink(missing_ok=True)  # of a process that was killed
            address = f"{_SQLITE}{new}"
            MlflowClient(tracking_uri=address, registry_uri=address).search_registered_models(max_results=1)
            new.replace(database)


def without_credentials(text: str) -> str:
    """The text without the user names and passwords of the URIs in it.

    >>> without_credentials("no answer from http://me:secret@host:80/path")
    'no answer from http://host:80/path'
    """
    return _CREDENTIALS.sub("", text)


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block when it has taken so long, if this is the main thread.

    The time-out of an HTTP client is that of one byte: a server that sends a byte now and then is never late
    for it. Runs and commands are carried out in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_signal: object) -> None:
        raise TimeoutError(f"no whole answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    left = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, because the client tries again
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, before)


class Guard:
    """Turns failures of a tracking store into lost records, so that no result is lost.

    Each lost record is reported with the reason, and kept in ``lost``. While the store cannot be reached, the
    guard is ``suspended``: nothing more is recorded. A store that still answers a question has refused one
    record, whatever its failure looks like: a server answers 500 to a value that its database rejects.

    The time that the store has taken is limited in all. Once it is spent the guard is ``late``: a store that
    does not answer is not asked again, and one that is slow is sent no more than runs and models. An answer
    that trickles in is interrupted when that time is spent.
    """

    def __init__(
        self,
        report: Callable[[str], None] = lambda _lost: None,
        answers: Callable[[], bool] = lambda: False,
        *,
        patience: float = TRACKING_PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._answers = answers
        self._patience = patience
        self._clock = clock
        self.lost: list[str] = []
        self.suspended = False

    @property
    def late(self) -> bool:
        """Whether the store has taken all the time that it is given."""
        return self._patience <= 0

    @contextmanager
    def may_lose(self, record: str, least: float = QUESTION_SECONDS) -> Iterator[None]:
        """Lose a record (in words) if the store fails in the block; raise any other failure.

        Args:
            record: in words.
            least: time for it, in seconds, even if the store has spent its own.
        """
        try:
            with self._waiting(least):
                yield
        except Exception as failure:  # plugins and cloud SDKs have exceptions of their own
            # A built-in exception is a bug, except OSError (connections, files), ImportError (no driver) and
            # UnicodeError (text that cannot be sent, such as a file name that is not UTF-8).
            own = type(failure).__module__.split(".")[0] in ("builtins", "skip_pipeline")
            if own and not isinstance(failure, OSError | ImportError | UnicodeError):
                raise
            down = is_outage(failure) and not self._answer()
            self.suspended = self.suspended or down
            fate = "no answer" if down else "refused"
            # Messages of a store quote its address.
            text = without_credentials(f"{record}: {fate}, {type(failure).__name__}: {failure}")
            self.lost.append(" ".join(text.split())[:LONGEST_TAG])
            self._report(self.lost[-1])

    def ask_again(self) -> None:
        """Record again from now on if a store that could not be reached answers."""
        self.suspended = self.suspended and (self.late or not self._answer())

    def _answer(self) -> bool:
        with self._waiting():
            return self._answers()

    @contextmanager
    def _waiting(self, least: float = QUESTION_SECONDS) -> Iterator[None]:
        started = self._clock()
        try:
            with interrupted_after(max(self._patience, least)):
                yield
        finally:
            self._patience -= self._clock() - started


def answers(client: "MlflowClient") -> bool:
    """Whether a store answers a question, if only with a refusal."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as failure:
        return not is_outage(failure)
    return True


def is_outage(failure: BaseException | None) -> bool:
    """Whether a failure looks like that of a store that cannot be reached, and not like a refusal."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    down = (
        ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout,
        requests.exceptions.RetryError,  # only answers of a server that is out of order, such as 503
        OperationalError,  # a database that cannot be opened, or is locked
    )  # fmt: skip
    while failure is not None:
        code = failure.error_code if isinstance(failure, MlflowException) else None
        if isinstance(failure, down) or code == "TEMPORARILY_UNAVAILABLE":
            return True
        failure = failure.__cause__ or failure.__context__  # MLflow wraps what its HTTP client raises
    return False
