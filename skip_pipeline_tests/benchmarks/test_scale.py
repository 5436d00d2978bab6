"""The whole public set from the figures of a small one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.scale import MEASURED_TRACKS, TRACK_BYTES, Scale

RESULTS = {
    "environment": {"cores": 2},
    "benchmarks": {
        "data_path_large": {
            "contenders": {
                "small": {"sessions": 1, "seconds": 9.0, "table_bytes": 9, "bundle_bytes": 9},
                "large": {
                    "sessions": 1_250_000,
                    "seconds": 36.0,
                    "table_bytes": 8_000_000_000,
                    "bundle_bytes": 200_000_000 + MEASURED_TRACKS * TRACK_BYTES,
                },
            },
            "data": {"small": {"log_bytes": 9}, "large": {"log_bytes": 3_600_000_000}},
        },
        "loader": {
            "headline": {"loader_sessions_per_second": 250_000, "network_sessions_per_second": 10_000}
        },
    },
}


def test_a_hundred_times_the_sessions_cost_a_hundred_times_as_much() -> None:
    whole = Scale.of(RESULTS)

    assert whole.core_seconds == pytest.approx(36 * 2 * 100)
    assert whole.hours(2) == pytest.approx(1.0)
    assert whole.raw_bytes == pytest.approx(360e9)
    assert whole.table_bytes == pytest.approx(800e9)
    assert whole.bundle_bytes == pytest.approx(20e9 + 3_700_000 * TRACK_BYTES)
    assert whole.traffic == pytest.approx(360e9 + 2 * 800e9)


def test_more_cores_than_files_help_nothing() -> None:
    whole = Scale.of(RESULTS)

    assert whole.hours(660) == whole.hours(6600)
    assert whole.hours(330) == 2 * whole.hours(660)


def test_the_figures_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    results.write_text(json.dumps(RESULTS))

    assert scale.main([str(results), "--cores", "2", "8"]) == 0

    printed = capsys.readouterr().out
    assert "| on 2 cores | 1.00 hours |" in printed
    assert "| on 8 cores | 0.25 hours |" in printed
