"""Figures of a session log that depend on the order of its rows: transitions, autocorrelation, repeats."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

PUBLISHED_ROWS: Final = 134_304
"""Rows of the published series of skip_2: the head of the mini set in file order
(DM1122/spotify-skip-prediction, data/labels_train.csv)."""

LAGS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 20, 30, 40, 60)
"""Lags of the published autocorrelation, in rows."""

Flags = npt.NDArray[np.bool_]


def skip_sequence(skip_2: Flags, session: npt.NDArray[np.intp]) -> dict[str, Mapping[str, float]]:
    """Every published figure about the succession of skips.

    Args:
        skip_2: (rows,), in file order.
        session: number of the session of each row, (rows,), ascending from 0.
    """
    head = skip_2[:PUBLISHED_ROWS]
    same = session[1:] == session[:-1]
    before, after = skip_2[:-1][same], skip_2[1:][same]
    within = transitions(before, after)
    return {
        "skip_2_first_rows": {"skip_2": float(head.mean())},
        "skip_2_pairs": _pairs(head[:-1], head[1:]),
        "skip_2_transitions": transitions(head[:-1], head[1:]),
        "skip_2_autocorrelation": autocorrelation(head),
        "skip_2_within_session": within,
        "printed_transitions": within,
        "full_last_action": last_action(skip_2, session),
    }


def transitions(before: Flags, after: Flags) -> dict[str, float]:
    """Chance of a skip after a skip and after none, and how often two successive rows agree."""
    figures = {}
    if before.any():
        figures["skip after skip"] = float(after[before].mean())
    if not before.all():
        figures["skip after no skip"] = float(after[~before].mean())
    if len(before):
        figures["agreement"] = float((before == after).mean())
    return figures


def _pairs(before: Flags, after: Flags) -> dict[str, float]:
    if not len(before):
        return {}
    shares = np.bincount(2 * before + after, minlength=4) / len(before)
    return dict(zip(("0 then 0", "0 then 1", "1 then 0", "1 then 1"), shares.tolist(), strict=True))


def autocorrelation(series: Flags) -> dict[str, float]:
    """Sample autocorrelation at the published lags; empty for a constant series."""
    deviations = series - series.mean()
    power = float(deviations @ deviations)
    if not power:
        return {}
    lags = [lag for lag in LAGS if lag < len(series)]
    return {f"lag {lag}": float(deviations[:-lag] @ deviations[lag:]) / power for lag in lags}


def last_action(skip_2: Flags, session: npt.NDArray[np.intp]) -> dict[str, float]:
    """Scores of repeating the last skip_2 of a session's first half over its second half.

    The first half is the shorter one. Mean average accuracy is that of the challenge (Brost, Mehrotra and
    Jehan, 2019): over the T tracks of a second half, sum of A(i) L(i) / T, where L(i) says whether track i
    was predicted and A(i) is the accuracy over the first i; then the mean over sessions.
    """
    starts = np.flatnonzero(np.diff(session, prepend=-1))
    lengths = np.diff(starts, append=len(session))
    halves = lengths // 2
    asked = halves > 0  # a session of one row has no first half
    if not asked.any():
        return {}
    position = np.arange(len(session)) - starts[session]
    predicted = skip_2[starts + np.maximum(halves - 1, 0)]
    step = position - halves[session] + 1  # 1, 2, ... in the second half
    second = (step > 0) & asked[session]
    correct = (skip_2 == predicted[session]) & second
    total = np.cumsum(correct)
    so_far = total - (total - correct)[starts][session]
    gains = np.where(correct, so_far / np.maximum(step, 1), 0.0)
    averages = np.bincount(session, weights=gains) / (lengths - halves)
    return {
        "mean average accuracy": float(averages[asked].mean()),
        "accuracy at the first prediction": float(correct[starts + halves][asked].mean()),
    }
