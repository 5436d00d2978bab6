"""Figures of the catalogue: how plays are spread over tracks, styles, and how exact values are.

Constants only. "Published" means statistics printed or drawn in public notebooks on the mini set
``tf_mini.csv`` of the Spotify sequential skip prediction data (Brost, Mehrotra and Jehan, 2019): 50,704
tracks on 167,880 log rows. Distributions and correlations of the features are in ``track_model.py``, figures
of behaviour in ``constants.py``.
"""

from typing import Final

# --- Plays -----------------------------------------------------------------------------------------

PLAYS_PER_TRACK: Final = 167_880 / 50_704  # published; features are drawn so, whatever the size of the log
TOP_TRACK_PLAYS: Final = (1427, 915, 785, 730, 719)  # published; the other tracks follow the law below

PLAY_RANK_OFFSET: Final = 5.0
PLAY_RANK_DECAY: Final = 0.1
PLAY_RANK_EXPONENT: Final = 0.7055
"""Plays beyond the first fall with ``(rank + offset) ** -exponent * exp(-rank / (decay * tracks))``.

The exponent continues the five published counts and sums to the published rows. Offset and decay are a
judgement within narrow bounds: only a quarter of the rows has a popularity below 99.914, but more than half
of the tracks, which needs most tracks to be played once only; here 76% are.
"""

TOP_TRACK_SPREAD: Final = 0.5
"""Spread of the normal scores of the tracks in ``TOP_TRACK_PLAYS`` against 1 of all others. They are 2.7% of
the rows and must be near the mean, so that statistics per row do not depend on five draws; a judgement."""

BAND_ENDS: Final = (0.01, 0.06, 0.24, 1.0)
"""Shares of the tracks, by play rank, at which the bands of ``track_model.py`` end. They hold 34, 26, 18 and
23% of the published number of rows; nearly all tracks of the last are played once."""

# --- Styles ------------------------------------------------------------------------------------------

STYLES: Final = 6
"""Columns of ``STYLE_WEIGHTS``: beat, organic against electronic, vocal and loud, old against recent, energy,
mellow timbre."""

STYLE_LIMIT: Final = 3.0  # Standard deviations at which a feature is cut off before it enters the styles

# fmt: off
STYLE_WEIGHTS: Final[dict[str, tuple[float, ...]]] = {
    "duration": (-0.025, -0.004, -0.003, 0.012, 0.010, -0.012),
    "release_year": (-0.058, -0.005, 0.107, -0.224, -0.096, 0.069),
    "us_popularity_estimate": (-0.001, 0.013, 0.077, 0.017, -0.044, -0.067),
    "acousticness": (-0.007, 0.129, 0.006, 0.030, -0.140, 0.054),
    "beat_strength": (0.217, -0.053, -0.087, 0.070, -0.012, -0.083),
    "bounciness": (0.218, 0.001, -0.053, 0.047, 0.000, -0.082),
    "danceability": (0.187, -0.107, -0.033, 0.072, -0.045, -0.067),
    "dyn_range_mean": (0.204, 0.032, -0.052, 0.016, 0.021, -0.079),
    "energy": (-0.037, -0.044, 0.052, -0.006, 0.339, 0.093),
    "flatness": (0.001, -0.058, 0.109, -0.015, -0.384, 0.028),
    "instrumentalness": (-0.039, -0.155, -0.417, -0.220, 0.021, 0.144),
    "liveness": (-0.009, 0.097, -0.009, -0.025, 0.171, -0.007),
    "loudness": (-0.037, -0.024, 0.271, 0.053, 0.097, 0.061),
    "mechanism": (0.058, -0.317, -0.140, 0.001, -0.030, 0.022),
    "organism": (-0.045, 0.293, 0.108, 0.014, -0.059, 0.008),
    "speechiness": (0.105, 0.265, 0.020, -0.130, 0.229, -0.148),
    "tempo": (-0.029, -0.062, 0.013, -0.002, 0.029, 0.056),
    "valence": (0.089, -0.048, 0.013, 0.210, 0.136, 0.095),
    "acoustic_vector_0": (-0.069, -0.127, -0.207, 0.164, -0.026, -0.050),
    "acoustic_vector_1": (-0.056, 0.014, 0.326, -0.086, -0.006, -0.030),
    "acoustic_vector_2": (0.002, -0.016, 0.300, 0.012, -0.192, 0.202),
    "acoustic_vector_3": (0.034, 0.083, -0.016, -0.083, 0.063, 0.421),
    "acoustic_vector_4": (-0.005, 0.001, 0.049, 0.330, 0.077, 0.057),
    "acoustic_vector_5": (-0.073, -0.176, 0.104, 0.046, -0.156, -0.148),
    "acoustic_vector_6": (-0.110, -0.104, 0.014, -0.021, -0.026, 0.499),
    "acoustic_vector_7": (-0.042, -0.082, -0.145, -0.374, 0.094, 0.163),
}
"""Weight of each standardised feature in each style.

The loadings of six varimax-rotated principal factors of the published correlation map of these features,
made orthonormal: multiplied by the inverse square root of the covariance that the styles would have without
it (in 200,000 tracks drawn here), which of all such matrices changes the factors least.
"""

