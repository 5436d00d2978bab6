from collections.abc import Callable

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from skip_pipeline.report import comparison_plots, plots
from skip_pipeline.settings import DataSource
from skip_pipeline_tests.report.contents import BALANCE, CONFUSION, CURVES, HISTORY, LENGTHS

PLOTS: dict[str, Callable[[DataSource], bytes]] = {
    "class_balance": lambda source: plots.class_balance(BALANCE, source),
    "session_lengths": lambda source: plots.session_lengths(LENGTHS, source),
    "training_curves": lambda source: plots.training_curves(HISTORY, 2, source),
    "confusion_matrix": lambda source: plots.confusion_matrix(CONFUSION, source),
    "roc": lambda source: comparison_plots.roc(CURVES, source),
    "calibration": lambda source: comparison_plots.calibration(CURVES, source),
}
every_plot = pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything written in the figures that are drawn, collected as they are drawn."""
    collected: list[str] = []
    draw = FigureCanvasAgg.draw

    def collect(canvas: FigureCanvasAgg) -> None:
        draw(canvas)
        collected.extend(text.get_text() for text in canvas.figure.findobj(Text))

    monkeypatch.setattr(FigureCanvasAgg, "draw", collect)
    return collected


@every_plot
def test_it_is_a_small_png_that_is_sharp_at_the_size_a_page_shows(
    draw: Callable[[DataSource], bytes],
) -> None:
    png = draw("synthetic")
    width = int.from_bytes(png[16:20], "big")

    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert 700 <= width <= 1300
    assert len(png) < 40_000


@every_plot
def test_it_says_when_the_data_is_synthetic(draw: Callable[[DataSource], bytes], texts: list[str]) -> None:
    draw("synthetic")
    assert plots.SYNTHETIC_CAPTION in texts


@every_plot
def test_it_says_nothing_of_the_kind_of_real_data(
    draw: Callable[[DataSource], bytes], texts: list[str]
) -> None:
    draw("real")
    assert not any("synthetic" in text for text in texts)


@every_plot
def test_equal_numbers_give_equal_bytes(draw: Callable[[DataSource], bytes]) -> None:
    assert draw("real") == draw("real")


def test_class_balance_shows_counts_and_shares(texts: list[str]) -> None:
    PLOTS["class_balance"]("real")
    assert {"60\n60.0%", "40\n40.0%", "15\n75.0%", "5\n25.0%"} <= set(texts)
    assert {"train: 100 sessions", "test: 20 sessions", "skipped 0", "not skipped 1"} <= set(texts)


def test_padding_ends_where_the_shortest_session_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    heights: list[float] = []

    def collect(figure: Figure, _: DataSource) -> bytes:
        heights.extend(bar.get_height() for bar in figure.axes[1].patches)
        return b""

    monkeypatch.setattr(plots, "as_png", collect)
    PLOTS["session_lengths"]("real")

    # Of lengths 10, 15, 20, 20: the first has 10 steps of padding, the second 5.
    assert heights == [0.5] * 5 + [0.25] * 5 + [0.0] * 9


def test_training_curves_mark_the_epoch_that_was_kept(texts: list[str]) -> None:
    PLOTS["training_curves"]("real")
    assert {"epoch 2 kept: 0.500", "epoch 2 kept: 0.700", "training", "validation"} <= set(texts)


def test_the_confusion_matrix_shows_counts_and_shares_of_rows(texts: list[str]) -> None:
    PLOTS["confusion_matrix"]("real")
    assert {"12", "3", "1", "4", "80.0% of row", "20.0% of row"} <= set(texts)


def test_splits_without_sessions_can_be_drawn() -> None:
    assert plots.class_balance({"train": (0, 0), "test": (0, 0)}, "real")
    assert plots.session_lengths({}, "real")
