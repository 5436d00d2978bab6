"""Limits by which a night is judged: promotion and drift, each with its reason beside it."""

from typing import Final

# --- Promotion ----------------------------------------------------------------------------------------

PROMOTION_MARGIN: Final = 0.01
"""Nats of log-loss by which a challenger may be worse than an opponent. One more night of data rarely makes a
model clearly better; it must be promoted all the same, or the champion's data would age. A tenth of what the
network gains on going by the last outcome. Half of it may be measured against the best version: without that,
slow decay over 200 nights adds up to more than the margin in 3 of 100 simulations, with it in none of 200
(``benchmarks.nights_by_hundred``)."""

GATE_CONFIDENCE: Final = 0.99
"""Of every two-sided interval that the gate decides by; of all slices together. By chance an equal challenger
is significantly worse in 1 of 200 comparisons."""

PROMOTION_SLICE_LIMITS: Final[dict[str, float]] = {"context_type": 0.05, "premium": 0.03}
"""A significant fall of accuracy above these limits in any slice refuses a challenger: a gain on average must
not come from a loss for one kind of playlist, or for paying or free listeners."""

LEAST_GATE_SESSIONS: Final = 100
"""The gate compares models on at least so many sessions: the pool, the newest day, and each slice. Intervals
are normal approximations, and with a tenth of the answers changed, ten of 100 sessions differ: fewer make
neither a normal mean nor a standard error."""

POWER: Final = 0.9
"""Probability with which the smallest worsening that is shown is caught."""

EQUAL_REFUSED_LIMIT: Final = 0.05
"""Probability of refusing an equal model above which the gate is called too weak."""

NEWEST_DAY_CAUGHT_LIMIT: Final = 0.05
"""Nats of log-loss: the gate is called too weak if it catches only larger worsenings on the newest day. Half
of what the network gains on going by the last outcome."""

# --- Monitoring ---------------------------------------------------------------------------------------

DRIFT_LIMIT: Final = 0.1
"""Population stability index from which a feature is reported: the usual limit between "no change" and "some
change" (Siddiqi, 2006)."""

DRIFT_FALSE_ALARMS: Final = 1e-5
"""Probability of a false alarm per feature and night: with 50 features, one false alarm in 60 months."""

LABEL_RATE_LIMIT: Final = 0.03
"""Change of the share of skipped tracks that is reported; nights of the synthetic world differ by less."""

UNKNOWN_LEVEL_LIMIT: Final = 0.001
"""Rise of the share of values outside the vocabulary that is reported; no model uses such values."""

UNKNOWN_TRACK_LIMIT: Final = 0.05
"""Share of plays of tracks unknown to the champion that is reported. It costs about 0.001 nats: without any
next track the network loses 0.013 on synthetic sessions (``serving.tracks.neutral_track``)."""

VOLUME_LIMIT: Final = 2.0
"""Factor, up or down, between the sessions of a shard and those of the champion's shards from which volume is
reported: half a delivery, or a doubled one."""

SCORED_SESSIONS: Final = 20_000
"""Maximum of new sessions that the champion scores to compare its probabilities: a few seconds."""
