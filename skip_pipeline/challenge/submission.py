"""A submission: one line per session, with a digit for each track of its second half, 1 for skipped.

Lines have no header and no ids. They are in order of the sessions' first appearance over the input files,
which are sorted by name.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from skip_pipeline.challenge.half_sessions import HalfSessions, read_half_sessions
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.metrics.challenge import check_digits
from skip_pipeline.raw.log_pairs import LogPair, pairs_in
from skip_pipeline.storage import Apply, flush, in_turn
from skip_pipeline.storage.files import check_target, replacing

Decide = Callable[[HalfSessions], np.ndarray]
"""Decides on the sessions of a pair: a digit for each row of ``asked``, (rows,), 1 for skipped, 0 for not."""

_NEWLINE: Final = ord("\n")
_CHUNK: Final = 1 << 24  # bytes of a file that are counted at once


@dataclass(frozen=True)
class Submitted:
    """What a submission answers."""

    files: int  # pairs
    sessions: int
    tracks: int  # of second halves
    not_half: int  # sessions whose prehistory is longer or shorter than half


@dataclass(frozen=True)
class _Answer:
    """Lines of one pair, and what they answer."""

    lines: bytes
    counts: Submitted


def submit(test_set: Path, out: Path, decide: Decide, apply: Apply = in_turn) -> Submitted:
    r"""Decide on every session of a test set and write the submission, whole or not at all.

    Memory holds the pairs that are worked on, and lines of a few finished ones.

    Args:
        test_set: folder of ``log_prehistory`` and ``log_input`` files.
        out: file to write, in an existing folder; an earlier one is replaced at the end.
        decide: must give the same digits wherever and whenever it runs.
        apply: where pairs are worked on.

    Raises:
        MissingInputError: the folder has no pair, or one file of a pair is missing.
        BadInputError: a pair cannot be read (``read_half_sessions``).
        RefusedError: ``out`` cannot be written.
        ContractError: ``decide`` gives another number of digits, or others than 0 and 1.
    """
    check_target(out)
    pairs = pairs_in(test_set)
    if not pairs:
        raise MissingInputError(
            f"{test_set} holds no log_input_….csv; expected pairs of log_prehistory and log_input files. Put "
            "the public archive's test_set there, or make one with `skip-pipeline challenge split`"
        )
    with replacing(out) as part:
        counts = _write(part, apply(partial(_answer, decide=decide), pairs))
        _check_lines(part, counts.sessions)
    return counts


def _answer(pair: LogPair, *, decide: Decide) -> _Answer:
    sessions = read_half_sessions(pair)
    digits = np.asarray(decide(sessions))
    try:
        check_digits(digits, sessions.tracks, "decisions")
    except ContractError as refusal:
        raise ContractError(f"{pair.input}: {refusal}") from refusal
    counts = Submitted(1, len(sessions), len(digits), sessions.not_half)
    return _Answer(lines_of(digits, sessions.tracks), counts)


def _write(part: Path, answers: Iterable[_Answer]) -> Submitted:
    counts = []
    with part.open("wb") as file:
        for answer in answers:
            file.write(answer.lines)
            counts.append(answer.counts)
    flush(part)
    return Submitted(*(sum(values) for values in zip(*(vars(c).values() for c in counts), strict=True)))


def _check_lines(part: Path, sessions: int) -> None:
    """Count the lines on the disk, because the official evaluation ignores missing ones in silence."""
    lines = 0
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            lines += chunk.count(b"\n")
    if lines != sessions:
        raise ContractError(
            f"{part} has {lines} lines, expected one for each of {sessions} sessions; write it again"
        )


def lines_of(digits: np.ndarray, tracks: Sequence[int] | np.ndarray) -> bytes:
    r"""Lines of n sessions.

    Args:
        digits: 0 or 1, (rows,), session after session.
        tracks: number of digits of each session, int (n,).

    >>> lines_of(np.array([1, 0, 1]), np.array([2, 1]))
    b'10\n1\n'
    """
    ends = np.cumsum(np.asarray(tracks) + 1) - 1
    characters = np.full(len(digits) + len(ends), _NEWLINE, np.uint8)
    is_digit = np.ones(len(characters), bool)
    is_digit[ends] = False
    characters[is_digit] = digits + ord("0")
    return characters.tobytes()
