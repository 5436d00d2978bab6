"""Every model in one picture, the network on top."""

import pytest
from matplotlib.lines import Line2D

from skip_pipeline.report import comparison_plots
from skip_pipeline.report.comparison_plots import ModelCurves
from skip_pipeline_tests.report.contents import CURVES, RELIABILITY, ROC

BOTH = pytest.mark.parametrize("draw", [comparison_plots.roc, comparison_plots.calibration])


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Line2D]:
    """The lines that are drawn, by label."""
    drawn: dict[str, Line2D] = {}

    def collect(figure, _source) -> bytes:
        drawn.update({line.get_label(): line for line in figure.axes[0].lines})
        return b""

    monkeypatch.setattr(comparison_plots, "as_png", collect)
    return drawn


def test_the_roc_curve_of_each_model_is_named_with_its_area(lines: dict[str, Line2D]) -> None:
    comparison_plots.roc(CURVES, "real")

    assert set(lines) == {"a coin: 0.500", "best possible: 0.800", "fast network: 0.800", "trees: 0.500"}
    assert lines["fast network: 0.800"].get_ydata().tolist() == [0.0, 0.8, 1.0]


def test_the_reliability_of_each_model_is_named(lines: dict[str, Line2D]) -> None:
    comparison_plots.calibration(CURVES, "real")

    assert set(lines) == {"right on average", "best possible", "fast network", "trees"}
    assert lines["fast network"].get_xdata().tolist() == [0.2, 0.6]
    assert lines["fast network"].get_ydata().tolist() == [0.1, 0.4]


@BOTH
def test_the_network_stands_out(draw, lines: dict[str, Line2D]) -> None:
    draw(CURVES, "real")

    network = next(line for label, line in lines.items() if label.startswith("fast network"))
    others = [line for line in lines.values() if line is not network]
    assert all(network.get_linewidth() > line.get_linewidth() for line in others)
    assert all(network.get_zorder() > line.get_zorder() for line in others)
    assert all(network.get_color() != line.get_color() for line in others)


@BOTH
def test_more_models_than_colours_can_be_drawn(draw) -> None:
    many = [ModelCurves(f"baseline {i}", "baseline", ROC, RELIABILITY) for i in range(9)]
    assert draw([CURVES[1], *many], "real").startswith(b"\x89PNG")


def test_a_model_without_sessions_can_be_drawn() -> None:
    assert comparison_plots.calibration([ModelCurves("fast network", "network", ROC, ())], "real")
