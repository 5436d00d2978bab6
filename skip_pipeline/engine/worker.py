"""What a local worker process runs: shards come in through a pipe, results go back through it.

A process of its own kind, rather than one of ``multiprocessing``: those import the caller's main script
again, which starts the work a second time where that script has no ``if __name__ == "__main__"``. Nothing
heavy may be imported here; what a worker imports is what unpickling its function needs.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import traceback
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from skip_pipeline.errors import EngineError, SkipPipelineError


def serve(handle: int) -> None:
    """Work through pairs of messages (pickled function, pickled shard) until the other end closes.

    Args:
        handle: file descriptor of this end of the pipe. The other end closes too when its process dies, so a
            worker never outlives its caller by more than the shard in hand.
    """
    # Ctrl-C in a terminal reaches the whole process group; the caller decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(handle) as pipe, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes(), pipe.recv_bytes()))


@lru_cache(maxsize=1)  # the same function for every shard of a map
def _function(pickled: bytes) -> Any:
    return pickle.loads(pickled)  # noqa: S301  comes from the process that started this one


def _answer(function: bytes, shard: bytes) -> bytes:
    """Pickled (True, result) or (False, exception)."""
    try:
        return _pickled((True, _function(function)(pickle.loads(shard))))  # noqa: S301  as above
    except Exception as error:  # whatever it is belongs to the caller
        return _failure(error)


def _failure(error: Exception) -> bytes:
    if not isinstance(error, SkipPipelineError):  # a defect: its traceback does not survive pickling
        error.add_note("In the worker:\n" + "".join(traceback.format_exception(error)))
    try:
        pickled = _pickled((False, error))
        pickle.loads(pickled)  # noqa: S301  some exceptions pickle and cannot be read back
    except Exception as reason:  # pickling runs code of the exception's own class, which may raise anything
        substitute = EngineError(
            f"A worker's {type(error).__module__}.{type(error).__qualname__} cannot be passed on ({reason}). "
            f"It said: {error}"
        )
        return _pickled((False, substitute))
    return pickled


def _pickled(value: object) -> bytes:
    return bytes(cloudpickle.dumps(value))
