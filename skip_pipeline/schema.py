"""Columns, levels, dtypes and shapes of every table and of a network's inputs.

Raw log (21 columns) and track features (30) -> merged (50) -> encoded (69) -> scaled (69) -> four branches.
Source of columns and shapes: the public Spotify sequential skip prediction data (Brost, Mehrotra and Jehan,
2019) and the four-branch network published for its mini set.
"""

from typing import Final

import pyarrow as pa

SESSION_LOG: Final = pa.schema(
    [
        ("session_id", pa.string()),
        ("session_position", pa.int8()),
        ("session_length", pa.int8()),
        ("track_id_clean", pa.string()),
        ("skip_1", pa.bool_()),
        ("skip_2", pa.bool_()),
        ("skip_3", pa.bool_()),
        ("not_skipped", pa.bool_()),
        ("context_switch", pa.int8()),
        ("no_pause_before_play", pa.int8()),
        ("short_pause_before_play", pa.int8()),
        ("long_pause_before_play", pa.int8()),
        ("hist_user_behavior_n_seekfwd", pa.int32()),
        ("hist_user_behavior_n_seekback", pa.int32()),
        ("hist_user_behavior_is_shuffle", pa.bool_()),
        ("hour_of_day", pa.int8()),
        # Text, not a date: the full data holds values that are no dates, and these are counted, not refused.
        ("date", pa.string()),
        ("premium", pa.bool_()),
        ("context_type", pa.string()),
        ("hist_user_behavior_reason_start", pa.string()),
        ("hist_user_behavior_reason_end", pa.string()),
    ]
)

# The published values are float32 printed as decimals.
TRACK_FEATURES: Final = pa.schema(
    [
        ("track_id", pa.string()),
        ("duration", pa.float32()),
        ("release_year", pa.int16()),
        ("us_popularity_estimate", pa.float32()),
        ("acousticness", pa.float32()),
        ("beat_strength", pa.float32()),
        ("bounciness", pa.float32()),
        ("danceability", pa.float32()),
        ("dyn_range_mean", pa.float32()),
        ("energy", pa.float32()),
        ("flatness", pa.float32()),
        ("instrumentalness", pa.float32()),
        ("key", pa.int8()),
        ("liveness", pa.float32()),
        ("loudness", pa.float32()),
        ("mechanism", pa.float32()),
        ("mode", pa.string()),
        ("organism", pa.float32()),
        ("speechiness", pa.float32()),
        ("tempo", pa.float32()),
        ("time_signature", pa.int8()),
        ("valence", pa.float32()),
        *((f"acoustic_vector_{i}", pa.float32()) for i in range(8)),
    ]
)

RELEASE_DATE: Final = "release_date_estimate"
TRACK_NAMES: Final = ("track_uri", "track_name", "artist", "album_name")
"""The release of the track features with names has ``RELEASE_DATE`` in place of ``release_year``, as YYYY,
YYYY-MM or YYYY-MM-DD, and ``TRACK_NAMES`` besides: 34 columns. The other two releases, of the whole set and
of the mini set, have the 30 columns of ``TRACK_FEATURES``."""

TRACK_GROUPS: Final = pa.schema([("track_id", pa.string()), ("artist", pa.int32()), ("album", pa.int32())])
"""Numbers from 0 of each track's artist and album, as own listening knows them."""

NAMES: Final = pa.schema(
    [
        ("track_id", pa.string()),
        ("spotify_track_uri", pa.string()),
        ("track", pa.string()),
        ("artist", pa.string()),
        ("album", pa.string()),
    ]
)
"""Names of own listening's tracks; they are read for pages on this machine alone."""

SESSION_ID: Final = "session_id"
POSITION: Final = "session_position"
LENGTH: Final = "session_length"
LOG_TRACK_ID: Final = "track_id_clean"
TRACK_ID: Final = "track_id"
DATE: Final = "date"
LABEL: Final = "not_skipped"  # 1: the session's last track was played to its end, 0: it was skipped

MIN_SESSION_LENGTH: Final = 10
MAX_SESSION_LENGTH: Final = 20
STEPS: Final = MAX_SESSION_LENGTH - 1
"""Time steps of every sequence: all positions of the longest session but the predicted one."""

