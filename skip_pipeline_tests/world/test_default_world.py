"""A world of the default size: its format, sizes and order are those of the published mini set.

Its statistics are held to the published ones in ``calibration``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv

from skip_pipeline import schema, settings
from skip_pipeline.world.synthesize import SynthesisSummary, synthesize

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

# Published sessions of each length.
SESSIONS_BY_LENGTH = {
    10: 819, 11: 752, 12: 646, 13: 547, 14: 459, 15: 435, 16: 339, 17: 320, 18: 303, 19: 314, 20: 5066,
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """The default set as read back from its files; flags are numpy arrays (rows,)."""

    summary: SynthesisSummary
    log_path: Path
    track_path: Path
    log: pa.Table
    tracks: pa.Table

    def column(self, name: str) -> npt.NDArray[Any]:
        """Column of the log as numpy, (rows,)."""
        return np.asarray(self.log.column(name).to_numpy())

    @property
    def is_last(self) -> npt.NDArray[np.bool_]:
        """Rows that are the last of their session, (rows,)."""
        return np.asarray(self.column("session_position") == self.column("session_length"))

    def share(self, name: str, value: object = 1) -> float:
        """Share of log rows with a value."""
        return float((self.column(name) == value).mean())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("default_world")
    summary = synthesize(
        out,
        sessions=settings.SYNTHETIC_SESSIONS,
        tracks=settings.SYNTHETIC_TRACKS,
        seed=settings.SYNTHETIC_SEED,
    )
    log_path, track_path = out / "training_set/log_mini.csv", out / "track_features/tf_mini.csv"
    return Written(
        summary,
        log_path,
        track_path,
        _read(log_path, schema.SESSION_LOG),
        _read(track_path, schema.TRACK_FEATURES),
    )


def _read(path: Path, contract: pa.Schema) -> pa.Table:
    types = {field.name: field.type for field in contract}
    options = csv.ConvertOptions(column_types=types, true_values=["true"], false_values=["false"])
    return csv.read_csv(path, convert_options=options)


# --- Format ---------------------------------------------------------------------------------------------


def test_headers_are_the_published_ones_byte_for_byte(written: Written) -> None:
    for path, contract in (
        (written.log_path, schema.SESSION_LOG),
        (written.track_path, schema.TRACK_FEATURES),
    ):
        with path.open("rb") as handle:
            assert handle.readline() == ",".join(contract.names).encode() + b"\n"


def test_a_log_row_is_spelt_like_a_published_row(written: Written) -> None:
    cells = (
        f"0_{UUID}", r"\d+", r"\d+", f"t_{UUID}", *["(true|false)"] * 4, *["[01]"] * 4, r"\d+", r"\d+",
        "(true|false)", r"\d+", r"2018-0[567]-\d\d", "(true|false)", "[a-z_]+", "[a-z]+", "[a-z]+",
    )  # fmt: skip
    row = re.compile(",".join(cells))
    with written.log_path.open(encoding="ascii") as handle:
        next(handle)
        assert all(row.fullmatch(line.rstrip("\n")) for line in handle)


def test_a_track_row_holds_numbers_and_a_mode_without_quotes(written: Written) -> None:
    whole = {"release_year": r"\d{4}", "key": r"\d+", "time_signature": "[01345]", "mode": "(major|minor)"}
    number = r"-?\d+(\.\d+)?(e-?\d+)?"
    cells = [whole.get(name, number) for name in schema.TRACK_ATTRIBUTES]
    row = re.compile(",".join([f"t_{UUID}", *cells]))
    with written.track_path.open(encoding="ascii") as handle:
        next(handle)
        assert all(row.fullmatch(line.rstrip("\n")) for line in handle)


def test_files_parse_to_the_contract_without_nulls(written: Written) -> None:
    for table, contract in ((written.log, schema.SESSION_LOG), (written.tracks, schema.TRACK_FEATURES)):
        assert table.schema.equals(contract)
        assert all(column.null_count == 0 for column in table.columns)


def test_levels_and_ranges_are_those_of_the_mini_set(written: Written) -> None:
    for column, levels in schema.LEVELS.items():
        table = written.tracks if column == "mode" else written.log
        assert set(pc.unique(table.column(column)).to_pylist()) == set(levels)
    for column, (low, high) in schema.RAW_RANGES.items():
        values = written.column(column)
        assert low <= values.min()
        assert values.max() <= high


# --- Sizes and order ------------------------------------------------------------------------------------


def test_sizes_are_exactly_the_published_ones(written: Written) -> None:
    assert (written.log.num_rows, written.log.num_columns) == (167_880, 21)
    assert (written.tracks.num_rows, written.tracks.num_columns) == (50_704, 30)
    assert (written.summary.rows, written.summary.sessions, written.summary.tracks) == (
        167_880,
        10_000,
        50_704,
    )


def test_session_lengths_are_exactly_the_published_ones(written: Written) -> None:
    lengths, sessions = np.unique(written.column("session_length")[written.is_last], return_counts=True)
    assert dict(zip(lengths.tolist(), sessions.tolist(), strict=True)) == SESSIONS_BY_LENGTH


def test_log_is_sorted_and_its_sessions_are_whole(written: Written) -> None:
    ids = written.log.column("session_id").combine_chunks()
    positions, last = written.column("session_position"), written.is_last
    new_session = np.r_[True, last[:-1]]
    assert pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py()
    assert np.array_equal(np.asarray(pc.not_equal(ids[:-1], ids[1:])), new_session[1:])
    assert np.array_equal(positions, np.where(new_session, 1, np.r_[0, positions[:-1]] + 1))
    assert len(pc.unique(ids)) == 10_000


def test_track_file_is_sorted_by_release_year(written: Written) -> None:
    years = written.tracks.column("release_year").to_numpy()
    assert (np.diff(years) >= 0).all()
    assert (years[0], years[-1]) == (1950, 2018)


def test_every_track_is_played_and_every_played_track_is_listed(written: Written) -> None:
    listed = written.tracks.column("track_id").to_pylist()
    assert len(set(listed)) == 50_704
    assert set(listed) == set(written.log.column("track_id_clean").to_pylist())


def test_plays_have_the_published_long_tail(written: Written) -> None:
    plays = pc.value_counts(written.log.column("track_id_clean")).field("counts").to_numpy()
    assert np.sort(plays)[::-1][:5] == pytest.approx([1427, 915, 785, 730, 719], rel=0.01)
    assert np.median(plays) <= 2


# --- Within a row and a session -------------------------------------------------------------------------


def test_skip_flags_are_nested_and_exclude_playing(written: Written) -> None:
    skip_1, skip_2, skip_3, played = (
        written.column(name) for name in ("skip_1", "skip_2", "skip_3", "not_skipped")
    )
    assert not (skip_1 & ~skip_2).any()
    assert not (skip_2 & ~skip_3).any()
    assert not (skip_3 & played).any()
    assert (~skip_3 & ~played).mean() == pytest.approx(0.0187, abs=0.002)


def test_premium_changes_in_a_handful_of_sessions_and_never_begins(written: Written) -> None:
    premium, first = written.column("premium"), written.column("session_position") == 1
    before = premium[np.flatnonzero(~first) - 1]
    assert not (premium[~first] & ~before).any()
    assert (before & ~premium[~first]).sum() <= 8


def test_no_pause_flag_is_set_at_the_first_position_and_one_kind_later(written: Written) -> None:
    no, short, long = (written.column(f"{kind}_pause_before_play") for kind in ("no", "short", "long"))
    first = written.column("session_position") == 1
    assert not (no | short | long)[first].any()
    assert (no ^ (short | long))[~first].all()


def test_hours_go_forward_and_dates_follow_midnight(written: Written) -> None:
    first = written.column("session_position") == 1
    days = np.asarray(written.column("date"), dtype="datetime64[D]").astype(np.int64)
    steps = np.diff(24 * days + written.column("hour_of_day").astype(np.int64))[~first[1:]]
    assert steps.min() >= 0
    assert (steps > 0).mean() < 0.1


def test_a_start_mostly_repeats_the_end_before_it(written: Written) -> None:
    starts, ends = (written.column(f"hist_user_behavior_reason_{which}") for which in ("start", "end"))
    later = np.flatnonzero(written.column("session_position") > 1)
    assert (starts[later] == ends[later - 1]).mean() == pytest.approx(173 / 189, abs=0.03)


# --- Difficulty -------------------------------------------------------------------------------------------


def test_skipping_is_the_commoner_answer_and_the_last_outcome_again_a_better_one(
    written: Written,
) -> None:
    played, last = written.column("not_skipped"), np.flatnonzero(written.is_last)
    assert 1.0 - played[last].mean() == pytest.approx(0.55, abs=0.015)
    assert (played[last] == played[last - 1]).mean() == pytest.approx(0.71, abs=0.02)
