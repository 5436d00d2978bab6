"""The command and its page: what is printed and written, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.world_figures import terminal
from benchmarks.world_figures.comparison import compare
from benchmarks.world_figures.page import number, page, table, verdict
from benchmarks.world_figures.published import figures
from benchmarks.world_figures.terminal import app, measure_folder
from skip_pipeline import settings
from skip_pipeline_tests.builders import TRACKS, deliver, session

Command = Callable[..., Any]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A tiny raw folder with the marker of synthetic data."""
    folder = tmp_path / "raw"
    deliver(folder / "training_set" / "log_mini.csv", [*session("a"), *session("b", 20)])
    deliver(folder / "track_features" / "tf_mini.csv", TRACKS)
    _mark(folder, "training_set/log_mini.csv", "track_features/tf_mini.csv")
    return folder


def _mark(folder: Path, *names: str) -> None:
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": ""} for name in names}
    (folder / settings.SYNTHETIC_MARKER).write_text(json.dumps({"files": files}))


@pytest.fixture
def compared() -> Command:
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of rows on a terminal take a second, which a test of the page need not wait for."""
    monkeypatch.setattr(terminal, "show", lambda *_arguments: None)


def published() -> dict[str, dict[str, float]]:
    return {
        name: {key: figure.value for key, figure in group.figures.items()}
        for name, group in figures().items()
    }


# --- The command ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_world_that_is_far_off_ends_with_status_1_and_a_page(
    compared: Command, raw: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "page.md"
    answer = compared(raw, "--page", target)
    assert answer.exit_code == 1
    assert "90% of all are not reached" in answer.stdout
    assert "Figures that fail" in answer.stdout
    assert f"Page: {target}" in answer.stdout
    assert target.read_text(encoding="utf-8").startswith(
        "# The synthetic world beside the published statistics\n"
    )


def test_a_world_that_reaches_the_figures_ends_with_status_0(
    compared: Command, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "measure", lambda _log, _tracks: published())
    answer = compared(raw, "--no-page")
    assert answer.exit_code == 0
    assert "Measured on synthetic data." in answer.stdout
    assert "0 fail" in answer.stdout


@pytest.mark.usefixtures("unprinted")
def test_without_the_marker_the_page_calls_the_data_real(
    compared: Command, raw: Path, tmp_path: Path
) -> None:
    (raw / settings.SYNTHETIC_MARKER).unlink()
    compared(raw, "--page", tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.startswith("# Real data beside the published statistics\n")
    assert "|figure|published|real|tolerance|" in text
    assert "|synthetic|" not in text


def test_a_folder_that_is_not_there_is_an_error_in_one_line(compared: Command, tmp_path: Path) -> None:
    answer = compared(tmp_path / "nowhere")
    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: ")
    assert "training_set does not exist" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""


def test_shards_are_measured_as_one_log(raw: Path, tmp_path: Path) -> None:
    deliver(tmp_path / "two" / "training_set" / "log_0.csv.gz", session("a"))
    deliver(tmp_path / "two" / "training_set" / "log_1.csv", session("b", 20))
    deliver(tmp_path / "two" / "track_features" / "tf_0.csv", TRACKS[:8])
    deliver(tmp_path / "two" / "track_features" / "tf_1.csv", TRACKS[8:])
    assert measure_folder(tmp_path / "two") == measure_folder(raw)


# --- The page ---------------------------------------------------------------------------------------


def test_the_page_shows_every_group_with_its_sources_and_every_pair() -> None:
    text = page(compare(published()), "synthetic")
    for group in figures().values():
        assert f"<details><summary>{group.title}: " in text
        assert all(f"https://github.com/{source.repo})" in text for source in group.sources)
    assert sum(" ~ " in line for line in text.splitlines()) == 1953 + 378
    assert "## Figures that fail\n\nNone." in text


def test_the_page_gives_failures_with_their_reasons() -> None:
    world = published()
    world["hours"]["16"] = 0.5
    world["skip_2_by_level"]["hist_user_behavior_reason_start_endplay"] = 0.7
    text = page(compare(world), "synthetic")
    assert "|Hours of the day|16|0.069311|0.5|0.43069|0.01|unexplained|" in text
    assert "|20 rows: sampling error 0.387|" in text
    assert "|16|0.069311|**0.5**|0.01|" in text


def test_correlations_are_sorted_by_difference() -> None:
    world = published()
    world["correlations_of_tracks"]["tempo ~ valence"] = -0.9
    text = page(compare(world), "synthetic")
    first = text.split("<details><summary>Correlations over tracks")[1].split("|---|---|---|\n")[1]
    assert first.startswith("|tempo ~ valence|0.059|**-0.900**|\n")


def test_the_verdict_counts_with_and_without_correlations() -> None:
    world = published()
    del world["correlations_of_tracks"]
    sentence = verdict(compare(world))
    judged = len(compare(world).judged)
    assert sentence.startswith(f"Of {judged:,} judged figures {judged - 378:,} pass (")
    assert "(100.0%)" in sentence
    assert "378 fail, 378 of them for no known reason." in sentence


def test_pipes_in_a_cell_are_escaped() -> None:
    assert table(["a"], [["x|y <b>"]]) == "|a|\n|---|\n|x\\|y \\<b>|"


@pytest.mark.parametrize(
    ("value", "text"),
    [(167_880.0, "167,880"), (0.4215033, "0.4215"), (1.0841e-08, "1.0841e-08"), (None, "none"), (0.0, "0")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text