# Inclusive ranges of values in the published data; a value outside is a defect of the file.
RAW_RANGES: Final[dict[str, tuple[int, int]]] = {
    POSITION: (1, MAX_SESSION_LENGTH),
    LENGTH: (MIN_SESSION_LENGTH, MAX_SESSION_LENGTH),
    "context_switch": (0, 1),
    **{f"{pause}_pause_before_play": (0, 1) for pause in ("no", "short", "long")},
    "hist_user_behavior_n_seekfwd": (0, 2**31 - 1),
    "hist_user_behavior_n_seekback": (0, 2**31 - 1),
    "hour_of_day": (0, 23),
}

MAY_BE_UNKNOWN: Final[tuple[str, ...]] = (
    "context_switch",
    "hist_user_behavior_n_seekfwd",
    "hist_user_behavior_n_seekback",
    "premium",
    "context_type",
    *(name for name in TRACK_FEATURES.names if name != TRACK_ID),
)
"""Columns of the raw tables in which own listening may have empty cells (``raw.own_listening``)."""

FIRST_PLAUSIBLE_DATE: Final = "2008-10-07"
"""The service's public launch. Earlier dates, dates after tomorrow and non-dates are counted as junk."""

# The levels of the mini set, sorted as by scikit-learn's encoders. A level outside its tuple is counted and
# reported; its indicators are all zero, and it adds no column.
LEVELS: Final[dict[str, tuple[str, ...]]] = {
    "context_type": (
        "catalog",
        "charts",
        "editorial_playlist",
        "personalized_playlist",
        "radio",
        "user_collection",
    ),
    "hist_user_behavior_reason_start": (
        "appload",
        "backbtn",
        "clickrow",
        "endplay",
        "fwdbtn",
        "playbtn",
        "remote",
        "trackdone",
        "trackerror",
    ),
    "hist_user_behavior_reason_end": (
        "backbtn",
        "clickrow",
        "endplay",
        "fwdbtn",
        "logout",
        "remote",
        "trackdone",
    ),
    "mode": ("major", "minor"),
}


def indicator(column: str, level: str) -> str:
    """Name of the 0/1 column of one level, spelled as by scikit-learn's ``get_feature_names_out``."""
    return f"{column}_{level}"


def indicators(column: str) -> tuple[str, ...]:
    """Names of all indicator columns of one categorical column, in vocabulary order.

    >>> indicators("mode")
    ('mode_major', 'mode_minor')
    """
    return tuple(indicator(column, level) for level in LEVELS[column])


TRACK_ATTRIBUTES: Final[tuple[str, ...]] = tuple(n for n in TRACK_FEATURES.names if n != TRACK_ID)
"""The 29 columns a track brings to a log row: 28 numbers and ``mode``."""

NUMERIC_TRACK_FEATURES: Final[tuple[str, ...]] = tuple(n for n in TRACK_ATTRIBUTES if n != "mode")

MERGED: Final = pa.schema([*SESSION_LOG, *(TRACK_FEATURES.field(name) for name in TRACK_ATTRIBUTES)])


def _encoded_field(field: pa.Field) -> pa.Field:
    if field.name in (SESSION_ID, LOG_TRACK_ID):
        return field.with_type(pa.int32())
    return field.with_type(pa.int8()) if pa.types.is_boolean(field.type) else field


ENCODED: Final = pa.schema(
    [
        *(_encoded_field(field) for field in MERGED if field.name not in (DATE, *LEVELS)),
        *((name, pa.int8()) for column in LEVELS for name in indicators(column)),
    ]
)

NULL_IN_ENCODED: Final[tuple[str, ...]] = ("premium", *NUMERIC_TRACK_FEATURES)
NULL_IN_SCALED: Final[tuple[str, ...]] = ("premium",)
"""Columns that are null where a value is not known; other unknown values are 0 from the encoded table on, and
unknown features get their ``stages.scale.Scaler.fill`` in the scaled table."""

SCALED_FEATURES: Final[tuple[str, ...]] = (LOG_TRACK_ID, *NUMERIC_TRACK_FEATURES)
"""The columns that the scaler maps to [0, 1]; the two indicators of the mode are 0 or 1 already."""

