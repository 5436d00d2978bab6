"""Every model in one plot, the network on top."""

import dataclasses

import pytest
from matplotlib.lines import Line2D

from skip_pipeline.metrics.curves import ReliabilityBin, RocCurve
from skip_pipeline.report import model_plots
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.report.contents import BOARD, entry

CONSTANT = dataclasses.replace(
    entry("constant", 0.7),
    roc=RocCurve((0.0, 1.0), (0.0, 1.0), 0.5),
    reliability=(ReliabilityBin(20, 0.4, 0.4),),
)
ENTRIES = (entry("oracle", 0.4, kind="oracle"), BOARD.network, CONSTANT)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Line2D]:
    """The lines drawn, by label."""
    drawn: dict[str, Line2D] = {}

    def collect(figure, _source) -> bytes:
        drawn.update({line.get_label(): line for line in figure.axes[0].lines})
        return b""

    monkeypatch.setattr(model_plots, "as_png", collect)
    return drawn


def test_the_roc_curve_of_each_model_is_named_with_its_area(lines: dict[str, Line2D]) -> None:
    caption = model_plots.roc(ENTRIES, "real").caption

    assert set(lines) == {"a constant: 0.500", "oracle: 0.800", "fast: 0.800", "constant: 0.500"}
    assert list(lines["fast: 0.800"].get_ydata()) == [0.0, 0.8, 1.0]
    assert "80.0%" in caption


def test_the_reliability_of_each_model_is_named(lines: dict[str, Line2D]) -> None:
    caption = model_plots.calibration(ENTRIES, "real").caption

    assert set(lines) == {"right on average", "oracle", "fast", "constant"}
    assert list(lines["fast"].get_xdata()) == [0.2, 0.6]
    assert list(lines["fast"].get_ydata()) == [0.1, 0.4]
    assert_says(caption, "In 2 groups", "15.0 percentage points")  # off by 0.1 and by 0.2


@pytest.mark.parametrize("draw", [model_plots.roc, model_plots.calibration])
def test_the_network_stands_out_and_colours_repeat_after_four_baselines(
    draw, lines: dict[str, Line2D]
) -> None:
    draw([BOARD.network, *(entry(f"baseline {i}", 0.6) for i in range(5))], "real")

    network = next(line for label, line in lines.items() if label.startswith("fast"))
    others = [line for line in lines.values() if line is not network]
    assert all(network.get_linewidth() > line.get_linewidth() for line in others)
    assert all(network.get_zorder() > line.get_zorder() for line in others)
    colours = [line.get_color() for label, line in lines.items() if label.startswith("baseline")]
    assert len(set(colours)) == 4
    assert colours[0] == colours[4]
    assert network.get_color() not in colours
