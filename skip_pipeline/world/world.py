"""A world: catalogue, play schedule and changes; any block of its sessions can be drawn alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from skip_pipeline.errors import RefusedError
from skip_pipeline.schema import LEVELS, ORACLE
from skip_pipeline.world import constants, oracle
from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.catalogue import Catalogue, draw_catalogue, play_counts
from skip_pipeline.world.drift import Drift, DriftKind, Drifts
from skip_pipeline.world.extent import Extent, check_size
from skip_pipeline.world.identifiers import ordered_uuid_strings
from skip_pipeline.world.listeners import Listeners, appeal, contrast, draw_listeners
from skip_pipeline.world.log import UNKNOWN_START_CODE, Places, log_table
from skip_pipeline.world.playback import draw_playback
from skip_pipeline.world.plays import Lengths, PlaySchedule, deal_tracks
from skip_pipeline.world.randomness import Part, stream
from skip_pipeline.world.sessions import Behaviour, Setting, browsing_of, circle_of, listen


@dataclass(frozen=True)
class Block:
    """Some sessions, with their hidden state.

    Attributes:
        log: (rows, 21), sorted by session id, then position.
        oracle: (sessions, 3), see ``schema.ORACLE``.
        places: places of the rows in arrays (sessions, 20).
        played: int64 (rows,), index into the catalogue.
        listeners: traits, one per session.
        setting: parts of the attention that are fixed before the session.
        contrasts: float64 (sessions, 20, 6), see ``listeners.contrast``.
        behaviour: reactions, (sessions, 20).
        first: number of the first session in the world.
    """

    log: pa.Table
    oracle: pa.Table
    places: Places
    played: IntArray
    listeners: Listeners
    setting: Setting
    contrasts: FloatArray
    behaviour: Behaviour
    first: int

    def cut(self, first: int, last: int) -> tuple[pa.Table, pa.Table]:
        """Log and oracle of the block's sessions among ``first`` to ``last - 1`` of the world."""
        sessions = slice(max(first - self.first, 0), max(last - self.first, 0))
        ends = np.concatenate([[0], np.cumsum(self.places.lengths)])
        here = ends[: len(self.places.lengths)][sessions]
        rows = int(self.places.lengths[sessions].sum())
        log = self.log.slice(int(here[0]) if len(here) else 0, rows)
        return log, self.oracle.slice(sessions.start, len(here))


