"""Changes on a given day: what they change, and that nothing changes before."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from skip_pipeline.errors import RefusedError
from skip_pipeline.schema import LEVELS
from skip_pipeline.world.drift import Drift, DriftKind
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.world import World

EXTENT = Extent(4000, days=2)
SECOND_DAY = date(2018, 7, 16)


def _days(kind: DriftKind | None) -> tuple[World, list[pa.Table]]:
    world = World(EXTENT, 2000, 5, () if kind is None else (Drift(kind, SECOND_DAY),))
    return world, [world.block(block).log for block in range(2)]


@pytest.fixture(scope="module")
def quiet() -> list[pa.Table]:
    return _days(None)[1]


@pytest.mark.parametrize("kind", DriftKind)
def test_days_before_a_change_are_as_without_it(kind: DriftKind, quiet: list[pa.Table]) -> None:
    _, (before, after) = _days(kind)
    assert before.equals(quiet[0])
    assert not after.equals(quiet[1])


def _share(log: pa.Table, column: str, value: object) -> float:
    return float(pc.mean(pc.cast(pc.equal(log.column(column), pa.scalar(value)), pa.float64())).as_py())


def test_a_changed_skip_rate_is_ten_points_of_skips(quiet: list[pa.Table]) -> None:
    _, (_, after) = _days(DriftKind.skip_rate)
    assert _share(after, "skip_2", True) - _share(quiet[1], "skip_2", True) == pytest.approx(0.1, abs=0.04)


def test_changed_contexts_are_more_radio(quiet: list[pa.Table]) -> None:
    _, (_, after) = _days(DriftKind.context_type)
    assert _share(after, "context_type", "radio") > 1.8 * _share(quiet[1], "context_type", "radio")


def test_changed_track_features_are_more_organic_plays(quiet: list[pa.Table]) -> None:
    world, (_, after) = _days(DriftKind.track_features)
    organism = dict(
        zip(
            world.catalogue.ids.to_pylist(), world.catalogue.table.column("organism").to_pylist(), strict=True
        )
    )
    means = [
        np.mean([organism[track] for track in log.column("track_id_clean").to_pylist()])
        for log in (quiet[1], after)
    ]
    assert means[1] - means[0] > 0.05
    moved = set(after.column("track_id_clean").to_pylist())
    assert len(moved) > 0.5 * len(set(quiet[1].column("track_id_clean").to_pylist()))  # not to one track


def test_an_unknown_level_is_one_that_the_vocabulary_lacks(quiet: list[pa.Table]) -> None:
    column = "hist_user_behavior_reason_start"
    _, (_, after) = _days(DriftKind.unknown_level)
    new = set(after.column(column).to_pylist()) - set(LEVELS[column])
    assert new == {"uriopen"}
    assert _share(after, column, "uriopen") == pytest.approx(0.05, abs=0.02)
    both = _share(after, column, "uriopen") + _share(after, column, "clickrow")
    assert both == pytest.approx(_share(quiet[1], column, "clickrow"))


def test_a_change_is_read_as_kind_and_date_and_shown_alike() -> None:
    drift = Drift.parse("skip_rate@2018-07-16")
    assert drift == Drift(DriftKind.skip_rate, SECOND_DAY)
    assert str(drift) == "skip_rate@2018-07-16"


@pytest.mark.parametrize("text", ["", "skip_rate", "skip_rate@3", "weather@2018-07-16", "skip_rate@"])
def test_another_spelling_is_refused_with_the_kinds_there_are(text: str) -> None:
    with pytest.raises(RefusedError, match=r"skip_rate@2018-07-17; kinds are skip_rate, track_features"):
        Drift.parse(text)


@pytest.mark.parametrize("day", ["2018-07-14", "2018-07-17"])
def test_a_change_outside_the_days_is_refused(day: str) -> None:
    with pytest.raises(RefusedError, match=r"outside the days of the world, 2018-07-15 to 2018-07-16"):
        World(EXTENT, 10, 0, (Drift.parse(f"skip_rate@{day}"),))
