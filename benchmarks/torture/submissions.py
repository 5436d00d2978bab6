"""Submissions to the challenge, mutated: the reader takes lines of digits, and no table."""

import gzip
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.torture.files import Subject, unpacked, with_changed_bytes
from skip_pipeline.challenge.evaluation import evaluate, read_truth, truth_files
from skip_pipeline.raw.log_pairs import digit_texts

Lines = list[str]


def submission(truth: Path) -> Subject:
    """A submission for a folder of truth that is right in every second line."""
    outcomes = [
        text
        for known in map(read_truth, truth_files(truth))
        for text in digit_texts(known.skipped, known.tracks).to_pylist()
    ]
    lines = [text if i % 2 else "0" * len(text) for i, text in enumerate(outcomes)]
    mutations = {name: partial(mutation, lines=lines) for name, mutation in MUTATIONS.items()}

    def load(path: Path) -> tuple[float, float]:
        (scores,) = evaluate(truth, [path]).scores
        return round(scores.maa.value, 12), round(scores.fpa.value, 12)

    def plain(path: Path) -> tuple[float, float]:
        text = unpacked(path).removeprefix(b"\xef\xbb\xbf").decode("latin-1")
        found = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
        return scores_of(found, outcomes)

    return Subject("submission", mutations, load, plain, scores_of(lines, outcomes))


def scores_of(lines: Sequence[str], outcomes: Sequence[str]) -> tuple[float, float]:
    """Mean average accuracy and first-prediction accuracy, digit by digit.

    Raises:
        ValueError: another number of lines, or a line of another length or with another digit.
    """
    total = first = 0.0
    for line, outcome in zip(lines, outcomes, strict=True):
        right = [a == b for a, b in zip(line, outcome, strict=True)]
        if not {*line} <= {"0", "1"}:
            raise ValueError("no digit 0 or 1")
        total += sum(sum(right[: i + 1]) / (i + 1) for i in range(len(right)) if right[i]) / len(right)
        first += right[0]
    return round(total / len(outcomes), 12), round(first / len(outcomes), 12)


def _text(lines: Lines) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("latin-1")


def rewritten(random: Random, lines: Lines) -> tuple[str, bytes]:
    """The same lines as other editors and systems write them."""
    end = random.choice(["\n", "\r\n", "\r"])
    content = (
        random.choice([b"", b"\xef\xbb\xbf"]) + end.join(lines).encode() + random.choice([b"", end.encode()])
    )
    return random.choice([("s.txt", content), ("s.txt.gz", gzip.compress(content)), ("S.csv", content)])


def with_other_digits(random: Random, lines: Lines) -> tuple[str, bytes]:
    """Digits or other characters in place of some."""
    made = [list(line) for line in lines]
    for _ in range(random.randint(1, 3)):
        line = random.choice(made)
        line[random.randrange(len(line))] = random.choice(
            ["0", "1", "0", "1", "2", " ", ",", "\xe9", "", "01", "\n"]
        )
    return "s.txt", _text(["".join(line) for line in made])


def with_other_lines(random: Random, lines: Lines) -> tuple[str, bytes]:
    """Lines lost, repeated, moved, empty, or of another table."""
    made, at = list(lines), random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            del made[at]
        case 1:
            made.insert(at, made[at])
        case 2:
            random.shuffle(made)
        case 3:
            made.insert(at, "")
        case _:
            made.insert(0, "session_id,skip_2")
    return "s.txt", _text(made)


def with_other_bytes(random: Random, lines: Lines) -> tuple[str, bytes]:
    """Another encoding, bytes changed, or a file that ends early, plain or gzipped."""
    content = _text(lines)
    name = random.choice(["s.txt", "s.txt.gz"])
    if name.endswith("gz") and random.random() < 0.8:
        content = gzip.compress(content)
    match random.randrange(3):
        case 0:
            return "s.txt", "\n".join(lines).encode(
                random.choice(["utf-16", "utf-16-le", "utf-32", "cp037", "utf-8-sig"])
            )
        case 1:
            return name, with_changed_bytes(random, content)
        case _:
            return name, content[: random.randrange(len(content))]


MUTATIONS: Final = {
    "written otherwise, as editors and systems do": rewritten,
    "digits replaced": with_other_digits,
    "lines lost, repeated, moved or empty": with_other_lines,
    "other encodings, bytes changed, cut short": with_other_bytes,
}
