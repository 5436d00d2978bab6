"""Plots of predictions: ROC and reliability curves of every model, and the network's confusion matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skip_pipeline.metrics.curves import expected_calibration_error
from skip_pipeline.report.leaderboard import Entry, Kind
from skip_pipeline.report.plots import (
    INK,
    LABELS,
    LINE,
    MUTED,
    NOT_SKIPPED,
    WIDTH,
    Plot,
    as_png,
    new_figure,
    share,
    style,
)
from skip_pipeline.settings import DataSource

# Of Okabe and Ito's palette (2008), without the network's blue. Markers differ as well as colours.
_COLOURS: Final[dict[Kind, tuple[str, ...]]] = {
    "network": (NOT_SKIPPED,),
    "baseline": ("#E69F00", "#009E73", "#CC79A7", "#D55E00"),
    "oracle": ("#1f2328", "#8a919b"),
}
_MARKERS: Final[dict[Kind, str]] = {"network": "o", "baseline": "s^Dv", "oracle": "."}
_STYLES: Final[dict[Kind, dict[str, Any]]] = {
    "network": {"linewidth": 2.6, "markersize": 6, "zorder": 5},
    "baseline": {"linewidth": 1.1, "markersize": 3.5, "zorder": 3},
    "oracle": {"linewidth": 1.1, "markersize": 4, "zorder": 2, "linestyle": (0, (1, 1.2))},
}


def roc(entries: Sequence[Entry], data_source: DataSource) -> Plot:
    """True positive rate against false positive rate of every model, in the order of the legend."""
    figure, axes = _square("a constant: 0.500")
    for entry, line in zip(entries, _line_styles(entries), strict=True):
        curve = entry.roc
        label = f"{entry.model.title}: {curve.area:.3f}"
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **line | {"marker": ""})
    style(axes, x="skipped tracks taken for played", y="played tracks found", percent="xy")
    _legend(axes, "lower right", title="area under the curve")
    caption = (
        f"Of one skipped and one played track taken at random, the network gives the played one the higher "
        f"probability {_network(entries).roc.area:.1%} of the time; by chance it would be 50%."
    )
    return Plot("ROC curves", caption, as_png(figure, data_source))


def calibration(entries: Sequence[Entry], data_source: DataSource) -> Plot:
    """Share not skipped against predicted probability, in the bins of every model.

    A band around the diagonal holds 95% of the network's points if its probabilities are right (normal
    approximation of the binomial distribution).
    """
    figure, axes = _square("right on average")
    network = _network(entries).reliability
    given = np.array([point.mean_p_not_skipped for point in network])
    count = np.array([point.sessions for point in network])
    chance = 1.96 * np.sqrt(given * (1 - given) / count)
    axes.fill_between(
        given, given - chance, given + chance, color=NOT_SKIPPED, alpha=0.13, linewidth=0, zorder=1
    )
    for entry, line in zip(entries, _line_styles(entries), strict=True):
        points = [(point.mean_p_not_skipped, point.share_not_skipped) for point in entry.reliability]
        axes.plot(*zip(*points, strict=True), label=entry.model.title, **line)
    style(axes, x="probability given to “not skipped”", y="share not skipped", percent="xy")
    _legend(axes, "upper left")
    caption = (
        f"In {len(network)} groups of sessions with similar probabilities, the network's mean probability is "
        f"off by {100 * expected_calibration_error(network):.1f} percentage points from the share that was "
        "not skipped. Points in the shaded band are off by no more than chance."
    )
    return Plot("Reliability of probabilities", caption, as_png(figure, data_source))


def confusion_matrix(counts: np.ndarray, data_source: DataSource) -> Plot:
    """Counts of ``metrics.curves.confusion_matrix``, and shares of each row."""
    figure = new_figure(WIDTH * 0.72, 3.3)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        text: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "color": "white" if shares[i, j] > 0.55 else INK,
        }
        axes.text(j, i - 0.07, f"{count:,}", fontsize=15, **text)
        axes.text(j, i + 0.17, f"{shares[i, j]:.1%} of row", fontsize=9, **text)
    axes.set_xticks([0, 1], LABELS)
    axes.set_yticks([0, 1], LABELS, rotation=90, va="center")
    axes.set_xlabel("predicted", fontsize=9, color=MUTED)
    axes.set_ylabel("happened", fontsize=9, color=MUTED)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    skipped, played = counts.tolist()
    caption = (
        f"Of {sum(skipped):,} skipped tracks, {share(skipped[0], sum(skipped))} were predicted as skipped; "
        f"of {sum(played):,} tracks that were not skipped, {share(played[1], sum(played))} were predicted "
        "as not skipped."
    )
    return Plot("What was predicted, what happened", caption, as_png(figure, data_source))


def _network(entries: Sequence[Entry]) -> Entry:
    return next(entry for entry in entries if entry.model.kind == "network")


def _line_styles(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Keyword arguments of each entry's line; colours repeat if a kind has more models than colours."""
    drawn: Counter[Kind] = Counter()
    styles = []
    for entry in entries:
        kind = entry.model.kind
        colours, markers = _COLOURS[kind], _MARKERS[kind]
        at = drawn[kind]
        drawn[kind] += 1
        styles.append(
            _STYLES[kind] | {"color": colours[at % len(colours)], "marker": markers[at % len(markers)]}
        )
    return styles


def _legend(axes: Axes, place: Literal["lower right", "upper left"], title: str | None = None) -> None:
    legend = axes.legend(
        loc=place, frameon=True, framealpha=0.9, edgecolor=LINE, fontsize=8, labelcolor=INK, title=title
    )
    legend.get_title().set_fontsize(8)
    legend.get_title().set_color(MUTED)


def _square(diagonal: str) -> tuple[Figure, Axes]:
    """A figure of one plot from 0 to 1, with a labelled diagonal."""
    figure = new_figure(WIDTH * 0.8, 4.8)
    axes = figure.subplots()
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=diagonal)
    return figure, axes
