"""Scores of submissions, given the truth."""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final, Self, TextIO, cast

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.metrics.challenge import (
    ChallengeScores,
    SessionScores,
    estimate_scores,
    joined,
    score_sessions,
)
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import is_gzip_name, other_format, rows_text, shown_value
from skip_pipeline.raw.folder import csv_files, source_of_files
from skip_pipeline.raw.log_pairs import LOG_TRUTH, TRUTH, by_name, digits_of, order_of_names
from skip_pipeline.settings import DataSource

_NEWLINE: Final = ord("\n")
_LONGEST_LINE: Final = 1 << 20  # characters read at once, far more than a line of digits has
_START: Final = 512  # characters that tell another format
_ZERO: Final = ord("0")
_ENCODING: Final = "latin-1"  # in which any byte is a character


@dataclass(frozen=True)
class Evaluation:
    """Scores of submissions on the same sessions."""

    data_source: DataSource  # of the truth
    sessions: int
    tracks: int  # of second halves
    scores: tuple[ChallengeScores, ...]  # of each submission
    differences: tuple[ChallengeScores, ...]  # of each but the first: how far it is above the first


@dataclass(frozen=True)
class Truth:
    """Outcomes of the second halves of one file's n sessions."""

    path: Path
    names: pa.ChunkedArray  # session ids, (n,)
    skipped: np.ndarray  # uint8 (rows,), session after session
    tracks: np.ndarray  # int64 (n,)


def truth_files(truth: Path) -> tuple[Path, ...]:
    """One file, or the ``log_truth`` files of a folder in the order of a submission.

    Raises:
        MissingInputError: nothing is there.
        BadInputError: a file is there twice, plain and gzipped.
    """
    if not truth.is_dir():
        return (truth,)
    found = by_name(csv_files(truth), TRUTH)
    if not found:
        raise MissingInputError(
            f"{truth} holds no {TRUTH}….csv; expected the truth that `skip-pipeline challenge split` or "
            "`skip-pipeline synthesize --test-sessions` writes. Name its folder, which is called truth"
        )
    return tuple(found[name] for name in order_of_names(found))


def read_truth(path: Path) -> Truth:
    """Read a ``log_truth`` file.

    Raises:
        MissingInputError, BadInputError: the file cannot be read (``read_csv``), an outcome is neither 0 nor
            1, or a session is there twice.
    """
    table = read_csv(path, LOG_TRUTH, {}, ids=LOG_TRUTH.names, remedy="those sessions from their log again")
    texts = table["skip_2"].combine_chunks()
    skipped, tracks = digits_of(texts)
    if (strange := np.flatnonzero(skipped > 1)).size:
        rows = np.unique(np.searchsorted(np.cumsum(tracks), strange, side="right"))
        raise BadInputError(
            f"{path}: column skip_2 is not a digit 0 or 1 for each track in {rows_text(rows, texts)}; make "
            "the truth again from its log"
        )
    names = table[schema.SESSION_ID]
    # A dictionary numbers its values in order of first appearance.
    codes = names.combine_chunks().dictionary_encode().indices.to_numpy()
    if (repeated := np.flatnonzero(codes != np.arange(len(codes)))).size:
        rows = np.flatnonzero(codes == codes[repeated[0]])
        raise BadInputError(
            f"{path}: session {shown_value(names[int(rows[0])])} is in {rows_text(rows)}; expected one row "
            "per session. Remove the others"
        )
    return Truth(path, names, skipped, tracks)


def evaluate(truth: Path, submissions: Sequence[Path]) -> Evaluation:
    """Score submissions. Every line is compared with the truth: its number, its length and its digits.

    Memory holds one truth file, its lines, and two numbers for each session and submission.

    Args:
        truth: a ``log_truth`` file or a folder of them.
        submissions: text files, plain or gzipped, at least one; the others are compared with the first.

    Raises:
        MissingInputError: a file is not there.
        BadInputError: a file cannot be read, or a submission has a line too few or too many, or a line of
            another length or with another character than 0 and 1.
    """
    files = truth_files(truth)
    scored: list[list[SessionScores]] = [[] for _ in submissions]
    tracks = 0
    with ExitStack() as stack:
        streams = [stack.enter_context(_Lines(path, files)) for path in submissions]
        for path in files:
            known = read_truth(path)
            tracks += len(known.skipped)
            for stream, own in zip(streams, scored, strict=True):
                own.append(score_sessions(stream.next(known), known.skipped, known.tracks))
        for stream in streams:
            stream.check_end()
    scores, differences = estimate_scores([joined(own) for own in scored])
    return Evaluation(
        data_source=source_of_files(files),
        sessions=sum(map(len, scored[0])),
        tracks=tracks,
        scores=tuple(scores),
        differences=tuple(differences),
    )


