"""Published figures of the mini set's 50,704 tracks that the catalogue reproduces.

Constants only. "Published" means statistics printed or drawn in public notebooks on the mini set
``tf_mini.csv`` of the Spotify sequential skip prediction data (Brost, Mehrotra and Jehan, 2019); figures
of behaviour live in ``figures.py``.
"""

from __future__ import annotations

from typing import Final

QUANTILE_LEVELS: Final = (0.0, 0.002, 0.01, 0.05, 0.125, 0.25, 0.5, 0.75, 0.875, 0.95, 0.99, 0.998, 1.0)

# fmt: off
QUANTILES: Final[dict[str, tuple[float, ...]]] = {
    "duration": (30.01333, 74.85, 108.5, 136.5, 158.9, 183.933334, 214.866669, 250.426666, 286.6, 325.4,
                 373.2, 451.7, 1787.760986),
    "release_year": (1950, 1957, 1965, 1984, 1999, 2009, 2015, 2017.3, 2017.9, 2018.2, 2018.4, 2018.45,
                     2018.49),
    "us_popularity_estimate": (90.0189, 91.37, 93.73, 98.23, 98.96, 99.50967, 99.865444, 99.961131, 99.9829,
                               99.9917, 99.9959, 99.9979, 99.999997),
    "acousticness": (0.0, 1.63e-4, 3.27e-4, 6.81e-4, 0.00181, 0.025291, 0.135821, 0.406142, 0.520, 0.966,
                     0.986, 0.991, 0.995796),
    "beat_strength": (0.0, 0.093, 0.172, 0.244, 0.304, 0.374378, 0.493764, 0.604994, 0.678, 0.747, 0.826,
                      0.901, 0.990419),
    "bounciness": (0.0, 0.077, 0.145, 0.225, 0.288, 0.372463, 0.522266, 0.655912, 0.729, 0.801, 0.875,
                   0.923, 0.97259),
    "danceability": (0.0, 0.104, 0.194, 0.323, 0.424, 0.502499, 0.625145, 0.736241, 0.799, 0.859, 0.913,
                     0.949, 0.984952),
    "dyn_range_mean": (0.0, 2.291, 3.862, 4.990, 5.766, 6.356671, 8.015075, 9.792092, 10.76, 11.99, 13.85,
                       17.26, 32.342781),
    "energy": (0.0, 0.054, 0.110, 0.269, 0.397, 0.507839, 0.661368, 0.803185, 0.884, 0.947, 0.974, 0.987,
               0.999877),
    "flatness": (0.0, 0.858, 0.902, 0.930, 0.954, 0.97591, 1.00379, 1.026137, 1.035, 1.045, 1.058, 1.077,
                 1.103213),
    "instrumentalness": (0.0, 6.78e-10, 1.36e-9, 2.71e-9, 5.42e-9, 1.084167e-8, 2.21165e-6, 7.654784e-4,
                         0.024, 0.697, 0.981, 0.992, 0.9993988),
    "liveness": (0.0, 0.0084, 0.017, 0.033, 0.061, 0.098249, 0.131403, 0.262823, 0.369, 0.583, 0.855, 0.929,
                 0.996257),
    "loudness": (-60.0, -26.47, -18.71, -14.39, -11.13, -8.942, -6.688, -5.043, -4.186, -3.198, -1.734,
                 -0.177, 1.634),
    "mechanism": (0.0, 0.058, 0.111, 0.173, 0.257, 0.366652, 0.571023, 0.729537, 0.813, 0.885, 0.940, 0.970,
                  1.0),
    "organism": (0.0, 0.024, 0.049, 0.102, 0.158, 0.225742, 0.364057, 0.533131, 0.635, 0.789, 0.884, 0.923,
                 0.96235),
    "speechiness": (0.0, 0.0015, 0.003, 0.0061, 0.013, 0.038028, 0.061794, 0.160202, 0.270, 0.385, 0.601,
                    0.825, 0.961408),
    "tempo": (0.0, 48.36, 70.63, 81.17, 87.29, 97.158997, 120.115498, 141.014008, 157.0, 174.1, 191.4,
              204.5, 218.774994),
    "valence": (0.0, 0.023, 0.046, 0.100, 0.181, 0.292559, 0.478244, 0.677947, 0.804, 0.906, 0.950, 0.975,
                0.99999),
    "acoustic_vector_0": (-1.122792, -1.067, -1.012, -0.929, -0.820, -0.745148, -0.334799, 0.045921, 0.151,
                          0.278, 0.535, 0.738, 0.932165),
    "acoustic_vector_1": (-1.08436, -0.816, -0.561, -0.283, -0.070, 0.08646, 0.265535, 0.359553, 0.426,
                          0.546, 0.649, 0.731, 0.812837),
    "acoustic_vector_2": (-0.752231, -0.563, -0.406, -0.265, -0.118, 0.051604, 0.207705, 0.296132, 0.369,
                          0.439, 0.486, 0.547, 0.605288),
    "acoustic_vector_3": (-0.809136, -0.736, -0.665, -0.558, -0.456, -0.294574, -0.001755, 0.146828, 0.285,
                          0.580, 0.762, 0.905, 1.074504),
    "acoustic_vector_4": (-1.029858, -0.854, -0.678, -0.469, -0.396, -0.318751, -0.176974, 0.280852, 0.519,
                          0.647, 0.759, 0.827, 0.895769),
    "acoustic_vector_5": (-0.942461, -0.603, -0.345, -0.174, -0.100, -0.038337, 0.062719, 0.160366, 0.202,
                          0.240, 0.298, 0.339, 0.380279),
    "acoustic_vector_6": (-0.736395, -0.701, -0.665, -0.570, -0.528, -0.444849, -0.298599, -0.075158, 0.175,
                          0.663, 0.799, 0.882, 0.96676),
    "acoustic_vector_7": (-0.975647, -0.871, -0.772, -0.598, -0.416, -0.176821, 0.090423, 0.194285, 0.285,
                          0.470, 0.740, 0.937, 1.152213),
}
"""Values at ``QUANTILE_LEVELS``, one tuple a feature, in its own unit (duration in seconds).

Minimum, quartiles and maximum are printed; the other levels are fitted so that straight lines between
them reproduce the printed mean and standard deviation and the drawn ten-bin histogram. Release years are
rounded after interpolation, so their upper values place the shares of 2017 and 2018.
"""