SCALED: Final = pa.schema(
    field.with_type(pa.float32()) if field.name in SCALED_FEATURES else field for field in ENCODED
)

_SPLIT: Final = pa.dictionary(pa.int8(), pa.string())
SPLITS: Final[tuple[str, ...]] = ("train", "validation", "gate", "test")
SELECTION_SPLITS: Final[tuple[str, ...]] = ("train", "validation", "gate")
"""Splits that training, promotion and monitoring use. Nothing selects on the test split, so that the report
scores sessions that had no part in any choice."""

SESSIONS: Final = pa.schema([(SESSION_ID, pa.string()), ("code", pa.int32()), ("split", _SPLIT)])
"""One row per session of a shard: the text id, its ordinal code within the shard, and its split."""

_NOT_IN_BRANCH: Final = (SESSION_ID, LOG_TRACK_ID, "hour_of_day", DATE, "premium")
SESSION_LOG_BRANCH: Final[tuple[str, ...]] = (
    *(name for name in SESSION_LOG.names if name not in (*_NOT_IN_BRANCH, *LEVELS)),
    *(name for column in LEVELS if column in SESSION_LOG.names for name in indicators(column)),
)
TRACK_BRANCH: Final[tuple[str, ...]] = (*SCALED_FEATURES, *indicators("mode"))

SKIP_PADDING: Final = 9.0
"""Front padding of the skip sequence; 0 means "skipped" there, so it cannot mean "no track"."""

# Shape of one session in each branch, without the leading batch dimension; all float32.
BRANCH_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "session_log": (STEPS, len(SESSION_LOG_BRANCH)),
    "previous_tracks": (STEPS, len(TRACK_BRANCH)),
    "skip_sequence": (STEPS, 1),
    "last_track": (len(TRACK_BRANCH),),
}

OUTCOME_FLAGS: Final = ("skip_1", "skip_2", "skip_3", LABEL)
"""Columns that say how far a track was played; each skip flag implies the next one."""

TRACK_MEMORY: Final = 98
"""Numbers that other sessions leave about a track (``bundles.track_memory``)."""

INPUT_SHAPES: Final[dict[str, tuple[int, ...]]] = BRANCH_SHAPES | {
    "circumstances": (5,),  # two harmonics of the hour of day, then premium; zeros where they are not known
    "track_numbers": (STEPS + 1,),  # equal where the track is the same; of the steps, then of the last track
    "track_memory": (STEPS + 1, TRACK_MEMORY),
    "visible_steps": (1,),  # how many of the first steps may be seen, padding included; 19: all
    "tracks_between": (1,),  # unknown tracks between the last step and the predicted one, a number
}
"""Inputs of the default network, in the same form as the branches."""

PREDICTIONS: Final = pa.schema(
    [(SESSION_ID, pa.string()), (LABEL, pa.int8()), ("p_not_skipped", pa.float64())]
)
"""One row per test session of the evaluation report."""

BASELINES: Final[tuple[str, ...]] = (
    "majority",
    "last_outcome",
    "logistic_regression",
    "gradient_boosted_trees",
)
"""Predictors without a network, from the simplest to the strongest."""

BASELINE_PREDICTIONS: Final = pa.schema(
    [(SESSION_ID, pa.string()), ("split", _SPLIT), *((name, pa.float64()) for name in BASELINES)]
)
"""One row per validation, gate and test session, in this order of splits and in the bundles' order: the
probability that each baseline gives to the last track being played to its end."""

BASELINE_TRACK_PREDICTIONS: Final = pa.schema(
    [
        (SESSION_ID, pa.string()),
        ("split", _SPLIT),
        (POSITION, pa.int8()),
        *((name, pa.float32()) for name in BASELINES),
    ]
)
"""One row per track of these sessions, in the order of ``BASELINE_PREDICTIONS`` and of positions: the
probability that each baseline gives to the track being played to its end, from the tracks before it."""

_ORACLES: Final = ("p_not_skipped_given_state", "p_not_skipped_given_past")
ORACLE: Final = pa.schema([(SESSION_ID, pa.string()), *((name, pa.float32()) for name in _ORACLES)])
"""True probabilities that the last track is played to its end, one row per session of synthetic data: given
the listener's hidden state, and given the earlier rows of the log (see ``world.oracle``)."""
