"""A few kills of the cheap stages, and the page that the rows of all faults make."""

from pathlib import Path

import pytest

from benchmarks.torture import kills, page, tally, writes
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import publish


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "tried"),
    [
        ("--kills 2 --assets merged_table", ["merged_table, disk", "a new data directory, disk"]),
        ("--kills 1 --assets session_logs --s3", ["session_logs, S3"]),
    ],
)
def test_killed_runs_leave_whole_stages_and_the_next_run_completes(
    words: str, tried: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = kills.main(words.split())

    rows = page.rows_in(capsys.readouterr().out)
    assert status == 0, rows
    (read,) = [row for row in rows if row.startswith("| reading")]
    assert " read right " in read
    rows.remove(read)
    assert [f"{name} | 1 |" in row for name, row in zip(tried, rows, strict=True)] == [True] * len(tried)


def test_a_file_that_differs_from_its_manifest_is_told(tmp_path: Path) -> None:
    with publish(tmp_path, stage="merged_table", data_source="synthetic") as staging:
        staging.path("a.txt").write_text("1")
    manifests = {"merged_table": staging.manifest}
    assert writes.torn(manifests) == []
    staging.manifest.path("a.txt").unlink()
    staging.manifest.path("a.txt").write_text("2")

    assert writes.torn(manifests) == ["merged_table has a torn a.txt"]


def test_a_reader_counts_whole_generations_and_tells_what_is_torn(tmp_path: Path) -> None:
    layout, read = DataLayout(tmp_path), tally.Tally("reading")
    for text in "12":
        with publish(layout.merged, stage="merged_table", data_source="synthetic") as staging:
            staging.path("a.txt").write_text(text)
    kills.read_once(layout, read)
    assert (read.outcomes, read.lost) == ({tally.READ: 1}, [])
    staging.manifest.path("a.txt").write_text("3")
    kills.read_once(layout, read)
    assert read.lost == ["merged_table has a torn a.txt"]


def test_the_page_has_the_rows_of_every_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "COMMANDS", ("this -c",))
    found = tally.Tally("SIGKILL in merged_table", 7, {tally.OLD: 1}, [1.0, 2.0], ["gone"])
    text = page.page(page.rows_in(f"{tally.HEAD}\n{found.row()}\n"))

    row = "| SIGKILL in merged_table | 2 | old and whole 1, otherwise 1 | 1: gone | 1.0 to 2.0 s | 7 |"
    assert f"{tally.HEAD}\n{row}\n" in text
    assert "`python -m this -c`" in text


def test_the_page_is_written_from_saved_outputs(tmp_path: Path) -> None:
    target, saved = tmp_path / "page.md", tmp_path / "saved.txt"
    whole, lost = tally.Tally("one", 1, {tally.OLD: 3}), tally.Tally("two", 1, lost=["gone"])
    saved.write_text(f"{tally.HEAD}\n{whole.row()}\n")
    assert page.main([str(target), str(saved)]) == 0
    assert whole.row() in target.read_text()

    saved.write_text(f"{tally.HEAD}\n{whole.row()}\n{lost.row()}\n")
    assert page.main([str(target), str(saved)]) == 1
    assert f"{whole.row()}\n{lost.row()}\n" in target.read_text()


def test_a_module_that_prints_no_row_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"json.tool --help .* no row"):
        page.output_of("json.tool --help")
