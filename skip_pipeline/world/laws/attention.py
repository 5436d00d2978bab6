"""Attention to tracks, and the hidden states of listeners on which it depends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skip_pipeline.world.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Attention:
    """Attention to each track, in logits: its logistic function is the chance that the track is played.

    The leading axes ``…`` are none for what is, and (states,) for what could be.
    """

    fixed: FloatArray  # (…, sessions, 20), the part that no reaction changes
    by_outcome: FloatArray  # (…, sessions or 1, 5), added after each outcome of the track before
    by_context: FloatArray  # (…, sessions or 1, 6), added in each context of the track

    @classmethod
    def of(cls, fixed: FloatArray) -> Attention:
        """Attention that depends on neither outcome nor context, (…, sessions, 20)."""
        return cls(fixed, np.zeros((*fixed.shape[:-2], 1, 5)), np.zeros((*fixed.shape[:-2], 1, 6)))

    def at(self, position: int, before: IntArray | None, context: IntArray) -> FloatArray:
        """Attention at one position of all sessions: (…, sessions).

        Args:
            position: from 0.
            before: (sessions,), outcomes of the track before; None at the first position.
            context: (sessions,), of the track.
        """
        here = self.fixed[..., position] + _picked(self.by_context, context)
        return here if before is None else here + _picked(self.by_outcome, before)

    def last(self, lengths: IntArray, before: IntArray) -> FloatArray:
        """Attention to the last tracks without the part by context: (…, sessions).

        Args:
            lengths: (sessions,).
            before: (sessions,), outcomes of the tracks before the last.
        """
        here = self.fixed[..., np.arange(len(lengths)), lengths - 1]
        return np.asarray(here + _picked(self.by_outcome, before), dtype=np.float64)


def _picked(values: FloatArray, index: IntArray) -> FloatArray:
    """Value of each session's index (sessions,), from (…, sessions or 1, n): (…, sessions)."""
    rows = np.arange(len(index)) if values.shape[-2] > 1 else 0
    return np.asarray(values[..., rows, index], dtype=np.float64)


@dataclass(frozen=True)
class Minds:
    """Hidden states of a scene's listeners."""

    true: Attention  # in the state that each listener is in
    possible: Attention  # in each state that a listener could be in, leading axis (states,)
    initial: FloatArray  # (states,), probability of each state at the first track
    transition: FloatArray  # (states, states), probability of each state (column) at the next track
