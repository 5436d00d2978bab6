"""Pauses, clocks and tariffs, drawn for reactions written down by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.playback import draw_playback
from skip_pipeline.world.sessions import PLAYED, SKIP_1, Behaviour

DAY = np.datetime64("2018-07-20")


def _drawn(
    sessions: int, *, outcome: int = PLAYED, minute: float = 600.0, premium: bool = True, length: int = 20
) -> dict[str, Any]:
    shape = (sessions, 20)
    nothing, off, zeros = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    trackdone = nothing + 7
    behaviour = Behaviour(np.full(shape, outcome), trackdone, nothing, nothing, off, off, zeros)
    none = np.zeros(sessions)
    hidden = none, np.zeros((sessions, 6)), np.zeros((sessions, 2)), none, none
    listeners = Listeners(*hidden, np.full(sessions, premium), np.full(sessions, minute))
    return draw_playback(
        np.random.default_rng(0),
        behaviour,
        listeners,
        duration=np.full(shape, 180.0),
        lengths=np.full(sessions, length),
        day=np.full(sessions, DAY),
    )


def test_the_first_track_has_no_pause_flag_and_every_other_has_one_or_two() -> None:
    drawn = _drawn(300)
    no, short, long = (drawn[f"{kind}_pause_before_play"] for kind in ("no", "short", "long"))
    flags = no.astype(int) + (short | long)
    assert (flags[:, 0] == 0).all()
    assert (flags[:, 1:] == 1).all()
    assert (short & long).sum() > 50 * (short & ~long).sum()


def test_hours_follow_from_what_was_heard() -> None:
    assert (_drawn(2, minute=23 * 60 + 50.0, outcome=SKIP_1)["hour_of_day"][:, 0] == 23).all()
    hour = _drawn(200, minute=600.0)["hour_of_day"]
    heard = (hour[:, -1] - hour[:, 0]) * 60
    assert (heard >= 0).all()
    assert heard.max() == 60  # 19 tracks of 3 minutes pass one full hour, or two with pauses


def test_a_session_over_midnight_ends_on_its_logs_day_and_begins_the_day_before() -> None:
    dates = _drawn(400, minute=23 * 60 + 50.0)["date"]
    on_the_day = dates[:, -1] == DAY
    assert on_the_day.mean() > 0.6
    assert (dates[on_the_day, 0] == DAY - 1).all()


@pytest.mark.parametrize("premium", [True, False])
def test_premium_is_the_listeners_but_for_the_few_whose_subscription_ends(premium: bool) -> None:
    share = _drawn(20_000, premium=premium, length=15)["premium"][:, :15].mean(axis=1)
    mixed = (share > 0) & (share < 1)
    assert 0 < mixed.mean() < 0.001
    assert share[~mixed].mean() == premium
    assert (share[mixed] >= 12 / 15).all()
