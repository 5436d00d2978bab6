"""Plots: small, sharp, reproducible, marked with what their data are; their numbers and captions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from skip_pipeline import schema
from skip_pipeline.metrics.curves import ReliabilityBin, RocCurve
from skip_pipeline.nightly.drift import find_drift
from skip_pipeline.nightly.profile import Distribution, Profile
from skip_pipeline.report import drift_plots, model_plots, plots
from skip_pipeline.report.report_page import draw_plots
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.report.contents import BALANCE, BOARD, CONFUSION, EVALUATION, HISTORY, LENGTHS, entry

DRIFTS = find_drift(
    Profile(900, 900, {"context": Distribution(("radio", "charts"), np.array([900, 0]))}),
    Profile(900, 900, {"context": Distribution(("radio", "charts"), np.array([450, 450]))}),
)
PLOTS: dict[str, Callable[[str], bytes]] = {
    "class_balance": lambda mark: plots.class_balance(BALANCE, mark).png,
    "session_lengths": lambda mark: plots.session_lengths(LENGTHS, mark).png,
    "training_curves": lambda mark: plots.training_curves(HISTORY, 2, mark).png,
    "confusion_matrix": lambda mark: model_plots.confusion_matrix(CONFUSION, mark).png,
    "roc": lambda mark: model_plots.roc(BOARD.entries, mark).png,
    "calibration": lambda mark: model_plots.calibration(BOARD.entries, mark).png,
    "drift": lambda mark: drift_plots.drift(DRIFTS, mark),
    "distributions": lambda mark: drift_plots.distributions(DRIFTS, mark),
}
MARK = "real listening of 1 person, 2019-01-02 to 2024-03-31 (Spotify Extended streaming history)"
CONSTANT = dataclasses.replace(
    entry("constant", 0.7),
    roc=RocCurve((0.0, 1.0), (0.0, 1.0), 0.5),
    reliability=(ReliabilityBin(20, 0.4, 0.4),),
)
ENTRIES = (entry("oracle", 0.4, kind="oracle"), BOARD.network, CONSTANT)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is made, laid out but not encoded."""
    collected: list[Figure] = []

    def collect(figure: Figure, _mark: str) -> bytes:
        figure.draw_without_rendering()
        collected.append(figure)
        return b""

    for module in (plots, model_plots, drift_plots):
        monkeypatch.setattr(module, "as_png", collect)
    return collected


def texts(figures: list[Figure]) -> set[str]:
    return {text.get_text() for figure in figures for text in figure.findobj(Text) if isinstance(text, Text)}


def heights(axes: Axes) -> list[float]:
    bars: list[Any] = list(axes.patches)
    return [bar.get_height() for bar in bars]


