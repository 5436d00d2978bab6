"""Which model is served, and changing it while the server runs."""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from skip_pipeline.errors import ContractError, SkipPipelineError
from skip_pipeline.serving.examples import EXAMPLE_OF_LAST_TRACK
from skip_pipeline.serving.model import ServedModel
from skip_pipeline.serving.model_folder import load, read_description

RETRY_SECONDS: Final = 60.0
"""Time until a version that could not be opened is tried again: a download may be large."""

VERSION_LENGTH: Final = 12
"""Hex digits of a fingerprint that name a model outside a registry; 48 bits make a collision unlikely."""

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where models come from: a registry whose alias moves, or a folder."""

    def current(self) -> str:
        """The version to serve now."""
        ...

    def fetched(self, version: str) -> AbstractContextManager[Path]:
        """Folder of a version's served model; it exists until the context ends."""
        ...


class FolderSource:
    """The served model in a folder; its version is the start of its fingerprint.

    Later changes of the folder are ignored, because its files may be replaced one by one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = read_description(folder).fingerprint[:VERSION_LENGTH]

    def current(self) -> str:
        """The only version."""
        return self._version

    def fetched(self, version: str) -> AbstractContextManager[Path]:  # noqa: ARG002 - there is only one
        """The folder."""
        return nullcontext(self._folder)


@dataclass(frozen=True)
class Served:
    """A model and its version."""

    model: ServedModel
    version: str


def opened(source: Source, version: str) -> Served:
    """Open a version and score the example with it, so that the first request is not slower than others.

    Raises:
        SkipPipelineError, OSError: the version cannot be fetched or opened, or gives no probability.
    """
    with source.fetched(version) as folder:
        model = load(folder, threads=1)  # a server answers several requests at a time
    (p_skip,) = model.score_records([EXAMPLE_OF_LAST_TRACK]).p_skip.tolist()
    if not 0 <= p_skip <= 1:
        raise ContractError(
            f"version {version} gives {p_skip} for the example, expected a probability; serve another "
            "version, and materialize best_model again"
        )
    return Served(model, version)


class Follower:
    """Keeps the current version of a source open as ``served``.

    Any thread may read ``served``, which is replaced in one assignment; only one may call ``refresh``.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._failed_version = ""
        self._failed_at = 0.0
        self._reason = ""
        self.served = opened(source, source.current())

    def refresh(self) -> bool:
        """Exchange the model if another version is current; return whether it was exchanged.

        If that version cannot be fetched or opened, the old one stays, and a warning is logged, once for each
        reason in a row.
        """
        try:
            version = self.source.current()
            changed = version != self.served.version
            if changed:
                if version == self._failed_version and time.monotonic() - self._failed_at < RETRY_SECONDS:
                    return False
                self._failed_version, self._failed_at = version, time.monotonic()
                self.served = opened(self.source, version)
                _log.info("serving version %s", version)
        except (SkipPipelineError, OSError) as failure:
            if str(failure) != self._reason:
                self._reason = str(failure)
                _log.warning("still serving version %s: %s", self.served.version, failure)
            return False
        self._failed_version = self._reason = ""
        return changed
