"""Bundles of a few random sessions with a rule that any network can learn."""

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.track_memory import TrackMemory, remember

TRACKS = 40


def tiny_bundle(sessions: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random sessions of 10 to 20 tracks by listeners who play, or skip, nine in ten; noise elsewhere.

    The last two tracks always go that way, so that the last outcome is the one before again. Tracks are 40,
    drawn at random; their memory is that of a training split.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1, sessions)
    real = np.arange(schema.STEPS) >= schema.STEPS - (lengths - 1)[:, None]  # (n, T), padding in front
    listener = random.integers(0, 2, sessions)
    listener[:2] = (0, 1)  # both classes, whatever the seed
    outcome = np.where(
        random.random((sessions, schema.STEPS)) < 0.9, listener[:, None], 1 - listener[:, None]
    )
    outcome[:, -1] = listener
    bundle = {
        name: random.random((sessions, *shape), dtype=np.float32)
        for name, shape in schema.BRANCH_SHAPES.items()
    }
    played = np.column_stack([outcome, listener])  # (n, 20)
    depth = random.integers(0, 4, played.shape)
    flags = (depth[:, :, None] <= np.arange(3)) & (played == 0)[:, :, None]  # (n, 20, 3), nested
    of_log = {
        schema.POSITION: np.cumsum(real, axis=1),
        schema.LENGTH: np.broadcast_to(lengths[:, None], real.shape),
        schema.LABEL: outcome,
        **{name: flags[:, :-1, i] for i, name in enumerate(schema.OUTCOME_FLAGS[:3])},
    }
    for name, values in of_log.items():
        bundle["session_log"][:, :, schema.SESSION_LOG_BRANCH.index(name)] = values
    for name in ("session_log", "previous_tracks"):
        bundle[name] *= real[:, :, None]
    bundle["skip_sequence"] = np.where(real, outcome, schema.SKIP_PADDING).astype(np.float32)[:, :, None]
    bundle[schema.LABEL] = listener.astype(np.float32)
    bundle["last_flags"] = flags[:, -1].astype(np.float32)
    bundle["circumstances"] = random.uniform(-1, 1, (sessions, 5)).astype(np.float32)
    numbers = random.integers(0, TRACKS, (sessions, schema.STEPS + 1))
    bundle["track_numbers"] = np.where(np.pad(real, ((0, 0), (0, 1)), constant_values=True), numbers, -1.0)
    bundle["track_numbers"] = bundle["track_numbers"].astype(np.float32)
    return bundle | whole_history(sessions) | memory_of(bundle)


def whole_history(sessions: int) -> dict[str, np.ndarray]:
    """The inputs that let every target see all steps before it."""
    return {
        "visible_steps": np.full((sessions, 1), schema.STEPS, np.float32),
        "tracks_between": np.zeros((sessions, 1), np.float32),
    }


def memory_of(bundle: dict[str, np.ndarray], tracks: int = TRACKS) -> dict[str, np.ndarray]:
    """``track_memory`` of a training split, in memory."""
    remembered = remember({"train": bundle}, TrackMemory.fit(bundle, tracks))["train"]
    return {"track_memory": remembered["track_memory"][:]}
