"""Plots: small, sharp, reproducible, marked if synthetic; their numbers and captions."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from skip_pipeline.nightly.drift import find_drift
from skip_pipeline.nightly.profile import Distribution, Profile
from skip_pipeline.report import drift_plots, model_plots, plots
from skip_pipeline.settings import DataSource
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.report.contents import BALANCE, BOARD, CONFUSION, HISTORY, LENGTHS

DRIFTS = find_drift(
    Profile(900, 900, {"context": Distribution(("radio", "charts"), np.array([900, 0]))}),
    Profile(900, 900, {"context": Distribution(("radio", "charts"), np.array([450, 450]))}),
)
PLOTS: dict[str, Callable[[DataSource], bytes]] = {
    "class_balance": lambda source: plots.class_balance(BALANCE, source).png,
    "session_lengths": lambda source: plots.session_lengths(LENGTHS, source).png,
    "training_curves": lambda source: plots.training_curves(HISTORY, 2, source).png,
    "confusion_matrix": lambda source: model_plots.confusion_matrix(CONFUSION, source).png,
    "roc": lambda source: model_plots.roc(BOARD.entries, source).png,
    "calibration": lambda source: model_plots.calibration(BOARD.entries, source).png,
    "drift": lambda source: drift_plots.drift(DRIFTS, source),
    "distributions": lambda source: drift_plots.distributions(DRIFTS, source),
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is drawn."""
    collected: list[Figure] = []
    draw = FigureCanvasAgg.draw

    def collect(canvas: FigureCanvasAgg) -> None:
        draw(canvas)
        collected.append(canvas.figure)

    monkeypatch.setattr(FigureCanvasAgg, "draw", collect)
    return collected


def texts(figures: list[Figure]) -> set[str]:
    return {text.get_text() for figure in figures for text in figure.findobj(Text)}


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_a_plot_is_a_small_png_that_says_if_data_are_synthetic(
    draw: Callable[[DataSource], bytes], figures: list[Figure]
) -> None:
    png = draw("synthetic")

    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert 700 <= int.from_bytes(png[16:20], "big") <= 1300
    assert len(png) < 40_000
    assert plots.SYNTHETIC_CAPTION in texts(figures)
    figures.clear()
    draw("real")
    assert plots.SYNTHETIC_CAPTION not in texts(figures)


def test_equal_numbers_give_equal_bytes() -> None:
    assert PLOTS["confusion_matrix"]("real") == PLOTS["confusion_matrix"]("real")


def test_class_balance_shows_counts_and_shares(figures: list[Figure]) -> None:
    caption = plots.class_balance(BALANCE, "real").caption

    assert {"60\n60.0%", "40\n40.0%", "15\n75.0%", "5\n25.0%"} <= texts(figures)
    assert {"train: 100 sessions", "test: 20 sessions", "skipped 0", "not skipped 1"} <= texts(figures)
    assert_says(caption, "60.0% of the training sessions", "75.0% of the test sessions")


def test_padding_ends_where_the_shortest_session_begins(figures: list[Figure]) -> None:
    caption = plots.session_lengths(LENGTHS, "real").caption
    left, right = figures[0].axes

    assert [bar.get_height() for bar in left.patches] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    # Of lengths 10, 15, 20, 20: the first has 10 steps of padding, the second 5.
    assert [bar.get_height() for bar in right.patches] == [0.5] * 5 + [0.25] * 5 + [0.0] * 9
    assert_says(caption, "50.0% of the sessions have all 20", "19.7% of all steps")  # 15 of 4 * 19


def test_training_curves_mark_the_epoch_that_was_kept(figures: list[Figure]) -> None:
    caption = plots.training_curves(HISTORY, 2, "real").caption

    assert {"epoch 2 kept: 0.500", "epoch 2 kept: 0.700", "training", "validation"} <= texts(figures)
    losses = [line.get_ydata() for line in figures[0].axes[0].lines]
    assert np.allclose(losses[0], [0.6, 0.5, 0.4])
    assert np.allclose(losses[1], [0.65, 0.5, 0.55])
    assert_says(caption, "Of 3 epochs, number 2", "0.5000 after 0.6500", "70.0%")


def test_the_confusion_matrix_shows_counts_and_shares_of_rows(figures: list[Figure]) -> None:
    caption = model_plots.confusion_matrix(CONFUSION, "real").caption

    assert {"12", "3", "1", "4", "80.0% of row", "20.0% of row"} <= texts(figures)
    assert_says(caption, "Of 15 skipped tracks, 80.0%", "of 5 tracks that were not skipped, 80.0%")


def test_splits_without_sessions_can_be_drawn() -> None:
    assert "none" in plots.class_balance({"train": (0, 0), "test": (0, 0)}, "real").caption
    assert "none" in plots.session_lengths({}, "real").caption
    assert "none" in model_plots.confusion_matrix(np.array([[0, 0], [1, 1]]), "real").caption


def test_drift_is_relative_to_the_limit_and_alarms_are_coloured(figures: list[Figure]) -> None:
    drift_plots.drift(DRIFTS, "real")
    (bar,) = figures[0].axes[0].patches
    assert bar.get_width() == pytest.approx(DRIFTS[0].index / DRIFTS[0].limit)

    drift_plots.distributions(DRIFTS * 5, "real")
    assert len(figures[1].axes) == 4
    assert [bar.get_height() for bar in figures[1].axes[0].patches] == [1.0, 0.0, 0.5, 0.5]
    assert {"radio", "charts", "training", "newest data"} <= texts(figures[1:])