STYLE_LOADINGS: Final[dict[str, tuple[float, ...]]] = {
    "duration": (-0.15, -0.01, -0.02, 0.04, 0.03, -0.04),
    "release_year": (0.02, -0.11, 0.26, -0.51, -0.13, -0.01),
    "us_popularity_estimate": (-0.01, -0.03, 0.13, -0.02, -0.05, -0.11),
    "acousticness": (-0.02, 0.52, -0.23, 0.16, -0.41, 0.18),
    "beat_strength": (0.95, -0.13, -0.01, 0.00, -0.07, 0.05),
    "bounciness": (0.98, -0.02, 0.03, -0.05, -0.06, 0.06),
    "danceability": (0.87, -0.31, 0.12, -0.02, -0.07, 0.03),
    "dyn_range_mean": (0.92, 0.05, 0.02, -0.10, -0.03, 0.05),
    "energy": (-0.12, -0.38, 0.32, -0.03, 0.80, 0.04),
    "flatness": (0.21, -0.01, 0.08, -0.08, -0.75, 0.08),
    "instrumentalness": (-0.19, -0.08, -0.67, -0.26, -0.09, 0.13),
    "liveness": (-0.10, 0.17, -0.01, -0.02, 0.31, -0.02),
    "loudness": (0.01, -0.36, 0.61, 0.00, 0.38, 0.03),
    "mechanism": (0.31, -0.80, 0.04, -0.09, 0.06, -0.02),
    "organism": (-0.23, 0.84, -0.14, 0.14, -0.27, 0.10),
    "speechiness": (0.41, 0.47, 0.08, -0.35, 0.35, -0.16),
    "tempo": (-0.08, -0.19, 0.08, 0.00, 0.11, 0.04),
    "valence": (0.38, -0.15, 0.09, 0.42, 0.29, 0.27),
    "acoustic_vector_0": (-0.63, -0.08, -0.48, 0.48, -0.08, -0.10),
    "acoustic_vector_1": (-0.01, -0.32, 0.71, -0.35, 0.19, -0.17),
    "acoustic_vector_2": (0.43, -0.13, 0.53, -0.06, -0.28, 0.35),
    "acoustic_vector_3": (0.53, 0.35, -0.07, -0.02, -0.01, 0.76),
    "acoustic_vector_4": (-0.20, 0.07, -0.05, 0.76, 0.16, 0.20),
    "acoustic_vector_5": (-0.37, -0.55, 0.26, -0.02, -0.12, -0.36),
    "acoustic_vector_6": (-0.10, -0.08, -0.02, 0.17, -0.05, 0.74),
    "acoustic_vector_7": (0.09, -0.25, -0.02, -0.74, 0.19, 0.08),
}
"""How each feature follows the six styles of a track, as correlations.

Six varimax-rotated principal factors of the published 26 x 26 correlation map of track features; they leave
a root mean square residual of 0.035. In order: beat, organic against electronic, vocal and loud, old
against recent, energy, mellow timbre.
"""
# fmt: on

