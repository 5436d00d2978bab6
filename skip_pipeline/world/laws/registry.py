"""Every law by its name. Nothing heavy is imported before a law is prepared, for ``--help`` reads this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skip_pipeline.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from skip_pipeline.world.laws.law import Law

DEFAULT: Final = "calibrated"
LAWS: Final = {
    DEFAULT: "patience, taste and mood, tuned to the published statistics",
    "changing_states": "listeners explore, play in the background or hunt, and change between the three",
    "track_appeal": "each track has an appeal that no feature tells, each listener a patience",
    "regions": "a listener likes one region of the music, and energy suits some hours",
    "habits": "position, hour, premium, context and the last outcome decide, no taste",
    "mixture": "each session follows changing_states, track_appeal, regions or habits",
}
"""Each law in one line."""


def check_law(name: str) -> None:
    """Raise RefusedError for an unknown name."""
    if name not in LAWS:
        raise RefusedError(f"law is {name!r}, but must be a name of a law; choose {', '.join(LAWS)}")


def prepare(name: str, rng: np.random.Generator, tracks: int) -> Law:
    """The law of a name for a catalogue of ``tracks`` tracks, to which ``rng`` belongs."""
    from skip_pipeline.world.laws.calibrated import Calibrated
    from skip_pipeline.world.laws.changing_states import ChangingStates
    from skip_pipeline.world.laws.habits import Habits
    from skip_pipeline.world.laws.mixture import Mixture
    from skip_pipeline.world.laws.regions import Regions
    from skip_pipeline.world.laws.track_appeal import TrackAppeal

    makers: dict[str, Callable[[], Law]] = {
        DEFAULT: Calibrated,
        "changing_states": ChangingStates,
        "track_appeal": lambda: TrackAppeal(rng, tracks),
        "regions": lambda: Regions(rng),
        "habits": Habits,
        "mixture": lambda: Mixture([ChangingStates(), TrackAppeal(rng, tracks), Regions(rng), Habits()]),
    }
    return makers[name]()
