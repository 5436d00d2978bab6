"""The plots of the report, each a function from small numbers to PNG bytes.

Nothing here computes a score. Figures are built with Matplotlib's objects, never ``pyplot``, whose
global state belongs to a notebook; and every plot of synthetic data says so in its corner.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from PIL import Image  # Matplotlib depends on it to write pictures

from skip_pipeline import schema
from skip_pipeline.metrics.curves import Confusion
from skip_pipeline.settings import DataSource
from skip_pipeline.training.history import EpochReport

SYNTHETIC_CAPTION: Final = "synthetic data"

# Okabe and Ito's palette (2008), which the common kinds of colour blindness tell apart.
SKIPPED: Final = "#D55E00"
NOT_SKIPPED: Final = "#0072B2"
INK: Final = "#1f2328"
MUTED: Final = "#6b7280"
LINE: Final = "#d7dbe0"

DPI: Final = 160  # a page shows a plot at 96 to the inch: 650 pixels wide, and sharp on dense screens
WIDTH: Final = 6.5  # inches

_LABELS: Final = {0: "skipped 0", 1: "not skipped 1"}


def class_balance(balance: Mapping[str, tuple[int, int]], data_source: DataSource) -> bytes:
    """How often the last track was skipped, in training and in test sessions.

    Args:
        balance: per split, the number of sessions skipped and not skipped; train and test are drawn.
    """
    figure = Figure(figsize=(WIDTH, 3.0), dpi=DPI, layout="constrained")
    for axes, split in zip(figure.subplots(1, 2, sharey=True), ("train", "test"), strict=True):
        counts = balance[split]
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        bars = axes.bar(list(_LABELS.values()), shares, color=(SKIPPED, NOT_SKIPPED), width=0.62)
        texts = [f"{count:,}\n{share:.1%}" for count, share in zip(counts, shares, strict=True)]
        axes.bar_label(bars, texts, padding=3, fontsize=9, color=INK)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title(f"{split}: {total:,} sessions", fontsize=10, color=INK, loc="left")
        plain(axes)
    return as_png(figure, data_source)


def session_lengths(lengths: Mapping[int, int], data_source: DataSource) -> bytes:
    """Sessions by length, and how many of them have no track yet at each of the 19 steps.

    Args:
        lengths: sessions of all splits by their number of tracks, 10 to 20.
    """
    figure = Figure(figsize=(WIDTH, 3.0), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    total = sum(lengths.values())
    spans = range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1)
    bars = left.bar(spans, [lengths.get(length, 0) for length in spans], color=MUTED, width=0.8)
    left.bar_label(
        bars, [f"{lengths.get(length, 0):,}" for length in spans], fontsize=6.5, color=INK, padding=2
    )
    left.set_xticks(list(spans))
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    left.set_xlabel("tracks in the session", fontsize=9, color=MUTED)
    left.set_title(f"length of {total:,} sessions", fontsize=10, color=INK, loc="left")

    steps = np.arange(1, schema.STEPS + 1)
    # A session of length l fills the last l - 1 steps.
    padded = [
        sum(count for length, count in lengths.items() if length - 1 <= schema.STEPS - step) for step in steps
    ]
    right.bar(steps, [count / total if total else 0.0 for count in padded], color=MUTED, width=0.8)
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.set_xticks(steps[::2])
    right.set_xlabel("step; 19 is the track before the last", fontsize=9, color=MUTED)
    right.set_title("share of sessions padded", fontsize=10, color=INK, loc="left")
    for axes in (left, right):
        plain(axes)
    return as_png(figure, data_source)


def training_curves(history: Sequence[EpochReport], best_epoch: int, data_source: DataSource) -> bytes:
    """Loss and accuracy after each epoch, on training and validation sessions; the best epoch is marked."""
    figure = Figure(figsize=(WIDTH, 3.0), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [report.epoch for report in history]
    curves = (
        (left, "loss", [r.loss for r in history], [r.validation_loss for r in history]),
        (right, "accuracy", [r.accuracy for r in history], [r.validation_accuracy for r in history]),
    )
    for axes, title, training, validation in curves:
        for values, colour, name in ((training, MUTED, "training"), (validation, NOT_SKIPPED, "validation")):
            axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o", markersize=2.5, label=name)
        kept = validation[best_epoch - 1]
        axes.axvline(best_epoch, color=LINE, linewidth=1, zorder=0)
        axes.plot([best_epoch], [kept], marker="o", markersize=7, color=SKIPPED, zorder=3)
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        axes.set_title(f"epoch {best_epoch} kept: {kept:.3f}", fontsize=8.5, color=SKIPPED, loc="right")
        axes.set_xlabel("epoch", fontsize=9, color=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
        axes.legend(frameon=False, fontsize=8.5, labelcolor="linecolor", handlelength=1.2)
        plain(axes)
    return as_png(figure, data_source)


def confusion_matrix(confusion: Confusion, data_source: DataSource) -> bytes:
    """What happened against what was predicted: counts, and shares of each row."""
    figure = Figure(figsize=(WIDTH * 0.72, 3.3), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    rows = confusion.rows
    shares = [[count / sum(row) if sum(row) else 0.0 for count in row] for row in rows]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(rows):
        for j, count in enumerate(row):
            ink = "white" if shares[i][j] > 0.55 else INK
            axes.text(j, i - 0.07, f"{count:,}", ha="center", va="center", fontsize=15, color=ink)
            axes.text(
                j, i + 0.17, f"{shares[i][j]:.1%} of row", ha="center", va="center", fontsize=9, color=ink
            )
    names = list(_LABELS.values())
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set_xlabel("predicted", fontsize=9, color=MUTED)
    axes.set_ylabel("happened", fontsize=9, color=MUTED)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    axes.spines[:].set_visible(False)
    return as_png(figure, data_source)


def as_png(figure: Figure, data_source: DataSource) -> bytes:
    """Draw a figure, with the caption that synthetic data must carry, as a PNG of at most 64 colours.

    The file names no software or date, so that equal numbers give equal bytes.
    """
    if data_source == "synthetic":
        # A title above everything, so that the layout makes room for it.
        figure.suptitle(SYNTHETIC_CAPTION, fontsize=8, color=MUTED, style="italic", x=0.995, ha="right")
    canvas: Any = FigureCanvasAgg(
        figure
    )  # drawn once; saving a figure would draw it twice and write a PNG more
    canvas.draw()
    packed = io.BytesIO()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    # Maximum coverage keeps the colours of thin lines, which the default merges with more frequent ones.
    drawn.quantize(64, Image.Quantize.MAXCOVERAGE).save(packed, format="png", optimize=True)
    return packed.getvalue()


def plain(axes: Axes) -> None:
    """Leave out what carries no number."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, colors=MUTED)