def _number_of_lines(file: TextIO) -> int:
    """Number of lines, however long, the last of which may have no end."""
    lines, end = 0, "\n"
    while piece := file.read(_LONGEST_LINE):
        lines, end = lines + piece.count("\n"), piece[-1]
    return lines + (end != "\n")


class _Lines:
    """The lines of a submission, read as the truth's files need them."""

    def __init__(self, path: Path, truth: Sequence[Path]) -> None:
        self._path = path
        self._truth = truth
        self._read = 0  # lines
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with self._readable():
            self._file = self._opened.enter_context(self._open())
        return self

    def __exit__(self, *_failure: object) -> None:
        self._opened.close()

    def next(self, known: Truth) -> np.ndarray:
        """Digits of the sessions of one truth file, uint8 (rows,)."""
        ends = np.cumsum(known.tracks + 1) - 1
        with self._readable():
            text = self._file.read(int(ends[-1]) + 1)
        if len(text) == ends[-1]:
            text += "\n"  # the last line of a file may end without one
        characters = np.frombuffer(text.encode(_ENCODING), np.uint8)
        if len(characters) == ends[-1] + 1:
            is_digit = np.ones(len(characters), bool)
            is_digit[ends] = False
            digits = characters[is_digit] - np.uint8(_ZERO)
            if (characters[ends] == _NEWLINE).all() and (digits <= 1).all():
                self._read += len(ends)
                return np.asarray(digits)
        with self._readable():
            lines = (text + self._file.readline(_LONGEST_LINE)).removesuffix("\n").split("\n")
        for row, (line, count) in enumerate(zip(lines, known.tracks.tolist(), strict=False)):
            if len(line) != count or not {*line} <= {"0", "1"}:
                where = f"session {shown_value(known.names[row])}, data row {row + 1} of {known.path.name}"
                raise self._fault(
                    f"line {self._read + row + 1} ({where}) is {shown_value(line)}, and the session's second "
                    f"half has {count} tracks"
                )
        raise self._fault()

    def check_end(self) -> None:
        """Refuse more lines than there are sessions."""
        with self._readable():
            more = self._file.read(1)
        if more:
            raise self._fault()

    def _fault(self, *facts: str) -> BadInputError:
        with self._readable(), self._open() as file:
            other = other_format(file.read(_START).encode(_ENCODING))
        with self._readable(), self._open() as file:
            lines = _number_of_lines(file)
        sessions = sum(len(read_truth(path).tracks) for path in self._truth)
        if lines != sessions:
            facts = (f"{lines} lines, and {sessions} sessions in the truth", *facts)
        if other:
            facts = (f"the file {other.partition('. ')[0]}", *facts)
        return BadInputError(
            f"{self._path}: {'; '.join(facts)}; expected a line for each session in the order of the input "
            "files, with a digit 0 or 1 for each track of its second half. Make the submission from the "
            "input files that belong to this truth"
        )

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        with gzip.open(self._path) if is_gzip_name(self._path) else self._path.open("rb") as file:
            stream = cast(BufferedReader, file)
            if stream.peek(len(BOM_UTF8)).startswith(BOM_UTF8):  # editors of Windows write it
                stream.read(len(BOM_UTF8))
            yield TextIOWrapper(stream, encoding=_ENCODING)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise MissingInputError(f"{self._path} is not there; name a submission") from None
        except (OSError, EOFError, zlib.error) as failure:
            raise BadInputError(
                f"{self._path} cannot be read ({failure}); expected a submission as plain or gzipped text. "
                "Make it again, or check the file's permissions"
            ) from failure
