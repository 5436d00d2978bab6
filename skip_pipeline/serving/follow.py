"""Which model is being served, exchanged for another while requests go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from skip_pipeline.errors import ContractError, SkipPipelineError
from skip_pipeline.serving.example import request_example
from skip_pipeline.serving.model import ServedModel
from skip_pipeline.serving.package import describe, load

RETRY_SECONDS: Final = 60.0
"""A version that could not be opened is tried again after this; it may be large, and far away."""

VERSION_LENGTH: Final = 12
"""Digits of a fingerprint that name a model outside a registry; 48 bits tell any two apart."""

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where models come from: a registry whose alias moves, or a folder."""

    def current(self) -> str:
        """The version to serve now."""
        ...

    def fetched(self, version: str) -> AbstractContextManager[Path]:
        """Folder of a version's served model, while its files are being opened."""
        ...


class FolderSource:
    """The served model that lies in a folder now; its version is the start of its fingerprint.

    A folder is not followed: its files may be replaced one by one.
    """

    def __init__(self, folder: Path) -> None:
        """See what lies there.

        Raises:
            MissingInputError, ContractError: see ``package.describe``.
        """
        self._folder = folder
        self._version = describe(folder).fingerprint[:VERSION_LENGTH]

    def current(self) -> str:
        """See ``Source``."""
        return self._version

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:  # noqa: ARG002 - there is one
        """See ``Source``."""
        yield self._folder


@dataclass(frozen=True)
class Served:
    """A model and the version it is."""

    model: ServedModel
    version: str


def opened(source: Source, version: str) -> Served:
    """Open a version and have it answer the example, so that no request is its first.

    Raises:
        SkipPipelineError, OSError: it cannot be had, or not opened, or does not answer with a probability.
    """
    with source.fetched(version) as folder:
        # One thread: several requests are answered at a time.
        model = load(folder, threads=1)
    (p_skip,) = model.score_records(request_example().to_dict("records")).p_skip.tolist()
    if not 0 <= p_skip <= 1:
        raise ContractError(
            f"version {version} says {p_skip} of the example, expected a probability; serve another version, "
            "and materialize trained_model again"
        )
    return Served(model, version)


class Follower:
    """Serves what a source calls current. ``served`` is read by any thread, ``refresh`` called by one.

    Attributes:
        served: exchanged in one step; a request keeps the one it began with.
    """

    def __init__(self, source: Source) -> None:
        """Open the current version.

        Raises:
            SkipPipelineError, OSError: see ``opened``.
        """
        self._source = source
        self._refused = ("", -RETRY_SECONDS)
        self._reason = ""
        self.served = opened(source, source.current())

    def refresh(self) -> bool:
        """Exchange the model if another version is current; says whether it was.

        What cannot be had or opened leaves everything as it is, with a warning.
        """
        try:
            version = self._source.current()
            if version == self.served.version:
                self._reason = ""
                return False
            refused, when = self._refused
            if version == refused and time.monotonic() - when < RETRY_SECONDS:
                return False
            self._refused = (version, time.monotonic())
            self.served = opened(self._source, version)
        except (SkipPipelineError, OSError) as failure:
            self._warn(str(failure))
            return False
        self._refused = ("", -RETRY_SECONDS)
        self._reason = ""
        _log.info("serving version %s", version)
        return True

    def _warn(self, reason: str) -> None:
        """Once per reason, not once per look."""
        if reason != self._reason:
            self._reason = reason
            _log.warning("still serving version %s: %s", self.served.version, reason)
