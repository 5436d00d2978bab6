"""A world: catalogue, play schedule and changes; any block of its sessions can be drawn alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from skip_pipeline.errors import RefusedError
from skip_pipeline.schema import LEVELS, ORACLE
from skip_pipeline.world import constants
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.catalogue import Catalogue, draw_catalogue, play_counts
from skip_pipeline.world.drift import Drift, DriftKind
from skip_pipeline.world.extent import Extent, check_size
from skip_pipeline.world.laws import registry
from skip_pipeline.world.laws.attention import Minds
from skip_pipeline.world.laws.hidden import HiddenStates
from skip_pipeline.world.laws.law import Heard, Law, Scene
from skip_pipeline.world.listeners import Listeners, appeal, contrast, draw_listeners
from skip_pipeline.world.log import UNKNOWN_START_CODE, Places, log_table
from skip_pipeline.world.playback import draw_playback
from skip_pipeline.world.playlists import Playlists, draw_playlists
from skip_pipeline.world.plays import Lengths, PlaySchedule, deal_tracks
from skip_pipeline.world.randomness import Part, ordered_uuid_strings, stream
from skip_pipeline.world.sessions import Behaviour, Setting, browsing_of
from skip_pipeline.world.track_constants import PLAYS_PER_TRACK


@dataclass(frozen=True)
class Block:
    """Some sessions, with their hidden state."""

    log: pa.Table  # (rows, 21), sorted by session id, then position
    oracle: pa.Table  # (sessions, 3), see schema.ORACLE
    places: Places
    scene: Scene
    behaviour: Behaviour
    first: int  # number of the first session in the world

    def cut(self, first: int, last: int) -> tuple[pa.Table, pa.Table]:
        """Log and oracle of the block's sessions among ``first`` to ``last - 1`` of the world."""
        ends = np.concatenate([[0], np.cumsum(self.places.lengths)])
        start, stop = np.clip([first - self.first, last - self.first], 0, len(self.places.lengths)).tolist()
        log = self.log.slice(int(ends[start]), int(ends[stop] - ends[start]))
        return log, self.oracle.slice(start, stop - start)


