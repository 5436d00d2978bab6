"""The fitted model of a catalogue: distributions of the features and their correlations.

The numbers are in ``track_model.json``. They differ between four bands of play rank
(``track_constants.BAND_ENDS``), since often played tracks have other features than the rest: the published
statistics per log row, which weigh each track by its plays, differ from those per track.

The numbers were obtained once, outside this package:

* Shares. The value range of a feature is cut at its published quartiles, its histogram's bin edges and some
  further places. The shares of these intervals in the four bands are the non-negative least squares solution
  for the published mean, standard deviation and quartiles per track and per row, the ten-bin histogram per
  track and, where published, the counts of levels per row. Of the many solutions, one in which neighbouring
  bands and intervals are alike was taken. Shares of the mode per track are not published; those per row
  were taken.
* Loadings. The correlation of two features follows from the correlation of their normal scores by the Hermite
  expansions of both (Cario and Nelson, "Modeling and generating random vectors with arbitrary marginal
  distributions and correlation matrix", 1997). The four matrices of score correlations minimise the squared
  differences of these, pooled over the bands, to the published correlations of 28 features per track and of
  29 per row; neighbouring bands are kept alike, and no eigenvalue falls below 0.01. Their Cholesky factors
  are stored, so that no decomposition depends on the machine that draws.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from skip_pipeline.world.arrays import FloatArray


@dataclass(frozen=True)
class FeatureModel:
    """Distribution of one feature in each band of play rank.

    ``values`` are in the feature's unit (``mode``: index in ``schema.LEVELS``): levels in the order of the
    score if ``stepped``, else ends of intervals with uniform values. The first and last interval have no
    width: a few tracks have the published minimum and maximum.
    """

    values: FloatArray
    cumulative: FloatArray  # (bands, len(values)), share of a band's tracks up to each value, by plays
    stepped: bool  # only the values themselves occur

    def at(self, band: int, level: FloatArray) -> FloatArray:
        """Quantile function of a band: values at levels in [0, 1]."""
        if self.stepped:
            return self.values[np.searchsorted(self.cumulative[band, :-1], level, side="right")]
        return np.interp(level, self.cumulative[band], self.values)


@cache
def track_model() -> tuple[dict[str, FeatureModel], FloatArray]:
    """Read the model from the package.

    Returns:
        Features by name, in the order of the scores; and loadings (bands, features, features), lower
        triangular: times independent normal scores, they give scores correlated as in that band.
    """
    stored = json.loads(files(__package__).joinpath("track_model.json").read_text(encoding="ascii"))
    features = {}
    for name, entry in stored["features"].items():
        # Shares are summed as integers, so the last is exactly 1.
        cumulative = np.cumsum(entry["per_million"], axis=1) / 1_000_000
        stepped = cumulative.shape[1] == len(entry["values"])
        if not stepped:
            cumulative = np.insert(cumulative, 0, 0.0, axis=1)
        features[name] = FeatureModel(np.array(entry["values"], dtype=np.float64), cumulative, stepped)
    loadings = np.zeros((len(stored["loadings"]), len(features), len(features)))
    for band, triangle in enumerate(stored["loadings"]):
        loadings[band][np.tril_indices(len(features))] = np.concatenate(triangle)
    return features, loadings
