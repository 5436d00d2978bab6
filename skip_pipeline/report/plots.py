"""Plots of the data and the training, and the style of all plots.

Figures are made without ``pyplot``, which keeps global state. A corner says what the data are, if they are
not the public ones.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from PIL import Image  # a dependency of Matplotlib

from skip_pipeline import schema
from skip_pipeline.training.history import EpochReport

# Okabe and Ito's palette (2008), which the common kinds of colour blindness tell apart.
SKIPPED: Final = "#D55E00"
NOT_SKIPPED: Final = "#0072B2"
INK: Final = "#1f2328"
MUTED: Final = "#6b7280"
LINE: Final = "#d7dbe0"

DPI: Final = 160  # a page shows a plot at 96 to the inch: 650 pixels wide, and sharp on dense screens
WIDTH: Final = 6.5  # inches
LABELS: Final = ("skipped 0", "not skipped 1")


@dataclass(frozen=True)
class Plot:
    """A plot of a page: title, a caption that states its content in words, PNG bytes."""

    title: str
    caption: str
    png: bytes


def class_balance(balance: Mapping[str, tuple[int, int]], mark: str) -> Plot:
    """How often the last track was skipped, from the numbers skipped and not skipped of each split."""
    figure = new_figure(WIDTH, 3.0)
    for axes, split in zip(figure.subplots(1, 4, sharey=True), schema.SPLITS, strict=True):
        counts = balance[split]
        shares = [count / max(sum(counts), 1) for count in counts]
        bars = axes.bar(
            [label.replace(" ", "\n") for label in LABELS], shares, color=(SKIPPED, NOT_SKIPPED), width=0.62
        )
        texts = [f"{count:,}\n{share:.1%}" for count, share in zip(counts, shares, strict=True)]
        axes.bar_label(bars, texts, padding=3, fontsize=9, color=INK)
        axes.set_ylim(0, 1)
        style(axes, title=f"{split}: {sum(counts):,}", percent="y")
    skipped = [f"{share(balance[split][0], sum(balance[split]))} ({split})" for split in schema.SPLITS]
    caption = f"The last track was skipped in these shares of the sessions: {', '.join(skipped)}."
    return Plot("How often the last track is skipped", caption, as_png(figure, mark))


def session_lengths(lengths: Mapping[int, int], mark: str) -> Plot:
    """Sessions by length (number by tracks), and the share of sessions padded at each of the 19 steps."""
    figure = new_figure(WIDTH, 3.0)
    left, right = figure.subplots(1, 2)
    total = sum(lengths.values())
    spans = range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1)
    counts = [lengths.get(length, 0) for length in spans]
    bars = left.bar(spans, counts, color=MUTED, width=0.8)
    left.bar_label(bars, [f"{count:,}" for count in counts], fontsize=6.5, color=INK, padding=2)
    left.set_xticks(list(spans))
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    style(left, title=f"length of {total:,} sessions", x="tracks in the session")

    steps = np.arange(1, schema.STEPS + 1)
    # A session of n tracks fills the last n - 1 steps.
    padded = [sum(lengths.get(n, 0) for n in spans if n - 1 <= schema.STEPS - step) for step in steps]
    right.bar(steps, np.array(padded) / max(total, 1), color=MUTED, width=0.8)
    right.set_ylim(0, 1)
    right.set_xticks(steps[::2])
    style(right, title="share of sessions padded", x="step; 19 is the track before the last", percent="y")
    caption = (
        f"{share(lengths.get(schema.MAX_SESSION_LENGTH, 0), total)} of the sessions have all "
        f"{schema.MAX_SESSION_LENGTH} tracks; shorter ones are padded in front, which makes "
        f"{share(sum(padded), total * schema.STEPS)} of all steps padding."
    )
    return Plot("Session lengths and padding", caption, as_png(figure, mark))


def training_curves(history: Sequence[EpochReport], best_epoch: int, mark: str) -> Plot:
    """Loss and accuracy after each epoch, on training and validation sessions; the best epoch is marked."""
    figure = new_figure(WIDTH, 3.0)
    left, right = figure.subplots(1, 2)
    epochs = [report.epoch for report in history]
    for axes, title in ((left, "loss"), (right, "accuracy")):
        for prefix, colour, label in (("", MUTED, "training"), ("validation_", NOT_SKIPPED, "validation")):
            values = [getattr(report, f"{prefix}{title}") for report in history]
            axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o", markersize=2.5, label=label)
        kept = values[best_epoch - 1]
        axes.axvline(best_epoch, color=LINE, linewidth=1, zorder=0)
        axes.plot([best_epoch], [kept], marker="o", markersize=7, color=SKIPPED, zorder=3)
        axes.set_title(f"epoch {best_epoch} kept: {kept:.3f}", fontsize=8.5, color=SKIPPED, loc="right")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
        axes.legend(frameon=False, fontsize=8.5, labelcolor="linecolor", handlelength=1.2)
        style(axes, title=title, x="epoch")
    best = history[best_epoch - 1]
    caption = (
        f"Of {len(history)} epochs, number {best_epoch} was kept: there the validation loss stopped falling, "
        f"at {best.validation_loss:.4f} after {history[0].validation_loss:.4f} in the first epoch, with "
        f"{best.validation_accuracy:.1%} of the validation sessions right."
    )
    return Plot("Training", caption, as_png(figure, mark))


# --- Style --------------------------------------------------------------------------------------------


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def style(axes: Axes, *, title: str = "", x: str = "", y: str = "", percent: str = "") -> None:
    """Set title and labels, percents on the axes named in ``percent``, and no lines that carry no number."""
    if title:
        axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    for letter in percent:
        getattr(axes, f"{letter}axis").set_major_formatter(PercentFormatter(1, decimals=0))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, colors=MUTED)


def share(part: int, whole: int) -> str:
    """A share in percent, or "none" of nothing.

    >>> share(1, 8), share(0, 0)
    ('12.5%', 'none')
    """
    return f"{part / whole:.1%}" if whole else "none"


def as_png(figure: Figure, mark: str) -> bytes:
    """A PNG of 64 colours; it has no date, so that equal figures give equal bytes.

    Args:
        mark: what the data are, in a few words (``raw.description``); empty for the public data.
    """
    if mark:
        # A title above everything, so that the layout makes room for it.
        figure.suptitle(mark, fontsize=8, color=MUTED, style="italic", x=0.995, ha="right")
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # Figure.savefig would draw twice
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    packed = io.BytesIO()
    # Maximum coverage keeps the colours of thin lines, which the default merges with more frequent ones.
    drawn.quantize(64, Image.Quantize.MAXCOVERAGE).save(packed, format="png", optimize=True)
    return packed.getvalue()
