"""The published method as a notebook does it: pandas, scikit-learn, and Python for every session.

Our own rendering, from the published description: read both CSVs, merge on the track id, codes for the two
ids, one-hot encoding of the four categories, min-max scaling, then group by session, pad each session to 19
steps, collect in lists, and turn the lists into arrays. It checks nothing and keeps nothing.

Where the published method would give other numbers than the pipeline for a reason that is no matter of speed,
this does as the pipeline: it pads in front in every branch, keeps sessions apart by the hash of their id, and
fits the scaler on training sessions alone, clipping the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.preprocessing import MinMaxScaler

from benchmarks.one_run import Made
from skip_pipeline import raw_folder, schema
from skip_pipeline.flow.encode import split_of

_FEATURE_DTYPES: Final = {
    field.name: "float32" for field in schema.TRACK_FEATURES if field.type == pa.float32()
}
"""The decimals are printed float32; as float64 they would be other numbers than the pipeline scales."""


def notebook(raw: Path, _folder: Path) -> Made:
    """Raw CSVs to arrays per split, see ``arrays``."""
    made = arrays(raw)
    sessions = sum(len(part[schema.LABEL]) for part in made.values())
    earlier = sum(np.count_nonzero(p["skip_sequence"] != schema.SKIP_PADDING) for p in made.values())
    return Made(made, rows=int(earlier) + sessions, sessions=sessions)


def arrays(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    """Per split the arrays of ``flow.bundle.Bundle``, by name."""
    table = encoded(raw)
    split = split_of(table["session_text"].to_numpy(object))
    scaled = _scaled(table, training=split == schema.SPLITS.index("train"))
    inputs = _per_session(scaled)
    split_of_session = split[table[schema.POSITION].to_numpy() == 1]
    return {
        name: {array: values[split_of_session == code] for array, values in inputs.items()}
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
    return table


def _per_session(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Group, reindex to 19 steps, lists, arrays; step 19 of a session is its last track."""
    steps, first_track_column = list(range(schema.STEPS)), len(schema.SESSION_LOG_BRANCH)
    columns = [*schema.SESSION_LOG_BRANCH, *schema.TRACK_BRANCH]
    # By way of one matrix: a frame whose columns lie apart makes each session several times slower.
    rows = pd.DataFrame(
        table[columns].to_numpy(float),
        index=table[schema.POSITION] - table[schema.LENGTH] + schema.STEPS,
        columns=columns,
    )
    logs, tracks, skips, last_tracks, labels, ids = [], [], [], [], [], []
    for name, session in rows.groupby(table["session_text"].to_numpy()):
        padded = session.reindex(steps, fill_value=0).to_numpy()
        skip = session[schema.LABEL].reindex(steps, fill_value=schema.SKIP_PADDING)
        last = session.iloc[-1]
        logs.append(padded[:, :first_track_column].tolist())
        tracks.append(padded[:, first_track_column:].tolist())
        skips.append([[value] for value in skip])
        last_tracks.append(last.iloc[first_track_column:].tolist())
        labels.append(last[schema.LABEL])
        ids.append(name)
    return {
        "session_log": np.array(logs, np.float32),
        "previous_tracks": np.array(tracks, np.float32),
        "skip_sequence": np.array(skips, np.float32),
        "last_track": np.array(last_tracks, np.float32),
        schema.LABEL: np.array(labels, np.float32),
        schema.SESSION_ID: np.array(ids, str),
    }
