"""The published method as a notebook does it: pandas, scikit-learn, and Python for every session.

Our own rendering, written down plainly from the published description, step by step:

1. Read both CSVs and merge them on the track id.
2. One-hot encode the four categories (``pd.get_dummies``); the two ids become a code each.
3. Scale the track features to [0, 1] (``MinMaxScaler``).
4. Make each of the four inputs, which are described one by one and padded each in its own way: group by
   session, take the positions before the last, pad to 19 steps, collect in a list, make an array of the list.

It checks nothing and keeps nothing. Nothing in it is slower than the description asks for: a step that pandas
does for the whole table at once (merge, encoding, scaling, the last track of every session) is done so.
``tuned`` is what somebody gets who profiles it: most of the time goes into ``session[columns]``, for each
session anew, and is saved by naming the columns to the grouping before the loop. Nothing else differs.

Where the published method would give other numbers than the pipeline for a reason that is no matter of speed,
this does as the pipeline: it pads in front in every branch, keeps sessions apart by the hash of their id, and
fits the scaler on training sessions alone, clipping the others.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.preprocessing import MinMaxScaler

from benchmarks.one_run import Made
from skip_pipeline import schema
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.stages.encode import split_of

_FEATURE_DTYPES: Final = {
    field.name: "float32" for field in schema.TRACK_FEATURES if field.type == pa.float32()
}
"""The decimals are printed float32; as float64 they would be other numbers than the pipeline scales."""


Inputs = dict[str, np.ndarray]
PerSession = Callable[[pd.DataFrame, Sequence[str]], Iterable[pd.DataFrame]]


def notebook(raw: Path, _folder: Path) -> Made:
    """Raw CSVs to arrays per split, see ``arrays``."""
    return _made(arrays(raw))


def tuned(raw: Path, _folder: Path) -> Made:
    """The same with columns selected by ``select_before_loop``."""
    return _made(arrays(raw, select_before_loop))


def _made(made: dict[str, Inputs]) -> Made:
    sessions = sum(len(part[schema.LABEL]) for part in made.values())
    earlier = sum(np.count_nonzero(p["skip_sequence"] != schema.SKIP_PADDING) for p in made.values())
    return Made(made, rows=int(earlier) + sessions, sessions=sessions)


def arrays(raw: Path, per_session: PerSession | None = None) -> dict[str, Inputs]:
    """Per split the arrays of ``bundles.Bundle``, by name.

    Args:
        per_session: gives some columns of each session; ``select_in_loop`` by default.
    """
    table = encoded(raw)
    split = split_of(table["session_text"].to_numpy(object))
    scaled = _scaled(table, training=split == schema.SPLITS.index("train"))
    made = _inputs(scaled, per_session or select_in_loop)
    split_of_session = split[table[schema.POSITION].to_numpy() == 1]
    return {
        name: {array: values[split_of_session == code] for array, values in made.items()}
        for code, name in enumerate(schema.SPLITS)
    }


def encoded(raw: Path) -> pd.DataFrame:
    """The 69 columns and, as ``session_text``, the session's id; ordered by session and position."""
    log = pd.concat([pd.read_csv(path) for path in raw_folder.find_session_logs(raw)])
    tracks = pd.concat(
        [pd.read_csv(path, dtype=_FEATURE_DTYPES) for path in raw_folder.find_track_features(raw)]
    )
    tracks = tracks.sort_values(schema.TRACK_ID, ignore_index=True)
    track_codes = pd.Series(tracks.index, index=tracks[schema.TRACK_ID])
    log = log.sort_values([schema.SESSION_ID, schema.POSITION])
    merged = log.merge(tracks, left_on=schema.LOG_TRACK_ID, right_on=schema.TRACK_ID, how="left")
    merged["session_text"] = merged[schema.SESSION_ID]
    merged[schema.SESSION_ID] = pd.factorize(merged[schema.SESSION_ID])[0]
    merged[schema.LOG_TRACK_ID] = merged[schema.LOG_TRACK_ID].map(track_codes)
    table = pd.get_dummies(merged, columns=list(schema.LEVELS), dtype=int)
    booleans = table.select_dtypes(bool).columns
    table = table.astype(dict.fromkeys(booleans, int))
    # Levels of the vocabulary that a small set lacks; levels outside it go.
    return table.reindex(columns=[*schema.ENCODED.names, "session_text"], fill_value=0)


def _scaled(table: pd.DataFrame, *, training: np.ndarray) -> pd.DataFrame:
    features = list(schema.SCALED_FEATURES)
    table = table.astype(dict.fromkeys(features, float))
    scaler = MinMaxScaler(clip=True).fit(table.loc[training, features])
    table[features] = scaler.transform(table[features])
    # Columns of a type into one block again: picking them by our vocabulary has laid each apart, which makes
    # every later step several times slower, and which the published method has no need of.
    return table.copy()


def _inputs(table: pd.DataFrame, per_session: PerSession) -> Inputs:
    """The four inputs as they are described, one after the other; label and id of each session."""
    last = table[table[schema.POSITION] == table[schema.LENGTH]]
    return {
        "session_log": _sequences(per_session(table, schema.SESSION_LOG_BRANCH), padding=0),
        "previous_tracks": _sequences(per_session(table, schema.TRACK_BRANCH), padding=0),
        "skip_sequence": _sequences(per_session(table, [schema.LABEL]), padding=schema.SKIP_PADDING),
        "last_track": last[list(schema.TRACK_BRANCH)].to_numpy(np.float32),
        schema.LABEL: last[schema.LABEL].to_numpy(np.float32),
        schema.SESSION_ID: last["session_text"].to_numpy(str),
    }


def select_in_loop(table: pd.DataFrame, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Each session's rows of the frame of one input, and of these its columns, without the session."""
    for _, session in table[[schema.SESSION_ID, *columns]].groupby(schema.SESSION_ID):
        yield session[list(columns)]


def select_before_loop(table: pd.DataFrame, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The same columns, told to the grouping itself, which spares pandas an index for every session."""
    for _, session in table.groupby(schema.SESSION_ID)[list(columns)]:
        yield session


def _sequences(sessions: Iterable[pd.DataFrame], *, padding: float) -> np.ndarray:
    """Each session's positions before the last, padded in front: float32 (n, 19, columns)."""
    sequences = []
    for session in sessions:
        earlier = session.to_numpy()[:-1]
        in_front = schema.STEPS - len(earlier)
        sequences.append(np.pad(earlier, ((in_front, 0), (0, 0)), constant_values=padding))
    return np.array(sequences, np.float32)
