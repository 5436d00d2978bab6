"""Plots of predictions: ROC and reliability curves of every model, and the confusion matrix."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skip_pipeline.metrics.curves import expected_calibration_error
from skip_pipeline.report import plots
from skip_pipeline.report.leaderboard import Entry, Kind, served_of, subject
from skip_pipeline.report.next_track import NextTrack, TrackEntry
from skip_pipeline.report.plots import INK, LABELS, MUTED, NOT_SKIPPED, WIDTH, Plot, as_png, share, style
from skip_pipeline.settings import CONFIDENCE

# Of Okabe and Ito's palette (2008), without the served model's blue. Markers differ as well as colours.
_LOOKS: Final[dict[Kind, tuple[tuple[str, str], ...]]] = {
    "served": ((NOT_SKIPPED, "o"),),
    "network": (("#56B4E9", "P"),),  # beside a served model that is another one
    "baseline": (("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#D55E00", "v")),
    "oracle": (("#1f2328", "."), ("#8a919b", ".")),
}
_STYLES: Final[dict[Kind, dict[str, Any]]] = {
    "served": {"linewidth": 2.6, "markersize": 6, "zorder": 5},
    "network": {"linewidth": 1.1, "markersize": 3.5, "zorder": 4},
    "baseline": {"linewidth": 1.1, "markersize": 3.5, "zorder": 3},
    "oracle": {"linewidth": 1.1, "markersize": 4, "zorder": 2, "linestyle": (0, (1, 1.2))},
}


def roc(entries: Sequence[Entry], mark: str) -> Plot:
    """True positive rate against false positive rate of every model, in the order of the legend."""
    figure, axes = _square("a constant: 0.500")
    for entry, line in _lines(entries):
        curve = entry.roc
        label = f"{entry.model.title}: {curve.area:.3f}"
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **line | {"marker": ""})
    served = _served(entries)
    style(axes, x="skipped tracks taken for played", y="played tracks found", percent="xy")
    _legend(axes, "lower right", title="area under the curve")
    caption = (
        f"Of one skipped and one played track taken at random, {subject(served.model)} gives the played "
        f"one the higher probability {served.roc.area:.1%} of the time; by chance it would be 50%."
    )
    return Plot("ROC curves", caption, as_png(figure, mark))


def calibration(entries: Sequence[Entry], mark: str) -> Plot:
    """Share not skipped against predicted probability, in the bins of every model.

    A band around the diagonal holds 95% of the served model's points if its probabilities are right (normal
    approximation of the binomial distribution).
    """
    figure, axes = _square("right on average")
    served = _served(entries)
    own = served.reliability
    given = np.array([point.mean_p_not_skipped for point in own])
    chance = 1.96 * np.sqrt(given * (1 - given) / np.array([point.sessions for point in own]))
    low, high = given - chance, given + chance
    axes.fill_between(given, low, high, color=NOT_SKIPPED, alpha=0.13, linewidth=0, zorder=1)
    for entry, line in _lines(entries):
        points = [(point.mean_p_not_skipped, point.share_not_skipped) for point in entry.reliability]
        axes.plot(*zip(*points, strict=True), label=entry.model.title, **line)
    style(axes, x="probability given to “not skipped”", y="share not skipped", percent="xy")
    _legend(axes, "upper left")
    caption = (
        f"In {len(own)} groups of sessions with similar probabilities, {subject(served.model)}'s mean "
        f"probability is off by {100 * expected_calibration_error(own):.1f} percentage points from the share "
        "that was not skipped. Points in the shaded band are off by no more than chance."
    )
    return Plot("Reliability of probabilities", caption, as_png(figure, mark))


def confusion_matrix(counts: np.ndarray, mark: str) -> Plot:
    """Counts of ``metrics.curves.confusion_matrix``, and shares of each row."""
    figure = plots.new_figure(WIDTH * 0.72, 3.3)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        colour = "white" if shares[i, j] > 0.55 else INK
        for below, text, size in ((-0.07, f"{count:,}", 15), (0.17, f"{shares[i, j]:.1%} of row", 9)):
            axes.text(j, i + below, text, fontsize=size, ha="center", va="center", color=colour)
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
    return Plot("What was predicted, what happened", caption, as_png(figure, mark))


def positions(found: NextTrack, mark: str) -> Plot:
    """Log-loss of the served model and the best baseline, and the former's calibration, by position."""
    figure = plots.new_figure(WIDTH, 3.2)
    left, right = figure.subplots(1, 2)
    shown: dict[Kind, TrackEntry] = {"served": found.served}
    if found.best_rival:
        shown["baseline"] = found.best_rival
    for look, entry in shown.items():
        colour, marker = _LOOKS[look][0]
        line = _STYLES[look] | {"color": colour, "marker": marker, "markersize": 3.5}
        place = [at.position for at in entry.positions]
        left.plot(place, [at.log_loss.value for at in entry.positions], label=entry.model.title, **line)
    own = found.served.positions
    place, gaps = [at.position for at in own], [at.calibration_gap for at in own]
    losses = [at.log_loss for at in own]
    left.fill_between(
        place, [e.low for e in losses], [e.high for e in losses], color=NOT_SKIPPED, alpha=0.13, linewidth=0
    )
    right.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    right.vlines(
        place, [gap.low for gap in gaps], [gap.high for gap in gaps], color=NOT_SKIPPED, linewidth=1.4
    )
    right.plot(place, [gap.value for gap in gaps], "o", color=NOT_SKIPPED, markersize=4)
    left.legend(frameon=False, fontsize=8, labelcolor=INK)
    style(left, title="log-loss", x="position in the session")
    style(right, title="mean probability minus share not skipped", x="position in the session", percent="y")
    off = sum(gap.excludes_zero for gap in gaps)
    first, last = own[0], own[-1]
    caption = (
        f"The log-loss of {subject(found.served.model)} is {first.log_loss.value:.3f} at position "
        f"{first.position} and {last.log_loss.value:.3f} at position {last.position}. Its mean probability "
        f"differs from the share not skipped beyond chance at {off} of {len(own)} positions; one in 20 does "
        f"so by luck. Band and lines are {CONFIDENCE:.0%} intervals."
    )
    return Plot("By position in the session", caption, as_png(figure, mark))


def _served(entries: Sequence[Entry]) -> Entry:
    model = served_of([entry.model for entry in entries])
    return next(entry for entry in entries if entry.model == model)


def _lines(entries: Sequence[Entry]) -> Iterator[tuple[Entry, dict[str, Any]]]:
    """Each entry and the style of its line; colours repeat if a kind has more models than colours."""
    looks = {kind: cycle(looks) for kind, looks in _LOOKS.items()}
    served = _served(entries)
    for entry in entries:
        look: Kind = "served" if entry is served else entry.model.kind
        colour, marker = next(looks[look])
        yield entry, _STYLES[look] | {"color": colour, "marker": marker}


def _legend(axes: Axes, place: Literal["lower right", "upper left"], title: str | None = None) -> None:
    frame: dict[str, Any] = {"frameon": True, "framealpha": 0.9, "edgecolor": plots.LINE}
    legend = axes.legend(loc=place, fontsize=8, labelcolor=INK, title=title, title_fontsize=8, **frame)
    legend.get_title().set_color(MUTED)


def _square(diagonal: str) -> tuple[Figure, Axes]:
    """A figure of one plot from 0 to 1, with a labelled diagonal."""
    figure = plots.new_figure(WIDTH * 0.8, 4.8)
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=diagonal)
    return figure, axes
