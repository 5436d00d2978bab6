"""Bundles of a few random sessions with a rule that any network can learn."""

import numpy as np

from skip_pipeline import schema


def tiny_bundle(sessions: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random sessions of 10 to 20 tracks by listeners who play, or skip, nine in ten; noise elsewhere.

    The last two tracks always go that way, so that the last outcome is the one before again.
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
    bundle["session_log"][:, :, schema.SESSION_LOG_BRANCH.index(schema.LABEL)] = outcome
    for name in ("session_log", "previous_tracks"):
        bundle[name] *= real[:, :, None]
    bundle["skip_sequence"] = np.where(real, outcome, schema.SKIP_PADDING).astype(np.float32)[:, :, None]
    bundle[schema.LABEL] = listener.astype(np.float32)
    return bundle