@dataclass(frozen=True)
class World:
    """Everything that is fixed before the first session.

    Attributes:
        extent: sizes and cuts.
        tracks: tracks in the catalogue, at least 1.
        seed: non-negative; another seed gives another world.
        changes: drifts and the days on which they begin.
        catalogue_of: seed of the catalogue; None for ``seed``.

    Raises:
        RefusedError: a size, the seed or the day of a change is out of range.
    """

    extent: Extent
    tracks: int
    seed: int
    changes: Sequence[Drift] = ()
    catalogue_of: int | None = None

    def __post_init__(self) -> None:
        check_size("tracks", self.tracks, 1, constants.MOST_TRACKS)
        if self.seed < 0:
            raise RefusedError(f"seed is {self.seed}, but must be at least 0; choose 0 or more")
        Drifts(self.changes, self.extent)

    @property
    def rows(self) -> int:
        """Log rows of the whole world."""
        return self._lengths.rows_before(self.extent.blocks)

    @cached_property
    def catalogue(self) -> Catalogue:
        """All tracks; depends on their number and one seed only."""
        seed = self.seed if self.catalogue_of is None else self.catalogue_of
        return draw_catalogue(stream(seed, Part.CATALOGUE), self.tracks)

    def block(self, block: int) -> Block:
        """Draw one block; it does not depend on what was drawn before."""
        numbers = self.extent.block_sessions(block)
        listeners = draw_listeners(self._stream(Part.LISTENERS, block), len(numbers))
        places = Places.of(self._lengths.block(block))
        circle = circle_of(listeners.premium, self._drifts.holds(DriftKind.context_type, numbers))
        played = self._deal(block, places, browsing_of(listeners, circle))
        contrasts = contrast(self.catalogue.styles[played], places.session)  # (rows, 6)
        liking = places.spread((contrasts * listeners.taste[places.session]).sum(axis=1))
        lift = self._lift(places, played, listeners, numbers)
        setting = Setting(places.lengths, liking, lift, circle)
        behaviour = listen(self._stream(Part.BEHAVIOUR, block), listeners, setting)
        playback = draw_playback(
            self._stream(Part.PLAYBACK, block),
            behaviour,
            listeners,
            duration=places.spread(self._seconds[played]),
            lengths=places.lengths,
            day=np.datetime64(self.extent.date_of(0)) + self.extent.day_of(numbers),
        )
        # The published mini set is the head of file 0 of its day, hence the prefix.
        ids = ordered_uuid_strings(
            self._stream(Part.IDENTIFIERS, block), numbers, of=self.extent.sessions, prefix="0_"
        )
        spread = np.stack([places.spread(style) for style in contrasts.T], axis=-1)  # (sessions, 20, 6)
        return Block(
            log_table(
                places,
                self._shown(behaviour, block, numbers),
                playback,
                session_ids=ids,
                track_ids=self.catalogue.ids.take(pa.array(played)),
            ),
            _oracle_table(ids, behaviour, listeners, setting, spread),
            places,
            played,
            listeners,
            setting,
            spread,
            behaviour,
            numbers.start,
        )

    @cached_property
    def _lengths(self) -> Lengths:
        return Lengths(self.extent, self.seed)

    @cached_property
    def _schedule(self) -> PlaySchedule:
        counts = play_counts(self.catalogue.play_rank, self.rows)
        return PlaySchedule.draw(stream(self.seed, Part.PLAYS), counts)

    @cached_property
    def _seconds(self) -> FloatArray:
        return np.asarray(self.catalogue.table.column("duration").to_numpy(), dtype=np.float64)

    @cached_property
    def _appeal(self) -> FloatArray:
        """Appeal of each track, with mean 0 over all plays, so that it does not move the skip rate."""
        each = appeal(self.catalogue.styles)
        counts = self._schedule.counts
        return np.asarray(each - counts @ each / counts.sum(), dtype=np.float64)

    @cached_property
    def _drifts(self) -> Drifts:
        return Drifts(self.changes, self.extent)

    @cached_property
    def _drift_pool(self) -> IntArray:
        """The most organic tracks, to which plays move when track features drift."""
        count = max(1, round(constants.DRIFT_POOL_SHARE * self.tracks))
        return np.argsort(-self.catalogue.styles[:, 1], kind="stable")[:count]

    def _stream(self, part: Part, block: int) -> np.random.Generator:
        return stream(self.seed, part, block)

    def _deal(self, block: int, places: Places, browsing: FloatArray) -> IntArray:
        """Track of each row, index into the catalogue: int64 (rows,)."""
        plays = self._schedule.between(self._lengths.rows_before(block), self._lengths.rows_before(block + 1))
        played = deal_tracks(
            self._stream(Part.DEALING, block),
            plays,
            self.catalogue.styles,
            places.session,
            browsing,
        )
        drifted = self._drifts.holds(DriftKind.track_features, self.extent.block_sessions(block))
        if drifted.any():
            rng = self._stream(Part.DRIFT_PLAYS, block)
            moved = drifted[places.session] & (rng.random(len(played)) < constants.DRIFTED_PLAYS)
            played[moved] = rng.choice(self._drift_pool, int(moved.sum()))
        return played

    def _lift(self, places: Places, played: IntArray, listeners: Listeners, numbers: range) -> FloatArray:
        """Attention due to track, hour, premium and drift at each position: (sessions, 20)."""
        hour = (listeners.minute // 60).astype(np.int64)
        of_session = np.array(constants.HOUR_LIFT)[hour]
        of_session = of_session + constants.PREMIUM_LIFT * listeners.premium
        of_session += constants.DRIFTED_PATIENCE * self._drifts.holds(DriftKind.skip_rate, numbers)
        return np.asarray(places.spread(self._appeal[played]) + of_session[:, None], dtype=np.float64)

    def _shown(self, behaviour: Behaviour, block: int, numbers: range) -> Behaviour:
        """Reactions as the log shows them: where levels drift, with a level that the vocabulary lacks."""
        drifted = self._drifts.holds(DriftKind.unknown_level, numbers)
        if not drifted.any():
            return behaviour
        chance = self._stream(Part.DRIFT_LEVELS, block).random(behaviour.start.shape)
        clicked = behaviour.start == LEVELS["hist_user_behavior_reason_start"].index("clickrow")
        moved = clicked & drifted[:, None] & (chance < constants.DRIFTED_CLICKS)
        return replace(behaviour, start=np.where(moved, UNKNOWN_START_CODE, behaviour.start))


def _oracle_table(
    ids: pa.Array, behaviour: Behaviour, listeners: Listeners, setting: Setting, contrasts: FloatArray
) -> pa.Table:
    last = oracle.LastTrack.after(behaviour, setting.lengths, setting.circle)
    state = oracle.given_state(last, behaviour, listeners, setting.liking, setting.lengths)
    past = oracle.given_past(last, behaviour, contrasts, setting)
    # Rounded to six decimals, since the last bits may differ between machines. Never 0 or 1, which would make
    # the log-loss of the other outcome infinite.
    least = 1e-6
    shown = [np.clip(np.round(chance, 6), least, 1.0 - least) for chance in (state, past)]
    columns = [ids, *(pa.array(chance, pa.float32()) for chance in shown)]
    return pa.Table.from_arrays(columns, schema=ORACLE)