MEAN_AND_DEVIATION: Final = {
    "duration": (222.26798, 72.224839),
    "release_year": (2010.324748, 11.471866),
    "us_popularity_estimate": (99.455131, 1.139222),
    "acousticness": (0.250336, 0.276047),
    "beat_strength": (0.492075, 0.158102),
    "bounciness": (0.514526, 0.182595),
    "danceability": (0.611742, 0.166146),
    "dyn_range_mean": (8.21595, 2.410626),
    "energy": (0.64144, 0.207957),
    "flatness": (0.996548, 0.045611),
    "instrumentalness": (0.07058671, 0.2142261),
    "liveness": (0.20552, 0.176486),
    "loudness": (-7.519316, 3.927858),
    "mechanism": (0.547603, 0.223803),
    "organism": (0.391874, 0.207116),
    "speechiness": (0.122998, 0.136022),
    "tempo": (121.576396, 29.786741),
    "valence": (0.487804, 0.246376),
    "acoustic_vector_0": (-0.332295, 0.41632),
    "acoustic_vector_1": (0.202193, 0.254024),
    "acoustic_vector_2": (0.153935, 0.21266),
    "acoustic_vector_3": (-0.040526, 0.333129),
    "acoustic_vector_4": (-0.027247, 0.377457),
    "acoustic_vector_5": (0.049475, 0.144205),
    "acoustic_vector_6": (-0.197758, 0.34984),
    "acoustic_vector_7": (0.005153, 0.324259),
}
"""Published mean and standard deviation of each feature over the tracks, in its own unit."""
# fmt: on

STYLE_OFFSETS: Final = (-0.005, -0.006, 0.036, 0.008, -0.022, -0.003)
"""Mean of the weighted sums over many tracks, taken off; not 0 because features are cut off."""

# --- How exact values are ----------------------------------------------------------------------------

FRAMES_PER_SECOND: Final = 75
FRAMED_SHARE: Final = 0.65
"""Durations are whole frames of an audio CD on this share of the tracks, whole milliseconds on the others:
both occur among the published values; the share gives the published 33,549 distinct ones."""

STEADY_SHARE: Final = 0.5
STEADY_SPREAD: Final = 0.1
"""Tempo has three decimals; on this share of the tracks it lies within a tenth of its distance to a whole
number of beats a minute, as music made to a click does. It gives the published 32,249 distinct values."""

MECHANISM_STEPS: Final = 45_000
"""Mechanism is a multiple of one over this number, which gives the published 32,603 distinct values."""

# --- Playlists ---------------------------------------------------------------------------------------

KINDS: Final = 4
"""Axes in which playlists differ and which no feature tells. With more, two playlists are alike less often;
a judgement."""

TRACKS_ON_PLAYLIST: Final = 200
FEWEST_PLAYLISTS: Final = 12
MOST_PLAYLISTS: Final = 256
"""A playlist for so many tracks, 253 in the mini set, within these bounds. A block of sessions has 130 plays
of each of 256 playlists; with more playlists, a part of a session would not find enough plays of one."""

MOST_OF_PLAYLIST: Final = 0.1
"""Share of one track in the plays of a playlist, at most, so that a session rarely repeats it; a track with
more plays is on several playlists, the most played one of the mini set on 22."""

PLAYLIST_SPREAD: Final = 0.2
"""Spread of a playlist's tracks around its place on the browsed axes, against about 1 of all tracks. A
judgement: features tell enough that a model without an embedding of each track is better than repeating the
last action, and so little that an embedding is worth more, as in the first places of the challenge."""