def by_label(figures: list[Figure]) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in figures[0].axes[0].lines}


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_a_plot_is_a_small_png_that_says_what_its_data_are(
    draw: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []

    class Canvas(FigureCanvasAgg):
        def draw(self) -> None:
            drawn.append(self.figure)
            super().draw()

    monkeypatch.setattr(plots, "FigureCanvasAgg", Canvas)
    png = draw(MARK)

    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert 700 <= int.from_bytes(png[16:20], "big") <= 1300
    assert len(png) < 40_000
    assert MARK in texts(drawn)


def test_equal_numbers_give_equal_bytes_and_public_data_another_plot() -> None:
    draw = PLOTS["confusion_matrix"]
    assert draw("") == draw("") != draw(MARK)


def test_every_plot_of_the_report_has_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[str] = []

    def as_png(_figure: Figure, mark: str) -> bytes:
        marks.append(mark)
        return b""

    for module in (plots, model_plots):
        monkeypatch.setattr(module, "as_png", as_png)
    draw_plots(
        EVALUATION, balance=BALANCE, lengths=LENGTHS, history=HISTORY, best_epoch=1, mark="synthetic data"
    )
    assert marks == ["synthetic data"] * 7


def test_class_balance_shows_counts_and_shares(figures: list[Figure]) -> None:
    caption = plots.class_balance(BALANCE, "").caption

    assert {"60\n60.0%", "40\n40.0%", "15\n75.0%", "5\n25.0%"} <= texts(figures)
    assert {"train: 100", "validation: 10", "gate: 10", "test: 20", "skipped\n0", "not\nskipped\n1"} <= texts(
        figures
    )
    assert_says(caption, "60.0% (train), 50.0% (validation), 60.0% (gate), 75.0% (test)")


def test_padding_ends_where_the_shortest_session_begins(figures: list[Figure]) -> None:
    caption = plots.session_lengths(LENGTHS, "").caption
    left, right = figures[0].axes

    assert heights(left) == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    # Of lengths 10, 15, 20, 20: the first has 10 steps of padding, the second 5.
    assert heights(right) == [0.5] * 5 + [0.25] * 5 + [0.0] * 9
    assert_says(caption, "50.0% of the sessions have all 20", "19.7% of all steps")  # 15 of 4 * 19


def test_training_curves_mark_the_epoch_that_was_kept(figures: list[Figure]) -> None:
    caption = plots.training_curves(HISTORY, 2, "").caption

    assert {"epoch 2 kept: 0.500", "epoch 2 kept: 0.700", "training", "validation"} <= texts(figures)
    losses, accuracies = ([line.get_ydata() for line in axes.lines] for axes in figures[0].axes)
    assert np.allclose(np.array(losses[:2]), [[0.6, 0.5, 0.4], [0.65, 0.5, 0.55]])
    assert np.allclose(np.array(accuracies[:2]), [[0.65, 0.7, 0.75], [0.7, 0.7, 0.7]])
    assert_says(caption, "Of 3 epochs, number 2", "0.5000 after 0.6500", "70.0%")


def test_the_confusion_matrix_shows_counts_and_shares_of_rows(figures: list[Figure]) -> None:
    caption = model_plots.confusion_matrix(CONFUSION, "").caption

    assert {"12", "3", "1", "4", "80.0% of row", "20.0% of row"} <= texts(figures)
    assert_says(caption, "Of 15 skipped tracks, 80.0%", "of 5 tracks that were not skipped, 80.0%")


def test_splits_without_sessions_can_be_drawn() -> None:
    assert "none" in plots.class_balance(dict.fromkeys(schema.SPLITS, (0, 0)), "").caption
    assert "none" in plots.session_lengths({}, "").caption
    assert "none" in model_plots.confusion_matrix(np.array([[0, 0], [1, 1]]), "").caption


def test_drift_is_relative_to_the_limit(figures: list[Figure]) -> None:
    drift_plots.drift(DRIFTS, "")
    bars: list[Any] = list(figures[0].axes[0].patches)
    assert [bar.get_width() for bar in bars] == pytest.approx([DRIFTS[0].index / DRIFTS[0].limit])

    drift_plots.distributions(DRIFTS * 5, "")
    assert len(figures[1].axes) == 4
    assert heights(figures[1].axes[0]) == [1.0, 0.0, 0.5, 0.5]
    assert {"radio", "charts", "training", "newest data"} <= texts(figures[1:])


def test_the_roc_curve_of_each_model_is_named_with_its_area(figures: list[Figure]) -> None:
    caption = model_plots.roc(ENTRIES, "").caption
    lines = by_label(figures)

    assert lines.keys() == {"a constant: 0.500", "oracle: 0.800", "fast: 0.800", "constant: 0.500"}
    assert np.array(lines["fast: 0.800"].get_ydata()).tolist() == [0.0, 0.8, 1.0]
    assert "80.0%" in caption


def test_the_reliability_of_each_model_is_named(figures: list[Figure]) -> None:
    caption = model_plots.calibration(ENTRIES, "").caption
    lines = by_label(figures)

    assert lines.keys() == {"right on average", "oracle", "fast", "constant"}
    assert np.array(lines["fast"].get_data()).tolist() == [[0.2, 0.6], [0.1, 0.4]]
    assert_says(caption, "In 2 groups", "15.0 percentage points")  # off by 0.1 and by 0.2


@pytest.mark.parametrize("draw", [model_plots.roc, model_plots.calibration])
def test_the_network_stands_out_and_colours_repeat_after_four_baselines(draw, figures: list[Figure]) -> None:
    draw([BOARD.network, *(entry(f"baseline {i}", 0.6) for i in range(5))], "")

    lines = by_label(figures)
    network = next(line for label, line in lines.items() if label.startswith("fast"))
    others = [line for line in lines.values() if line is not network]
    assert all(network.get_linewidth() > line.get_linewidth() for line in others)
    assert all(network.get_zorder() > line.get_zorder() for line in others)
    colours = [line.get_color() for label, line in lines.items() if label.startswith("baseline")]
    assert len(set(colours)) == 4
    assert colours[0] == colours[4]
    assert network.get_color() not in colours
