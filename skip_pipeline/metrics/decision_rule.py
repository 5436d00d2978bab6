"""How probabilities of ``skip_2`` in a second half become decisions: a threshold, or the best whole string.

Average accuracy (``metrics.challenge``) rewards decisions that are right together. With outcomes and
decisions of -1 and 1, its expectation over the outcomes of T tracks is

    T E[AA] = (T + H_T) / 4 + sum over i of s_i m_i (1 + 1/i + H_T - H_i) / 4
              + sum over j < i of s_i s_j m_ij / (4 i),

where s are decisions, m_i and m_ij the means of an outcome and of a product of two, and H harmonic numbers.
If outcomes are independent, a threshold of 0.5 is best at every track. If they are correlated, another string
may be better. Correlations of two tracks are those of the standardised residuals of validation sessions, one
table for each length of a session. All strings are tried; there are 1,024 of 10 tracks.

Values of second halves are flat, (rows,): session after session, in order of positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.challenge import score_sessions
from skip_pipeline.settings import DECISION_THRESHOLD

_SHRINKAGE: Final = 300
"""Sessions of all lengths that are added to a length's own, of which a small validation set has 50. On 20,000
synthetic test sessions any number gave the same mean average accuracy within 0.0003."""

_TO_ZERO: Final = 30  # sessions without correlation that are added to those of all lengths

_MOST: Final = schema.MAX_SESSION_LENGTH - schema.MAX_SESSION_LENGTH // 2  # tracks of a second half
_LEAST_VARIANCE: Final = 1e-6  # of an outcome of -1 or 1, which residuals are divided by
_AT_ONCE: Final = 4096  # sessions decided together: 17 MB for all strings


def expected_accuracy(strings: np.ndarray, first: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Expected average accuracy of each string for each of n sessions with T tracks: float (strings, n).

    Args:
        strings: decisions, -1 or 1, (strings, T).
        first: mean of each outcome, -1 to 1, (n, T).
        pairs: mean of the product of each two outcomes, (n, T (T - 1) / 2), in the order of
            ``earlier_pairs``.

    >>> sure = np.array([[1.0, 1.0]])
    >>> expected_accuracy(np.array([[1, 1], [1, -1], [-1, 1]]), sure, np.array([[1.0]])).ravel().tolist()
    [1.0, 0.5, 0.25]
    """
    tracks = strings.shape[1]
    place = np.arange(1, tracks + 1)
    harmonic = np.cumsum(1.0 / place)
    later, earlier = earlier_pairs(tracks)
    alone = first * (1.0 + 1.0 / place + harmonic[-1] - harmonic).astype(first.dtype)
    together = pairs / place[later].astype(pairs.dtype)
    sums = strings @ alone.T + (strings[:, later] * strings[:, earlier]) @ together.T
    return np.asarray((tracks + harmonic[-1] + sums) / (4.0 * tracks))


