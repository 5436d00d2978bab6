"""Sessions cut in half: what is kept of them, and what is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import midway
from skip_pipeline import schema
from skip_pipeline.serving.logs import read_whole_log
from skip_pipeline.stages.encode import split_of
from skip_pipeline_tests.builders import Row, deliver, session

SPLITS = {name: int(split_of(np.array([name], object))[0]) for name in (f"s{i}" for i in range(40))}
HELD_OUT = [name for name, split in SPLITS.items() if schema.SPLITS[split] in ("gate", "test")]
OTHERS = [name for name in SPLITS if name not in HELD_OUT]


def log(folder: Path, *sessions: list[Row]) -> Path:
    return deliver(folder / "log.csv", [row for rows in sessions for row in rows])


def test_the_first_half_is_kept_and_the_track_after_it_asked_for(tmp_path: Path) -> None:
    first, second = session(HELD_OUT[0], 11), session(HELD_OUT[1], 14)
    whole = read_whole_log(log(tmp_path, first, session(OTHERS[0], 12), second))
    cut, length, played = midway.halves(whole)

    assert cut.session_id == [HELD_OUT[0], HELD_OUT[1]]
    assert cut.earlier.tolist() == [5, 6]
    assert length.tolist() == [11, 14]
    assert [cut.track_ids[i] for i in cut.rows["track"]] == [
        row["track_id_clean"] for row in (*first[:5], *second[:6])
    ]
    assert cut.next_track_ids == [first[5]["track_id_clean"], second[6]["track_id_clean"]]
    assert played.tolist() == [first[5]["not_skipped"], second[6]["not_skipped"]]
