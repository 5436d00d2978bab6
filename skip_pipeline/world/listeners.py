"""Listeners: one per session, with traits that are constant during the session."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from skip_pipeline.world import constants
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.randomness import choose, cumulative, even_pairs, even_uniforms


@dataclass(frozen=True)
class Listeners:
    """Traits of ``n`` listeners, in logits of attention unless another unit is given."""

    patience: FloatArray  # (n,), added to the attention every track gets; hidden
    taste: FloatArray  # (n, 10), attention to one unit of each style and kind of a track; hidden
    browsing: FloatArray  # (n, 2), centre of the tracks that a listener chooses from, axes of ``browsed``
    shuffling: FloatArray  # (n,) in [0, 1); shuffle is on in contexts whose share of shuffled rows is larger
    inclination: FloatArray  # (n,) in [0, 1); decides the first context
    premium: BoolArray  # (n,)
    minute: FloatArray  # (n,), local time at which the session starts, minutes after midnight


def draw_listeners(rng: np.random.Generator, count: int) -> Listeners:
    """Draw ``count`` listeners, evenly spread so that shares in small groups do not depend on chance.

    Premium, first context, hour and shuffle have their exact shares; patience has its whole distribution at
    every hour and in every context.
    """
    premium = even_uniforms(rng, rng.permutation(count)) < constants.PREMIUM_SHARE
    inclination = even_uniforms(rng, np.lexsort((rng.random(count), premium)))
    patience, shuffling = even_pairs(rng, np.lexsort((inclination, premium)))
    hours = np.broadcast_to(cumulative(np.array(constants.HOURS)), (count, 24))
    hour = choose(hours, even_uniforms(rng, np.argsort(patience, kind="stable")))
    minute = 60.0 * (hour + rng.random(count)) - constants.MINUTES_INTO_SESSION
    browsing = rng.standard_normal((count, 2))
    browsing[:, 0] += constants.BROWSING_OF_SHUFFLING * (0.5 - shuffling)
    browsing[:, 0] += constants.BROWSING_OF_FREE * ~premium + np.array(constants.BROWSING_BY_HOUR)[hour]
    return Listeners(
        patience=constants.PATIENCE_SPREAD * ndtri(patience),
        taste=constants.COMMON_TASTE
        + np.array(constants.TASTE_SPREAD) * rng.standard_normal((count, len(constants.TASTE_SPREAD))),
        browsing=browsing,
        shuffling=shuffling,
        inclination=inclination,
        premium=premium,
        minute=minute % 1440.0,
    )


def browsed(styles: FloatArray) -> FloatArray:
    """The two axes by which sessions choose tracks, from styles (n, 6): (n, 2).

    The first axis runs from new music with a beat to old music without, the second from instrumental to
    vocal and loud.
    """
    return np.stack([(styles[:, 3] - styles[:, 0]) / np.sqrt(2.0), styles[:, 2]], axis=1)


def contrast(styles: FloatArray, session: IntArray) -> FloatArray:
    """Styles and kinds of each track minus their means in the session; taste multiplies them.

    A listener compares each track with all tracks of the session, later ones included, as if these were
    known. So patience alone, not taste, decides the session's skip rate.

    Args:
        styles: (rows, 10), styles and kinds of the track on each row; the result has the same shape.
        session: (rows,), session of each row, from 0; every session has a row.
    """
    rows = np.bincount(session)
    usual = np.stack([np.bincount(session, weights=style) / rows for style in styles.T], axis=1)
    return np.asarray(styles - usual[session], dtype=np.float64)


def appeal(styles: FloatArray) -> FloatArray:
    """Attention to a track that is the same for all listeners, from its styles (rows, 6): (rows,)."""
    beat, mellow, era = styles[:, 0], styles[:, 5], styles[:, 3]
    mixture = constants.APPEAL_OF_MIXTURE * np.tanh(beat * mellow)
    return np.asarray(mixture - constants.APPEAL_OF_ERA * np.tanh(era**2 - 1.0), dtype=np.float64)
