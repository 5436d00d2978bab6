"""Check that the peers produce the pipeline's results, without which timings could not be compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks import stages
from benchmarks.one_run import Made
from benchmarks.peers import duckdb_merge, pandas_notebook, polars_merge
from skip_pipeline import schema

SCALED_TOLERANCE: Final = float(np.finfo(np.float32).eps)
"""For scaled features in [0, 1]: two steps of float32. Scikit-learn multiplies and adds, the pipeline
subtracts and divides, both in float64, so the last bit of the float32 may differ."""


class DisagreementError(Exception):
    """A peer's values differ from the pipeline's; the message has peer, column or array, and their number."""


def check(raw: Path, folder: Path) -> Made:
    """Run the pipeline and all peers on a raw folder and compare all results.

    Raises:
        DisagreementError: see ``compare_tables`` and ``compare_arrays``.
    """
    encoded = pa.concat_tables(stages.merge_and_encode(raw, folder).result)
    compare_tables("polars", polars_merge.encoded(raw).to_arrow(), encoded)
    compare_tables("duckdb", duckdb_merge.encoded(raw), encoded)
    compare_arrays("pandas", pandas_notebook.arrays(raw), stages.gathered(raw, folder).result)
    return Made(None, rows=encoded.num_rows, sessions=0)


def compare_tables(peer: str, found: pa.Table, expected: pa.Table) -> None:
    """Compare two encoded tables, all 69 columns, value for value.

    Session codes of several shards are not compared: the pipeline numbers them within a shard, peers over
    all.

    Raises:
        DisagreementError: other columns, rows or values.
    """
    if found.column_names != expected.column_names or found.num_rows != expected.num_rows:
        raise DisagreementError(
            f"{peer}: {found.num_rows} rows of {found.column_names}, "
            f"expected {expected.num_rows} of {expected.column_names}"
        )
    one_shard = expected[schema.SESSION_ID].to_numpy()[-1] == found[schema.SESSION_ID].to_numpy()[-1]
    for name in expected.column_names:
        if name == schema.SESSION_ID and not one_shard:
            continue
        differing = np.count_nonzero(found[name].to_numpy() != expected[name].to_numpy())
        if differing or found[name].null_count:
            raise DisagreementError(f"{peer}: column {name} differs in {differing} rows from the pipeline's")


def compare_arrays(
    peer: str, found: Mapping[str, Mapping[str, np.ndarray]], expected: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Compare the arrays of every split: exact but for scaled features, those within ``SCALED_TOLERANCE``.

    Raises:
        DisagreementError: other shapes or values.
    """
    tolerances = {"previous_tracks": SCALED_TOLERANCE, "last_track": SCALED_TOLERANCE}
    for split, arrays in expected.items():
        for name, array in arrays.items():
            other = found[split][name]
            if other.shape != array.shape:
                raise DisagreementError(f"{peer}: {split} {name} is {other.shape}, expected {array.shape}")
            if name in tolerances:
                differing = np.count_nonzero(~(np.abs(other - array) <= tolerances[name]))
            else:
                differing = np.count_nonzero(other != array)
            if differing:
                raise DisagreementError(
                    f"{peer}: {differing} of {array.size} values of {split} {name} differ from the pipeline's"
                )
