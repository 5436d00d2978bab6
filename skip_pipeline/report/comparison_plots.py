"""The plots in which every model stands beside the network: ROC curves, and probabilities against shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from skip_pipeline.metrics.curves import ReliabilityBin, RocCurve
from skip_pipeline.report.leaderboard import Kind
from skip_pipeline.report.plots import DPI, INK, LINE, MUTED, NOT_SKIPPED, WIDTH, as_png, plain
from skip_pipeline.settings import DataSource


@dataclass(frozen=True)
class ModelCurves:
    """One model's curves on the test sessions."""

    title: str
    kind: Kind
    roc: RocCurve
    reliability: tuple[ReliabilityBin, ...]


# Of Okabe and Ito's palette (2008), without the blue of the network; told apart by marker and dash as well.
_BASELINES: Final = ("#E69F00", "#009E73", "#CC79A7", "#D55E00")
_ORACLES: Final = ("#1f2328", "#8a919b")
_MARKERS: Final = ("s", "^", "D", "v")
_DIAGONAL: Final = (0, (4, 3))


def roc(models: Sequence[ModelCurves], data_source: DataSource) -> bytes:
    """Share of played tracks found against share of skipped tracks taken for played, of every model.

    Args:
        models: in the order of the legend; the network is drawn on top.
    """
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=_DIAGONAL, label="a coin: 0.500")
    for model, style in _styled(models):
        style["marker"] = ""
        curve = model.roc
        label = f"{model.title}: {curve.area:.3f}"
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **style)
    axes.set_xlabel("skipped tracks taken for played", fontsize=9, color=MUTED)
    axes.set_ylabel("played tracks found", fontsize=9, color=MUTED)
    _legend(axes, "lower right", title="area under the curve")
    return as_png(figure, data_source)


def calibration(models: Sequence[ModelCurves], data_source: DataSource) -> bytes:
    """What became of sessions to which about equal probabilities were given, by every model.

    The network's points carry the interval in which 95% of shares fall by chance where its probability is
    right (normal approximation of the binomial), drawn around the diagonal.
    """
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=_DIAGONAL, label="right on average")
    for model, style in _styled(models):
        given = np.array([point.mean_p_not_skipped for point in model.reliability])
        happened = [point.share_not_skipped for point in model.reliability]
        if model.kind == "network":
            count = np.array([point.sessions for point in model.reliability])
            chance = 1.96 * np.sqrt(given * (1 - given) / np.maximum(count, 1))
            axes.fill_between(
                given, given - chance, given + chance, color=NOT_SKIPPED, alpha=0.13, linewidth=0, zorder=1
            )
        axes.plot(given, happened, label=model.title, **style)
    axes.set_xlabel("probability given to “not skipped”", fontsize=9, color=MUTED)
    axes.set_ylabel("share not skipped", fontsize=9, color=MUTED)
    _legend(axes, "upper left")
    return as_png(figure, data_source)


def _styled(models: Sequence[ModelCurves]) -> list[tuple[ModelCurves, dict[str, Any]]]:
    """Each model with how its line is drawn; a kind with more models than colours begins again."""
    baselines = [model for model in models if model.kind == "baseline"]
    oracles = [model for model in models if model.kind == "oracle"]
    styled: list[tuple[ModelCurves, dict[str, Any]]] = []
    for model in models:
        if model.kind == "network":
            style = {"color": NOT_SKIPPED, "linewidth": 2.6, "marker": "o", "markersize": 6, "zorder": 5}
        elif model.kind == "baseline":
            at = baselines.index(model)
            style = {
                "color": _BASELINES[at % len(_BASELINES)],
                "linewidth": 1.1,
                "marker": _MARKERS[at % len(_MARKERS)],
                "markersize": 3.5,
                "zorder": 3,
            }
        else:
            at = oracles.index(model)
            style = {
                "color": _ORACLES[at % len(_ORACLES)],
                "linewidth": 1.1,
                "linestyle": (0, (1, 1.2)),
                "marker": ".",
                "markersize": 4,
                "zorder": 2,
            }
        styled.append((model, style))
    return styled


def _legend(axes: Axes, place: Literal["lower right", "upper left"], title: str | None = None) -> None:
    legend = axes.legend(
        loc=place, frameon=True, framealpha=0.9, edgecolor=LINE, fontsize=8, labelcolor=INK, title=title
    )
    legend.get_title().set_fontsize(8)
    legend.get_title().set_color(MUTED)


def _square() -> tuple[Figure, Axes]:
    """Figure of one plot of shares against shares."""
    figure = Figure(figsize=(WIDTH * 0.8, 4.8), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    plain(axes)
    return figure, axes
