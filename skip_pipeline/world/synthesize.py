"""The way into the world: arguments in, a raw data set out.

The order in which the parts are drawn and written; how each part behaves is in the other modules.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline.errors import RefusedError
from skip_pipeline.world.circumstances import draw_circumstances
from skip_pipeline.world.identifiers import uuid_strings
from skip_pipeline.world.listeners import Listeners, draw_listeners, liking
from skip_pipeline.world.log import Places, log_table
from skip_pipeline.world.plays import deal_tracks, draw_lengths
from skip_pipeline.world.publishing import prepare_folders, publish_set
from skip_pipeline.world.sessions import Behaviour, listen
from skip_pipeline.world.tracks import Catalogue, draw_catalogue, play_counts

GENERATOR_VERSION = 1
"""Goes up whenever the same arguments give other bytes, so that a set can be told from its successors."""

_NOTE = (
    "The CSV files listed here are synthetic: drawn by a random number generator that imitates published "
    "statistics of the Spotify sequential skip prediction data. No real listener is in them, and no figure "
    "measured on them is a measurement of the real data."
)


@dataclass(frozen=True)
class SynthesisSummary:
    """What was written: paths of log, track features and marker, their sizes, and the seconds it took."""

    paths: tuple[Path, ...]
    rows: int
    sessions: int
    tracks: int
    seconds: float


@dataclass(frozen=True)
class World:
    """A whole world in memory, with the hidden state that no CSV shows.

    Attributes:
        log: (rows, 21), sorted by session id, then position; rows of session i are those of place i.
        catalogue: tracks and their styles.
        listeners: traits, one a session.
        places: where the rows lie in arrays (sessions, 20).
        behaviour: reactions, with the true chance of each track to be played.
    """

    log: pa.Table
    catalogue: Catalogue
    listeners: Listeners
    places: Places
    behaviour: Behaviour


def synthesize(out: Path, *, sessions: int, tracks: int, seed: int) -> SynthesisSummary:
    """Write a synthetic data set in the layout and spelling of the public archives.

    ``out`` receives ``training_set/log_mini.csv``, ``track_features/tf_mini.csv`` and ``SYNTHETIC.json``. The
    same arguments give the same bytes. An earlier synthetic set there is replaced, as a whole or not at all.

    Args:
        out: folder of the raw data; made if missing.
        sessions: listening sessions of 10 to 20 tracks, at least 1.
        tracks: tracks in the catalogue, at least 1.
        seed: non-negative; another seed gives another world.

    Raises:
        RefusedError: the arguments make no sense, ``out`` cannot be written, or it holds CSVs that are not
            of an earlier synthetic set.
    """
    started = time.perf_counter()
    _check_arguments(sessions=sessions, tracks=tracks, seed=seed)
    prepare_folders(out)
    world = draw_world(sessions=sessions, tracks=tracks, seed=seed)
    description = {
        "generator_version": GENERATOR_VERSION,
        "note": _NOTE,
        "seed": seed,
        "sessions": sessions,
        "tracks": tracks,
    }
    paths = publish_set(out, log=world.log, tracks=world.catalogue.table, description=description)
    return SynthesisSummary(
        paths=tuple(paths),
        rows=world.log.num_rows,
        sessions=sessions,
        tracks=tracks,
        seconds=round(time.perf_counter() - started, 3),
    )


def draw_world(*, sessions: int, tracks: int, seed: int) -> World:
    """Draw a world in memory; arguments as for ``synthesize``, taken as valid."""
    # One stream a part: what one part draws never shifts another.
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)]
    for_catalogue, for_listeners, for_lengths, for_plays, for_behaviour, for_circumstances, for_ids = streams
    catalogue = draw_catalogue(for_catalogue, tracks)
    listeners = draw_listeners(for_listeners, sessions)
    places = Places.of(draw_lengths(for_lengths, sessions))
    counts = play_counts(catalogue.play_rank, len(places.session))
    played = deal_tracks(for_plays, counts, catalogue.styles, places.session, listeners.browsing)  # (rows,)
    likings = liking(listeners, catalogue.styles[played], places.session)
    behaviour = listen(for_behaviour, listeners, places.lengths, places.spread(likings))
    seconds = _durations(catalogue)[played]
    log = log_table(
        places,
        behaviour,
        draw_circumstances(for_circumstances, behaviour, places.spread(seconds), places.lengths),
        session_ids=_session_ids(for_ids, sessions),
        track_ids=catalogue.ids.take(pa.array(played)),
        premium=listeners.premium,
    )
    return World(log, catalogue, listeners, places, behaviour)


def _check_arguments(*, sessions: int, tracks: int, seed: int) -> None:
    for name, value, least in (("sessions", sessions, 1), ("tracks", tracks, 1), ("seed", seed, 0)):
        if value < least:
            raise RefusedError(f"{name} is {value}, but must be at least {least}; choose {least} or more")


def _session_ids(rng: np.random.Generator, sessions: int) -> pa.Array:
    # The published mini set is the head of file 0 of its day, hence the prefix.
    ids = uuid_strings(rng, sessions, prefix="0_")
    return ids.take(pc.sort_indices(ids))


def _durations(catalogue: Catalogue) -> npt.NDArray[np.float64]:
    return np.asarray(catalogue.table.column("duration").to_numpy(), dtype=np.float64)
