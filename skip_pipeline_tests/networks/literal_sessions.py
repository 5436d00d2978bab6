"""Bundles of sessions spelt out outcome by outcome, for tests that know each feature beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skip_pipeline import schema
from skip_pipeline_tests.tiny_bundle import memory_of, whole_history

LETTERS = "123up"
"""skip_1, skip_2, skip_3, unflagged, played: what the nested flags say of a track."""

Bundle = dict[str, np.ndarray]


def bundle(
    sessions: Sequence[str],
    *,
    log: Mapping[str, Sequence[Sequence[float]]] | None = None,
    tracks: Mapping[str, Sequence[Sequence[float]]] | None = None,
    numbers: Sequence[Sequence[int]] | None = None,
) -> Bundle:
    """Bundle of sessions, each a string of ``LETTERS`` whose last one is the predicted track's outcome.

    Args:
        sessions: such as ``"pp1p"``; tracks before the last one fill the last steps.
        log: values of log columns for the tracks before the last one of each session.
        tracks: values of track columns for all tracks of each session; by default each has its own number.
        numbers: rows of the track matrix of all tracks of each session; by default 0, 1, …

    Returns:
        Every input of the default network but the memory of tracks, which ``with_memory`` adds; the label and
        the last flags. Hour and premium are not known.
    """
    n = len(sessions)
    arrays = {
        name: np.zeros((n, *shape), np.float32)
        for name, shape in schema.INPUT_SHAPES.items()
        if name != "track_memory"
    } | whole_history(n)
    arrays["skip_sequence"] += schema.SKIP_PADDING
    arrays["track_numbers"] -= 1
    arrays[schema.LABEL] = np.array([session[-1] == "p" for session in sessions], np.float32)
    arrays["last_flags"] = np.array(
        [[LETTERS.index(s[-1]) <= i for i in range(3)] for s in sessions], np.float32
    )
    for i, session in enumerate(sessions):
        before = [LETTERS.index(letter) for letter in session[:-1]]
        steps = slice(schema.STEPS - len(before), None)
        columns = {
            schema.POSITION: range(1, len(session)),
            schema.LENGTH: [len(session)] * len(before),
            "skip_1": [depth <= 0 for depth in before],
            "skip_2": [depth <= 1 for depth in before],
            "skip_3": [depth <= 2 for depth in before],
            schema.LABEL: [depth == 4 for depth in before],
            **{name: values[i] for name, values in (log or {}).items()},
        }
        for name, values in columns.items():
            arrays["session_log"][i, steps, schema.SESSION_LOG_BRANCH.index(name)] = values
        arrays["skip_sequence"][i, steps, 0] = columns[schema.LABEL]
        arrays["track_numbers"][i, schema.STEPS + 1 - len(session) :] = (
            range(len(session)) if numbers is None else numbers[i]
        )
        scaled = np.linspace(0.1, 0.9, len(session)).tolist()
        own = {schema.LOG_TRACK_ID: scaled, **{name: values[i] for name, values in (tracks or {}).items()}}
        for name, features in own.items():
            column = schema.TRACK_BRANCH.index(name)
            arrays["previous_tracks"][i, steps, column] = features[:-1]
            arrays["last_track"][i, column] = features[-1]
    return arrays


def with_memory(arrays: Bundle, tracks: int = schema.MAX_SESSION_LENGTH) -> Bundle:
    """The bundle with the memory of a training split."""
    return arrays | memory_of(arrays, tracks)


def listeners_with_a_taste(sessions: int, seed: int = 0) -> tuple[Bundle, np.ndarray]:
    """Sessions of 20 random tracks, whose energy half of the listeners like and the others dislike.

    Returns:
        the bundle, and 1 or -1 for each session (n,).
    """
    random = np.random.default_rng(seed)
    taste = np.where(np.arange(sessions) % 2, 1, -1)
    energy, tempo = random.random((2, sessions, 20))
    depth = 2.0 + 4.0 * taste[:, None] * (energy - 0.5) + random.normal(0.0, 1.0, (sessions, 20))
    depth = np.clip(np.rint(depth), 0, 4).astype(int)
    texts = ["".join(LETTERS[d] for d in row) for row in depth]
    return bundle(texts, tracks={"energy": energy.tolist(), "tempo": tempo.tolist()}), taste
