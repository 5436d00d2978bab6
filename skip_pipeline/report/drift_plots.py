"""Plots of what has moved since training: how far, and from where to where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from skip_pipeline.report.plots import DPI, INK, LINE, MUTED, NOT_SKIPPED, SKIPPED, WIDTH, as_png, plain
from skip_pipeline.settings import DataSource

_FEATURES_SHOWN: Final = 12
_PANELS_SHOWN: Final = 4


@dataclass(frozen=True)
class Moved:
    """One feature before and now.

    Attributes:
        name: of the feature.
        index, limit: population stability index, and that from which it is an alarm.
        alarm: whether it is one.
        levels: names of its bins.
        before, now: share of each, float (levels,).
    """

    name: str
    index: float
    limit: float
    alarm: bool
    levels: tuple[str, ...]
    before: np.ndarray
    now: np.ndarray


def drift(features: Sequence[Moved], data_source: DataSource) -> bytes:
    """The features that moved most, the first on top, relative to the limit of each."""
    shown = list(features[:_FEATURES_SHOWN])[::-1]
    figure = Figure(figsize=(WIDTH, 0.8 + 0.25 * len(shown)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    colours = [SKIPPED if feature.alarm else MUTED for feature in shown]
    axes.barh([feature.name for feature in shown], [f.index / f.limit for f in shown], color=colours)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xlabel("stability index in multiples of its limit", fontsize=9, color=MUTED)
    plain(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    return as_png(figure, data_source)


def distributions(features: Sequence[Moved], data_source: DataSource) -> bytes:
    """Shares of each level, in training and in the newest data, of the features that moved most."""
    shown = features[:_PANELS_SHOWN]
    figure = Figure(figsize=(WIDTH, 2.4 * len(shown)), dpi=DPI, layout="constrained")
    for axes, feature in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        at = np.arange(len(feature.levels))
        axes.bar(at - 0.2, feature.before, width=0.38, color=MUTED, label="training")
        axes.bar(at + 0.2, feature.now, width=0.38, color=NOT_SKIPPED, label="newest data")
        axes.set_xticks(at, feature.levels, rotation=30, ha="right")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title(feature.name, fontsize=10, color=INK, loc="left")
        axes.legend(frameon=False, fontsize=8.5, labelcolor="linecolor")
        plain(axes)
        axes.tick_params(axis="x", labelsize=7)
    return as_png(figure, data_source)
