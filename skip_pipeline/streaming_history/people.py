"""Whose exports these are: downloads of one person share plays, exports of two people do not."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skip_pipeline.streaming_history.plays import FIRST_END

# Share of the plays of the time that both cover. Downloads of one person share nearly all; of two people, by
# chance or because they listen together, a few.
_SAME_PERSON: Final = 0.5


def people(exports: Sequence[pa.Table]) -> np.ndarray:
    """Number of each export's person (1, 2, … in order of the first export), int16 (exports,).

    Two exports are of one person if at least half of the plays that one has in the time covered by both are
    plays of the other: of the same track, with the same end and length.

    Args:
        exports: ``plays.RECORDS`` each.
    """
    if len(exports) == 1:
        return np.ones(1, np.int16)
    plays = [_distinct(export) for export in exports]
    pairs = [(a, b) for a, b in combinations(range(len(plays)), 2) if _overlap(plays[a], plays[b])]
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(plays), len(plays)))
    _, person = connected_components(links, directed=False)
    numbers: np.ndarray = (pd.factorize(person)[0] + 1).astype(np.int16)
    return numbers


def _distinct(export: pa.Table) -> pd.DataFrame:
    """Plays by which a person is known: of a track, rightly dated, and not of 0 ms, which many plays are."""
    plays: pd.DataFrame = export.select(["end", "item", "heard"]).to_pandas()
    return plays[plays["heard"].gt(0) & plays["end"].ge(FIRST_END)].dropna().drop_duplicates()


def _overlap(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    first, last = max(a["end"].min(), b["end"].min()), min(a["end"].max(), b["end"].max())
    both = [plays[plays["end"].between(first, last)] for plays in (a, b)]
    shared = len(both[0].merge(both[1]))
    return shared > 0 and shared >= _SAME_PERSON * min(map(len, both))