def earlier_pairs(tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Every track i, from 0, and every track j before it: two int arrays (T (T - 1) / 2,)."""
    later, earlier = np.tril_indices(tracks, -1)
    return later, earlier


@lru_cache
def all_strings(tracks: int) -> np.ndarray:
    """Every string of T decisions, -1 or 1: float32 (2 ** T, T)."""
    return np.array(list(np.ndindex(*(2,) * tracks)), np.float32) * 2.0 - 1.0


@dataclass(frozen=True)
class DecisionRule:
    """How the tracks of a second half are decided; a session that is cut elsewhere gets the threshold."""

    correlations: Mapping[int, np.ndarray]  # by session length, float64 (T, T), 1 on the diagonal
    joint: bool  # whether strings are decided as a whole

    def decide(self, p_skip_2: np.ndarray, tracks: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Whether each track is decided to have ``skip_2``: bool (rows,).

        Args:
            p_skip_2: probabilities, (rows,).
            tracks: number of tracks to decide of each session, int (n,), at least 1.
            lengths: number of tracks of each whole session, int (n,).
        """
        decided = np.asarray(p_skip_2 > DECISION_THRESHOLD)
        if not self.joint:
            return decided
        starts = np.cumsum(tracks) - tracks
        for length, table in self.correlations.items():
            alike = np.flatnonzero((lengths == length) & (tracks == len(table)))
            for some in np.array_split(alike, -(-len(alike) // _AT_ONCE)) if len(alike) else ():
                rows = starts[some, None] + np.arange(len(table))
                decided[rows] = _best_strings(p_skip_2[rows], table)
        return decided

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        tables = {str(length): table.round(6).tolist() for length, table in self.correlations.items()}
        return {"joint": self.joint, "correlations": tables}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DecisionRule:
        """Inverse of ``to_json``; a ``ContractError`` where a value is missing or impossible."""
        try:
            joint, tables = content["joint"], content["correlations"]
            read = {int(length): np.array(table, np.float64) for length, table in tables.items()}
            for length, table in read.items():
                tracks = length - length // 2
                if table.shape != (tracks, tracks) or not (np.abs(table) <= 1.0).all():
                    raise ValueError(f"table {table.shape} of length {length}")
            if not isinstance(joint, bool):
                raise TypeError(f"joint {joint!r}")
        except (KeyError, TypeError, ValueError, AttributeError) as damage:
            raise ContractError(
                f"the decision rule is damaged or of another version ({damage!r}), expected joint and "
                "correlations, one table for each session length; materialize trained_model again"
            ) from damage
        return cls(read, joint)


THRESHOLD: Final = DecisionRule({}, joint=False)
"""A track is decided to have ``skip_2`` if its probability is above ``DECISION_THRESHOLD``."""


def fit(skip_2: np.ndarray, p_skip_2: np.ndarray, lengths: np.ndarray) -> DecisionRule:
    """Fit the correlations to validation sessions, and keep whole strings if these score higher there.

    Args:
        skip_2: outcomes of all second-half tracks, 0 or 1, (rows,).
        p_skip_2: their probabilities, given the first half.
        lengths: number of tracks of each whole session, int (n,); the second half has the later ones.
    """
    tracks = lengths - lengths // 2
    rule = DecisionRule(_correlations(skip_2, p_skip_2, tracks, lengths), joint=True)
    by_string, by_threshold = (
        score_sessions(each.decide(p_skip_2, tracks, lengths), skip_2, tracks).average_accuracy.mean()
        for each in (rule, THRESHOLD)
    )
    return rule if by_string > by_threshold else DecisionRule(rule.correlations, joint=False)


def best_constant_strings(skip_2: np.ndarray, lengths: np.ndarray) -> dict[int, np.ndarray]:
    """The string of each session length that scores best if all sessions of that length get it: uint8 (T,).

    A length without a session gets zeros.

    Args:
        skip_2: outcomes of all second-half tracks, 0 or 1, (rows,).
        lengths: number of tracks of each whole session, int (n,).
    """
    tracks = lengths - lengths // 2
    starts = np.cumsum(tracks) - tracks
    found = {}
    for length in range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1):
        own = length - length // 2
        outcomes = 2.0 * skip_2[starts[lengths == length, None] + np.arange(own)] - 1.0
        later, earlier = earlier_pairs(own)
        together = outcomes.T @ outcomes
        n, sums = max(len(outcomes), 1), outcomes.sum(axis=0)
        score = expected_accuracy(all_strings(own), sums[None] / n, together[later, earlier][None] / n)
        found[length] = (all_strings(own)[score[:, 0].argmax()] > 0.0).astype(np.uint8)
    return found


def _correlations(
    skip_2: np.ndarray, p_skip_2: np.ndarray, tracks: np.ndarray, lengths: np.ndarray
) -> dict[int, np.ndarray]:
    """Mean products of standardised residuals by length, shrunk to those of all lengths, and these to 0."""
    deviation = np.sqrt(np.maximum(p_skip_2 * (1.0 - p_skip_2), _LEAST_VARIANCE / 4.0))
    starts = np.cumsum(tracks) - tracks
    sums, counts = {}, {}
    everywhere, known = np.zeros((_MOST, _MOST)), np.zeros((_MOST, _MOST))
    for length in range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1):
        own = length - length // 2
        rows = starts[lengths == length, None] + np.arange(own)
        residuals = (skip_2[rows] - p_skip_2[rows]) / deviation[rows]
        sums[length], counts[length] = residuals.T @ residuals, len(rows)
        everywhere[:own, :own] += sums[length]
        known[:own, :own] += len(rows)
    everywhere /= known + _TO_ZERO
    tables = {}
    for length, total in sums.items():
        own = len(total)
        table = (total + _SHRINKAGE * everywhere[:own, :own]) / (counts[length] + _SHRINKAGE)
        table = np.clip(table, -1.0, 1.0)
        np.fill_diagonal(table, 1.0)
        tables[length] = table
    return tables


def _best_strings(p_skip_2: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The decisions of the largest expected average accuracy for n sessions: (n, T) to bool (n, T)."""
    strings = all_strings(len(table))
    first = 2.0 * p_skip_2.astype(np.float32) - 1.0
    deviation = np.sqrt(np.maximum(1.0 - first**2, 0.0))
    later, earlier = earlier_pairs(len(table))
    shared = table[later, earlier].astype(np.float32) * deviation[:, later] * deviation[:, earlier]
    pairs = first[:, later] * first[:, earlier] + shared
    return np.asarray(strings[expected_accuracy(strings, first, pairs).argmax(axis=0)] > 0.0)
