"""Standard output and error that never end a command: what cannot be shown is lost, and nothing else."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class LastingStream:
    """A text stream whose reader may leave, and whose disk may be full; the rest is then discarded."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or lose the text."""
        try:
            return self._stream.write(text)
        except OSError:
            self._discard_the_rest()
            return len(text)

    def flush(self) -> None:
        """Flush, or lose what was to be flushed."""
        try:
            self._stream.flush()
        except OSError:
            self._discard_the_rest()

    def _discard_the_rest(self) -> None:
        with suppress(OSError):  # a stream without a file descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def lasting_output() -> None:
    """Make both standard streams of this process lasting; a character that one lacks is shown as an escape.

    A closed stream leads to nowhere, so that no file that is opened later gets its descriptor.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - stays open
        if isinstance(stream, LastingStream):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, LastingStream(stream)))
