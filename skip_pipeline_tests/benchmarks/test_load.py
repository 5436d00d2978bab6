"""The short form of load and rude clients; ``python -m benchmarks.torture.load`` has the long one."""

import os
from collections import Counter
from random import Random

import pytest

from benchmarks.torture import load
from benchmarks.torture.load import FAULTS, Extent, Outcome, torture
from skip_pipeline.serving.bounds import ServerSettings
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline_tests.serving.asking import running
from skip_pipeline_tests.serving.small_models import data_directory, pack

pytestmark = pytest.mark.slow

HASTY = ServerSettings(idle_seconds=1.0, body_seconds=0.5)
SLOW = ("heads dribbled", "bodies dribbled", "{connections:,} connections at once, nothing said")
EXTENT = Extent(connections=300, seconds=0.3, random=Random(19))  # noqa: S311 - no secret


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Follower:
    return Follower(FolderSource(pack(data_directory(tmp_path_factory.mktemp("load") / "data"))))


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost(follower: Follower, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WHOLE_SECONDS", 20.0)  # other tests share the cores
    with running(follower, HASTY if fault in SLOW else ServerSettings()) as port:
        (outcome,) = torture(port, os.getpid(), EXTENT, times=1, faults=[fault])
    assert outcome.lost == []
    assert outcome.tried >= load.SETTINGS.connections // 2
    assert set(outcome.statuses) & FAULTS[fault][1]


def test_what_is_not_expected_is_a_loss() -> None:
    outcome = Outcome(
        "x", frozenset({"200"}), 3, Counter({"200": 1, "closed": 2}), whole=2.0, growth=load.GROWTH_MIB + 50
    )
    assert outcome.lost == ["2 ended with closed", "no answer for 2.0 s", "memory grew by 500 MiB"]
    assert outcome.row(7) == (
        "| x | 3 | 200 1, closed 2; memory +500 MiB "
        "| 2 ended with closed; no answer for 2.0 s; memory grew by 500 MiB | 2.00 s | 7 |"
    )
    assert Outcome("x", frozenset()).row(7).endswith("| nothing | 0.00 s | 7 |")