STYLES: Final = 6
"""Columns of ``STYLE_LOADINGS``."""

GENRE_SHARES: Final = (0.3371, 0.1935, 0.1847, 0.1292, 0.0937, 0.0618)
"""Published sizes of six k-means clusters of the acoustic vectors (17,093 9,812 9,367 6,549 4,750 3,133)."""

GENRE_WEIGHT: Final = 0.5
"""Share of the style variance that lies between genres; the drawn histograms of several acoustic vectors
have two humps, which no single cloud of tracks shows. The value is a judgement."""

PLAY_LOADINGS: Final = (0.30, -0.06, 0.21, -0.22, -0.15, -0.15)
"""How often a track is played follows its styles: least squares on the differences between the published
means per log row and per track (danceability 0.669 against 0.612, first acoustic vector -0.52 against
-0.33)."""

PLAY_YEAR_LOADING: Final = 0.10
PLAY_POPULARITY_LOADING: Final = 0.45
"""The same for what release year and popularity do not share with the styles (published mean per row
2013.37 against 2010.32 per track; 99.74 against 99.46)."""

TOP_TRACK_PLAYS: Final = (1427, 915, 785, 730, 719)
"""Published rows of the five most played tracks; the rest follow a power law of the rank."""

PLAY_RANK_OFFSET: Final = 5.0
PLAY_RANK_EXPONENT: Final = 0.8687
"""Plays beyond the first fall with ``(rank + offset) ** -exponent``: continues the five published counts and
sums to the published 167,880 rows over 50,704 tracks."""

KEY_SHARES: Final = (
    0.0936,
    0.1343,
    0.1001,
    0.0302,
    0.0708,
    0.0802,
    0.0698,
    0.1053,
    0.0751,
    0.0969,
    0.0741,
    0.0770,
)
"""Keys 0 to 11, from the published histogram per track; the two end bins hold two keys each and are cut in
the proportion of the published counts per row."""

TIME_SIGNATURE_SHARES: Final = {0: 0.0003, 1: 0.0082, 3: 0.0740, 4: 0.9010, 5: 0.0165}
"""From the published histogram per track; 0 is too rare to be drawn there and taken from the rows (39)."""

MAJOR_SHARE: Final = 0.614
"""Published share of rows in a major mode (103,063 of 167,880); no share per track is published."""

THOUSANDTHS: Final = ("loudness", "tempo")
"""Features that the published file gives to three decimals (13,522 and 32,249 distinct values)."""
