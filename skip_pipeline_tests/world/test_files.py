"""The files of a small world: spelling, order and what holds within a row and a session.

``python -m benchmarks.world_figures`` compares the statistics of a world with the published ones.
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

from skip_pipeline import schema
from skip_pipeline.world.synthesize import synthesize

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

SESSIONS, TRACKS = 1500, 2000


@dataclass(frozen=True)
class Written:
    """A set of the default layout, as read back from its files."""

    log_path: Path
    track_path: Path
    log: pa.Table
    tracks: pa.Table

    def column(self, name: str) -> npt.NDArray[Any]:
        return np.asarray(self.log.column(name).to_numpy())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("default_world")
    synthesize(out, sessions=SESSIONS, tracks=TRACKS, seed=0)
    log_path, track_path = out / "training_set/log_mini.csv", out / "track_features/tf_mini.csv"
    log, tracks = _read(log_path, schema.SESSION_LOG), _read(track_path, schema.TRACK_FEATURES)
    return Written(log_path, track_path, log, tracks)


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


# --- Sizes and order ------------------------------------------------------------------------------------


def test_log_is_sorted_and_its_sessions_are_whole(written: Written) -> None:
    ids = written.log.column("session_id").combine_chunks()
    positions = written.column("session_position")
    last = positions == written.column("session_length")
    new_session = np.r_[True, last[:-1]]
    assert pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py()
    assert np.array_equal(np.asarray(pc.not_equal(ids[:-1], ids[1:])), new_session[1:])
    assert np.array_equal(positions, np.where(new_session, 1, np.r_[0, positions[:-1]] + 1))
    assert len(pc.unique(ids)) == SESSIONS


def test_track_file_is_sorted_by_release_year(written: Written) -> None:
    years = written.tracks.column("release_year").to_numpy()
    assert (np.diff(years) >= 0).all()
    assert years[-1] == 2018


def test_every_track_is_played_and_every_played_track_is_listed(written: Written) -> None:
    listed = written.tracks.column("track_id").to_pylist()
    assert len(set(listed)) == TRACKS
    assert set(listed) == set(written.log.column("track_id_clean").to_pylist())


# --- Within a row and a session -------------------------------------------------------------------------


def test_skip_flags_are_nested_and_exclude_playing(written: Written) -> None:
    skip_1, skip_2, skip_3, played = (
        written.column(name) for name in ("skip_1", "skip_2", "skip_3", "not_skipped")
    )
    assert not (skip_1 & ~skip_2).any()
    assert not (skip_2 & ~skip_3).any()
    assert not (skip_3 & played).any()
    assert 0 < (~skip_3 & ~played).mean() < 0.05


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
