"""Plots of drift: how far each feature has moved since training, and its two distributions."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from skip_pipeline.nightly.drift import Drift
from skip_pipeline.report import plots
from skip_pipeline.report.plots import MUTED, as_png, style

_FEATURES_SHOWN: Final = 12
_PANELS_SHOWN: Final = 4


def drift(features: Sequence[Drift], mark: str) -> bytes:
    """Stability indices of the first features, relative to the limit of each, the first on top."""
    shown = list(features[:_FEATURES_SHOWN])[::-1]
    figure = plots.new_figure(plots.WIDTH, 0.8 + 0.25 * len(shown))
    axes = figure.subplots()
    colours = [plots.SKIPPED if drift.alarm else MUTED for drift in shown]
    axes.barh([drift.feature for drift in shown], [d.index / d.limit for d in shown], color=colours)
    axes.axvline(1, color=plots.INK, linewidth=1)
    style(axes, x="stability index in multiples of its limit")
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=plots.LINE, linewidth=0.6)
    return as_png(figure, mark)


def distributions(features: Sequence[Drift], mark: str) -> bytes:
    """Share of each level, in training and in the newest data, of the first features."""
    shown = features[:_PANELS_SHOWN]
    figure = plots.new_figure(plots.WIDTH, 2.4 * len(shown))
    for axes, drift in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        at = np.arange(len(drift.reference.levels))
        axes.bar(at - 0.2, drift.reference.shares, width=0.38, color=MUTED, label="training")
        axes.bar(at + 0.2, drift.observed.shares, width=0.38, color=plots.NOT_SKIPPED, label="newest data")
        axes.set_xticks(at, drift.reference.levels, rotation=30, ha="right")
        axes.legend(frameon=False, fontsize=8.5, labelcolor="linecolor")
        style(axes, title=drift.feature, percent="y")
        axes.tick_params(axis="x", labelsize=7)
    return as_png(figure, mark)
