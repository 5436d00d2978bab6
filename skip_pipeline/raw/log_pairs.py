"""The published test set: sessions cut in half, in pairs of files, without the outcomes to be predicted.

    log_prehistory_….csv   21 columns, the log of each session's first half
    log_input_….csv         4 columns, the tracks of its second half
    log_truth_….csv         2 columns, the outcomes of that half, for cut and synthetic logs; never published

A track is in the second half if twice its position is more than the session's length.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.folder import csv_files, refuse_unread, shard_name
from skip_pipeline.raw.text_columns import DICTIONARY
from skip_pipeline.settings import TEST_SET

PREHISTORY: Final = "log_prehistory_"
INPUT: Final = "log_input_"
TRUTH: Final = "log_truth_"

LOG_INPUT: Final = pa.schema(
    [
        (schema.SESSION_ID, DICTIONARY),
        (schema.LOG_TRACK_ID, pa.string()),
        *(schema.SESSION_LOG.field(name) for name in (schema.POSITION, schema.LENGTH)),
    ]
)
"""Columns of a ``log_input`` file: tracks without their outcomes."""

LOG_TRUTH: Final = pa.schema([(schema.SESSION_ID, pa.string()), ("skip_2", pa.string())])
"""Columns of a ``log_truth`` file: one row per session, in order of first appearance in ``log_input``.
``skip_2`` has a digit for each track of the second half, 1 for skipped, as a line of a submission has."""

_ZERO: Final = ord("0")


@dataclass(frozen=True)
class LogPair:
    """Both files of one shard of the test set; either may be gzipped."""

    prehistory: Path
    input: Path

    def __str__(self) -> str:
        return str(self.input)


def log_pairs(raw: Path) -> tuple[LogPair, ...]:
    """Pairs of files in ``raw/test_set``; see ``pairs_in``."""
    return pairs_in(raw / TEST_SET)


def pairs_in(test_set: Path) -> tuple[LogPair, ...]:
    """Pairs of files in a folder, in the order of a submission; none if the folder does not exist.

    Raises:
        MissingInputError: one file of a pair is missing.
        BadInputError: a file is there twice, plain and gzipped, or other tables are there.
    """
    found = csv_files(test_set)
    refuse_unread(test_set)
    logs, inputs = by_name(found, PREHISTORY), by_name(found, INPUT)
    for name in sorted(logs.keys() ^ inputs.keys()):
        present, here, other = (logs, PREHISTORY, INPUT) if name in logs else (inputs, INPUT, PREHISTORY)
        path = present[name]
        raise MissingInputError(
            f"{path} has no {other}{path.name.removeprefix(here)} beside it; expected both files of every "
            "pair. Put the other there, or remove this one"
        )
    return tuple(LogPair(logs[name], inputs[name]) for name in order_of_names(logs))


def pair_of(prehistory: Path) -> LogPair:
    """The pair of a ``log_prehistory`` file; its other file is as named, or the one that is (not) gzipped.

    Raises:
        BadInputError: the other file is there twice, plain and gzipped.
    """
    inputs = by_name(csv_files(prehistory.parent), INPUT)
    expected = prehistory.with_name(prehistory.name.replace(PREHISTORY, INPUT, 1))
    return LogPair(prehistory, inputs.get(shard_name(prehistory).removeprefix(PREHISTORY), expected))


def by_name(paths: Iterable[Path], prefix: str) -> dict[str, Path]:
    """Files with a prefix, by their names without it and without ``.csv`` or ``.csv.gz``.

    Raises:
        BadInputError: a file is there twice, plain and gzipped.
    """
    own: dict[str, Path] = {}
    for path in paths:
        if path.name.startswith(prefix):
            twin = own.setdefault(shard_name(path).removeprefix(prefix), path)
            if twin != path:
                raise BadInputError(
                    f"{path.parent} holds both {twin.name} and {path.name}; expected one of them. Remove the "
                    "other"
                )
    return own


def order_of_names(names: Iterable[str]) -> list[str]:
    """Names of ``by_name`` in the order of a submission, ``sorted(glob("log_input_*.csv"))``.

    >>> order_of_names(["1", "1-2"])
    ['1-2', '1']
    """
    return sorted(names, key="{}.csv".format)


def in_second_half(log: pa.Table) -> np.ndarray:
    """Whether each row of a log is in the second half of its session: bool (rows,)."""
    position, length = (log[name].to_numpy().astype(np.int64) for name in (schema.POSITION, schema.LENGTH))
    return np.asarray(2 * position > length)


def cut(log: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Cut the sessions of a log in half.

    Args:
        log: columns of ``schema.SESSION_LOG``, whole sessions one after another, each in order of position.

    Returns:
        Rows of the prehistory (21 columns), of the input (``LOG_INPUT``) and of the truth (``LOG_TRUTH``).
    """
    second = in_second_half(log)
    asked = log.filter(pa.array(second))
    lengths = log[schema.LENGTH].to_numpy().astype(np.int64)
    first_rows = np.flatnonzero(log[schema.POSITION].to_numpy() == 1)
    tracks = lengths[first_rows] - lengths[first_rows] // 2
    skipped = asked["skip_2"].cast(pa.uint8()).to_numpy()
    ids = log[schema.SESSION_ID].take(pa.array(first_rows)).cast(pa.string())
    truth = pa.table([ids, digit_texts(skipped, tracks)], schema=LOG_TRUTH)
    return log.filter(pa.array(~second)), asked.select(LOG_INPUT.names), truth


def digit_texts(digits: np.ndarray, tracks: np.ndarray) -> pa.StringArray:
    """Digits of n sessions as a text for each, ``LOG_TRUTH``'s ``skip_2``.

    Args:
        digits: uint8 (rows,), 0 or 1, session after session.
        tracks: number of digits of each session, int (n,).

    >>> digit_texts(np.array([1, 0, 1], np.uint8), np.array([2, 1])).to_pylist()
    ['10', '1']
    """
    ends = np.concatenate([[0], np.cumsum(tracks)]).astype(np.int32)
    return pa.StringArray.from_buffers(
        len(tracks), pa.py_buffer(ends), pa.py_buffer((digits + _ZERO).astype(np.uint8))
    )


def digits_of(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of ``digit_texts``: digits, uint8 (rows,), and their number in each text, int64 (n,).

    A character other than 0 and 1 gives another number.

    >>> [part.tolist() for part in digits_of(pa.array(["10", "1"]))]
    [[1, 0, 1], [2, 1]]
    """
    _, offsets, characters = texts.buffers()
    if characters is None:
        return np.empty(0, np.uint8), np.zeros(len(texts), np.int64)
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    digits = np.frombuffer(characters, np.uint8)[ends[0] : ends[-1]] - np.uint8(_ZERO)
    return digits, np.diff(ends).astype(np.int64)