@dataclass(frozen=True)
class World:
    """Everything that is fixed before the first session.

    Raises:
        RefusedError: a size, the seed or the day of a change is out of range, or there is no such law.
    """

    extent: Extent
    tracks: int  # in the catalogue
    seed: int
    changes: Sequence[Drift] = ()
    catalogue_of: int | None = None  # seed of the catalogue; None for seed
    law: str = registry.DEFAULT  # of the listeners' behaviour, a name in registry.LAWS

    def __post_init__(self) -> None:
        registry.check_law(self.law)
        check_size("tracks", self.tracks, 1, constants.MOST_TRACKS)
        if self.seed < 0:
            raise RefusedError(f"seed is {self.seed}, but must be at least 0; choose 0 or more")
        first, last = self.extent.date_of(0), self.extent.date_of(self.extent.days - 1)
        for drift in self.changes:
            if not first <= drift.since <= last:
                raise RefusedError(
                    f"drift {drift} begins outside the days of the world, {first} to {last}; choose a date "
                    "between them or more days"
                )

    @property
    def rows(self) -> int:
        """Log rows of the whole world."""
        return self._lengths.rows_before(self.extent.blocks)

    @cached_property
    def catalogue(self) -> Catalogue:
        """All tracks; depends on their number and one seed only."""
        return draw_catalogue(stream(self._catalogue_seed, Part.CATALOGUE), self.tracks)

    def block(self, block: int) -> Block:
        """Draw one block; it does not depend on what was drawn before."""
        numbers = self.extent.block_sessions(block)
        listeners = draw_listeners(stream(self.seed, Part.LISTENERS, block), len(numbers))
        places = Places.of(self._lengths.block(block))
        circle = listeners.premium + 2 * self._begun(DriftKind.context_type, numbers)
        played = self._deal(block, places, browsing_of(listeners, circle))
        contrasts = contrast(self._tasted(played), places.session)  # (rows, 10)
        liking = places.spread((contrasts * listeners.taste[places.session]).sum(axis=1))
        lift = self._lift(places, played, listeners, numbers)
        setting = Setting(places.lengths, liking, lift, circle)
        spread = np.stack([places.spread(style) for style in contrasts.T], axis=-1)  # (sessions, 20, 10)
        scene = Scene(
            listeners,
            setting,
            contrasts=spread,
            tracks=places.spread(played.astype(np.float64)).astype(np.int64),
            styles=np.stack([places.spread(style) for style in self.catalogue.styles[played].T], axis=-1),
            drift=np.where(self._begun(DriftKind.skip_rate, numbers), constants.DRIFTED_PATIENCE, 0.0),
        )
        heard = self._law.hear(stream(self.seed, Part.BEHAVIOUR, block), scene)
        behaviour = heard.behaviour
        playback = draw_playback(
            stream(self.seed, Part.PLAYBACK, block),
            behaviour,
            listeners,
            duration=places.spread(self.catalogue.table["duration"].to_numpy()[played]),
            lengths=places.lengths,
            day=np.datetime64(self.extent.date_of(0)) + self.extent.day_of(numbers),
        )
        # The published mini set is the head of file 0 of its day, hence the prefix.
        rng = stream(self.seed, Part.IDENTIFIERS, block)
        ids = ordered_uuid_strings(rng, numbers, of=self.extent.sessions, prefix="0_")
        shown = self._shown(behaviour, block, numbers)
        track_ids = self.catalogue.ids.take(pa.array(played))
        log = log_table(places, shown, playback, session_ids=ids, track_ids=track_ids)
        oracle = _oracle_table(ids, heard)
        return Block(log, oracle, places, scene, behaviour, numbers.start)

    def minds(self, block: int, scene: Scene) -> Minds | None:
        """Hidden states of a block's listeners, as they were drawn; None under the calibrated law.

        Args:
            block: number of the block.
            scene: of that block.
        """
        if isinstance(self._law, HiddenStates):
            return self._law.minds(stream(self.seed, Part.BEHAVIOUR, block), scene)
        return None

    @property
    def _catalogue_seed(self) -> int:
        return self.seed if self.catalogue_of is None else self.catalogue_of

    @cached_property
    def _playlists(self) -> Playlists:
        """Playlists of the catalogue."""
        plays = play_counts(self.catalogue.play_rank, round(PLAYS_PER_TRACK * self.tracks))
        return draw_playlists(stream(self._catalogue_seed, Part.PLAYLISTS), self.catalogue.styles, plays)

    def _tasted(self, played: IntArray) -> FloatArray:
        """What listeners have a taste for: styles and kinds of the track on each row, (rows, 10)."""
        return np.concatenate([self.catalogue.styles[played], self._playlists.kinds[played]], axis=1)

    @cached_property
    def _law(self) -> Law:
        return registry.prepare(self.law, stream(self._catalogue_seed, Part.LAW), self.tracks)

    @cached_property
    def _lengths(self) -> Lengths:
        return Lengths(self.extent, self.seed)

    @cached_property
    def _schedule(self) -> PlaySchedule:
        counts = play_counts(self.catalogue.play_rank, self.rows)
        return PlaySchedule(counts, 1.0 - stream(self.seed, Part.PLAYS).random(len(counts)))

    @cached_property
    def _appeal(self) -> FloatArray:
        """Appeal of each track, with mean 0 over all plays, so that it does not move the skip rate."""
        each = appeal(self.catalogue.styles)
        own = stream(self._catalogue_seed, Part.APPEAL)
        each += constants.TRACK_APPEAL * own.standard_normal(self.tracks)
        counts = self._schedule.counts
        return np.asarray(each - counts @ each / counts.sum(), dtype=np.float64)

    def _begun(self, kind: DriftKind, numbers: range) -> BoolArray:
        """Whether a change of this kind has begun by the day of each session: (len(numbers),)."""
        starts = [(drift.since - self.extent.date_of(0)).days for drift in self.changes if drift.kind is kind]
        return self.extent.day_of(numbers) >= min(starts, default=self.extent.days)

    @cached_property
    def _drift_pool(self) -> IntArray:
        """The most organic tracks, to which plays move when track features drift."""
        count = max(1, round(constants.DRIFT_POOL_SHARE * self.tracks))
        return np.argsort(-self.catalogue.styles[:, 1], kind="stable")[:count]

    def _deal(self, block: int, places: Places, browsing: FloatArray) -> IntArray:
        """Track of each row, index into the catalogue."""
        plays = self._schedule.between(self._lengths.rows_before(block), self._lengths.rows_before(block + 1))
        rng = stream(self.seed, Part.DEALING, block)
        played = deal_tracks(rng, plays, self._playlists, places.session, browsing)
        drifted = self._begun(DriftKind.track_features, self.extent.block_sessions(block))
        if drifted.any():
            rng = stream(self.seed, Part.DRIFT_PLAYS, block)
            moved = drifted[places.session] & (rng.random(len(played)) < constants.DRIFTED_PLAYS)
            played[moved] = rng.choice(self._drift_pool, int(moved.sum()))
        return played

    def _lift(self, places: Places, played: IntArray, listeners: Listeners, numbers: range) -> FloatArray:
        """Attention due to track, hour, premium and drift at each position: (sessions, 20)."""
        hour = (listeners.minute // 60).astype(np.int64)
        of_session = np.array(constants.HOUR_LIFT)[hour]
        of_session = of_session + constants.PREMIUM_LIFT * listeners.premium
        of_session += constants.DRIFTED_PATIENCE * self._begun(DriftKind.skip_rate, numbers)
        return np.asarray(places.spread(self._appeal[played]) + of_session[:, None], dtype=np.float64)

    def _shown(self, behaviour: Behaviour, block: int, numbers: range) -> Behaviour:
        """Reactions as the log shows them: where levels drift, with a level that the vocabulary lacks."""
        drifted = self._begun(DriftKind.unknown_level, numbers)
        if not drifted.any():
            return behaviour
        chance = stream(self.seed, Part.DRIFT_LEVELS, block).random(behaviour.start.shape)
        clicked = behaviour.start == LEVELS["hist_user_behavior_reason_start"].index("clickrow")
        moved = clicked & drifted[:, None] & (chance < constants.DRIFTED_CLICKS)
        return replace(behaviour, start=np.where(moved, UNKNOWN_START_CODE, behaviour.start))


def _oracle_table(ids: pa.Array, heard: Heard) -> pa.Table:
    # Rounded to six decimals, since the last bits may differ between machines. Never 0 or 1, which would make
    # the log-loss of the other outcome infinite.
    shown = [
        np.clip(np.round(chance, 6), 1e-6, 1.0 - 1e-6) for chance in (heard.given_state, heard.given_past)
    ]
    return pa.table([ids, *(pa.array(chance, pa.float32()) for chance in shown)], schema=ORACLE)
