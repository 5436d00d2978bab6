"""The best possible score on synthetic sessions, and a model's distance from it.

The generator of a synthetic world writes the true probability of each outcome to ``oracle.parquet``
(``schema.ORACLE``). Only the report reads that file: a model that read it would know the answers.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.locations import is_local
from skip_pipeline.metrics.scores import SplitScores, score
from skip_pipeline.raw.diagnosis import listed
from skip_pipeline.raw.folder import data_source
from skip_pipeline.settings import ORACLE_FILE

GIVEN_PAST: Final = "p_not_skipped_given_past"
GIVEN_STATE: Final = "p_not_skipped_given_state"

_REMEDY: Final = (
    "Make the synthetic data again with `skip-pipeline synthesize` and materialize everything, or delete the "
    "file to report without the best possible score"
)


@dataclass(frozen=True)
class BestPossible:
    """Scores of the true probabilities on the test sessions; a model exceeds them only by chance."""

    given_past: SplitScores  # of the probability given the log before the last track
    given_state: SplitScores  # of the probability given the listener's hidden state as well

    def metrics(self, model: SplitScores) -> dict[str, Any]:
        """Scores, and a model's distances from them: its log-loss above, its accuracy below the oracle's."""
        metrics = {}
        for name, best in vars(self).items():
            distance = {
                "log_loss": model.log_loss - best.log_loss,
                "accuracy": best.accuracy - model.accuracy,
            }
            metrics[name] = asdict(best) | {"distance": distance}
        return metrics


def find_oracle(raw: Path) -> Path | None:
    """The oracle of a raw folder; None if there is none or the data are real."""
    path = raw / ORACLE_FILE
    return path if data_source(raw) == "synthetic" and path.exists() else None


def best_possible(path: Path, test: Mapping[str, np.ndarray]) -> BestPossible:
    """Score both oracles on the ids (n,) and labels (n,) of the test bundle."""
    p = oracle_probabilities(path, np.asarray(test[schema.SESSION_ID]))
    return BestPossible(*(score(test[schema.LABEL], p[name]) for name in (GIVEN_PAST, GIVEN_STATE)))


def oracle_probabilities(path: Path, session_ids: np.ndarray) -> dict[str, np.ndarray]:
    """``GIVEN_PAST`` and ``GIVEN_STATE``, float64 (n,): the truth about the sessions with these ids (n,)."""
    try:
        table = pq.read_table(path if is_local(path) else pa.BufferReader(path.read_bytes()))
    except (OSError, pa.ArrowException) as failure:
        raise BadInputError(
            f"{path} cannot be read ({failure}); expected the parquet file that `skip-pipeline synthesize` "
            f"leaves. {_REMEDY}"
        ) from failure
    if not table.schema.equals(schema.ORACLE):
        raise BadInputError(
            f"{path} has the columns {listed(table.column_names)}; expected {listed(schema.ORACLE.names)}, "
            f"one text and two of float32. {_REMEDY}"
        )
    ids = pa.array(session_ids, pa.string())
    place = pc.index_in(ids, table.column(schema.SESSION_ID).combine_chunks())
    if place.null_count:
        missing = ids.filter(place.is_null()).to_pylist()
        raise BadInputError(
            f"{path} lacks {len(missing)} of the {len(ids)} test sessions, {listed(missing)}; "
            f"expected the set that the bundles were made from. {_REMEDY}"
        )
    probabilities = {}
    for name in (GIVEN_PAST, GIVEN_STATE):
        values = table.column(name).take(place).to_numpy().astype(np.float64)
        if wrong := np.count_nonzero(~((values >= 0) & (values <= 1))):  # null is NaN, which is counted, too
            raise BadInputError(
                f"{path}: column {name} is no probability in {wrong} of the {len(values)} test sessions; "
                f"expected numbers in [0, 1]. {_REMEDY}"
            )
        probabilities[name] = values
    return probabilities
