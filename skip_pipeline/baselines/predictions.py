"""Predictions of the baselines for validation, gate and test sessions, as values and as the files of a stage.

Probabilities are kept, fitted models are not: fitting again gives the same ones (``baselines.fit``), and
nothing has to be unpickled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.gather import check_made_from
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.networks.listening import all_played
from skip_pipeline.settings import (
    BASELINE_FITS_FILE,
    BASELINE_TRACKS_FILE,
    BASELINES_FILE,
    DataLayout,
    DataSource,
)
from skip_pipeline.storage import Manifest, read_json, read_manifest, read_table, write_json, write_table

PREDICTED: Final = ("validation", "gate", "test")
"""Splits that are predicted, in the order of the file."""

_WORDS: Final[Mapping[str, tuple[str, str]]] = {  # title and description
    "majority": (
        "Majority class",
        "The share of training tracks that were played to their end, for every track.",
    ),
    "last_outcome": (
        "Last outcome",
        "The same share among the training tracks whose track before had the same outcome.",
    ),
    "logistic_regression": (
        "Logistic regression",
        "Logistic regression on standardised hand-made features of the whole history.",
    ),
    "gradient_boosted_trees": (
        "Gradient-boosted trees",
        "Gradient-boosted trees on those features and on the regression's answer.",
    ),
}

_REMEDY: Final = "materialize baseline_models again"


@dataclass(frozen=True)
class BaselinePredictions:
    """The predictions of one baseline, and how it was fitted."""

    name: str  # one of ``schema.BASELINES``
    p_not_skipped: Mapping[str, np.ndarray]
    """Of the last track: float64 (n,) by split, in the bundle's order."""
    p_tracks: Mapping[str, np.ndarray] = field(kw_only=True)
    """Of every track, from the tracks before it: float32 (n, 20) by split, NaN in padding."""
    seconds: float  # from bundles to probabilities, with everything it needs, such as features
    parameters: int | None  # number fitted; None if unknown
    sessions: int | None = None  # number of training sessions; None if unknown
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the model, as plain values
    features: tuple[str, ...] = ()  # names of its inputs; empty for a rule

    @property
    def title(self) -> str:
        """Its name on a page."""
        return _WORDS[self.name][0]

    @property
    def description(self) -> str:
        """One sentence."""
        return _WORDS[self.name][1]


def write_baselines(
    folder: Path,
    baselines: Sequence[BaselinePredictions],
    bundles: Mapping[str, Mapping[str, Any]],
    *,
    data_source: DataSource,
) -> int:
    """Write probabilities and, as JSON, how each baseline was fitted; returns the number of sessions."""
    names = tuple(baseline.name for baseline in baselines)
    if names != schema.BASELINES:
        raise ContractError(f"baselines are {names}, expected {schema.BASELINES}; fit all of them together")
    real = _real(bundles, PREDICTED)
    sessions = _keys(bundles, PREDICTED)
    tracks = _track_keys(sessions, real)
    fits = {}
    for baseline in baselines:
        p = np.concatenate([baseline.p_not_skipped[split] for split in PREDICTED])
        p_tracks = np.concatenate([baseline.p_tracks[split] for split in PREDICTED])
        for of_sessions in (p, p_tracks):
            if len(of_sessions) != len(real):
                raise ContractError(
                    f"{baseline.name} predicts {len(of_sessions)} sessions, expected {len(real)}; "
                    "fit it to these bundles"
                )
        sessions = sessions.append_column(baseline.name, pa.array(p, pa.float64()))
        tracks = tracks.append_column(baseline.name, pa.array(p_tracks[real], pa.float32()))
        fit = asdict(baseline)
        del fit["name"], fit["p_not_skipped"], fit["p_tracks"]
        fits[baseline.name] = fit | {"seconds": round(baseline.seconds, 3)}
    write_table(sessions, folder / BASELINES_FILE, schema.BASELINE_PREDICTIONS, data_source=data_source)
    of_tracks = schema.BASELINE_TRACK_PREDICTIONS
    write_table(tracks, folder / BASELINE_TRACKS_FILE, of_tracks, data_source=data_source)
    write_json(folder / BASELINE_FITS_FILE, fits)
    return int(sessions.num_rows)


def read_baselines(
    find: Callable[[str], Path], bundles: Mapping[str, Mapping[str, Any]]
) -> tuple[BaselinePredictions, ...]:
    """Read predictions from the files of ``write_baselines``.

    Args:
        find: gives the path of a file of the stage (``Manifest.path``).
        bundles: the splits to read; their sessions must be those of the files, in the same order.
    """
    path, tracks_path, fits_path = map(find, (BASELINES_FILE, BASELINE_TRACKS_FILE, BASELINE_FITS_FILE))
    splits = [split for split in PREDICTED if split in bundles]
    sessions = _of_splits(read_table(path, schema.BASELINE_PREDICTIONS), splits)
    tracks = _of_splits(read_table(tracks_path, schema.BASELINE_TRACK_PREDICTIONS), splits)
    keys = _keys(bundles, splits)
    _need_equal(sessions, keys, path, "sessions")
    real = _real(bundles, splits)
    _need_equal(tracks, _track_keys(keys, real), tracks_path, "tracks")
    ends = np.cumsum([len(bundles[split][schema.LABEL]) for split in splits])[:-1]
    baselines = []
    try:
        fits = read_json(fits_path)
        for name in schema.BASELINES:
            p_tracks = np.full(real.shape, np.nan, np.float32)
            p_tracks[real] = tracks[name].to_numpy()
            of_last, of_every = (
                dict(zip(splits, np.split(p, ends), strict=True))
                for p in (sessions[name].to_numpy(), p_tracks)
            )
            fit = fits[name] | {"features": tuple(fits[name]["features"])}
            baselines.append(BaselinePredictions(name, of_last, p_tracks=of_every, **fit))
    except FileNotFoundError:
        raise MissingInputError(f"{fits_path} is missing; materialize baseline_models first") from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(
            f"{fits_path} is damaged or of another version ({damage!r}); {_REMEDY}"
        ) from damage
    return tuple(baselines)


def published_baselines(
    layout: DataLayout, before: Manifest, bundles: Mapping[str, Mapping[str, Any]]
) -> tuple[Manifest, tuple[BaselinePredictions, ...]]:
    """The published baselines of some bundles, with their manifest.

    Args:
        layout: of the data directory.
        before: manifest of the bundles.
        bundles: the splits to read.

    Raises:
        MissingInputError: no baselines have been published.
        ContractError: they are not readable, or were made from other bundles.
    """
    manifest = read_manifest(layout.baselines, made_by="baseline_models")
    check_made_from(before, manifest)
    return manifest, read_baselines(manifest.path, bundles)


def _need_equal(table: pa.Table, keys: pa.Table, path: Path, of: str) -> None:
    """Raise unless a table has these values in the columns that tell its rows apart."""
    if table.num_rows != keys.num_rows:
        fact = f"has predictions for {table.num_rows} {of}, and the bundles have {keys.num_rows}"
        raise ContractError(f"{path} {fact}; {_REMEDY}")
    for name in keys.column_names:
        found, wanted = table[name].cast(pa.string()), keys[name].cast(pa.string())
        if found != wanted:
            row = pc.index(pc.not_equal(found, wanted), True).as_py()
            fact = f"{name} of row {row} is {found[row].as_py()!r}, not {wanted[row].as_py()!r}"
            raise ContractError(f"{path} is of other sessions than the bundles: {fact}; {_REMEDY}")


def _of_splits(table: pa.Table, splits: Sequence[str]) -> pa.Table:
    """The rows of these splits."""
    return table.filter(pc.is_in(table["split"].cast(pa.string()), pa.array(splits, pa.string())))


def _keys(bundles: Mapping[str, Mapping[str, Any]], splits: Sequence[str]) -> pa.Table:
    """Id and split of every session of these splits, in order."""
    fields = [schema.BASELINE_PREDICTIONS.field(name) for name in (schema.SESSION_ID, "split")]
    ids = [pa.array(np.asarray(bundles[split][schema.SESSION_ID]), pa.string()) for split in splits]
    number = np.repeat(np.arange(len(splits), dtype=np.int8), [len(each) for each in ids])
    split_of = pa.DictionaryArray.from_arrays(number, pa.array(splits, pa.string()))
    return pa.Table.from_arrays([pa.chunked_array(ids, pa.string()), split_of], schema=pa.schema(fields))


def _real(bundles: Mapping[str, Mapping[str, Any]], splits: Sequence[str]) -> np.ndarray:
    """Where the sessions of these splits have a track: bool (n, 20), in order."""
    return np.concatenate([~np.isnan(all_played(bundles[split])) for split in splits])


def _track_keys(sessions: pa.Table, real: np.ndarray) -> pa.Table:
    """Id, split and position of every track of the predicted sessions, in order.

    Args:
        sessions: ``_keys``.
        real: where these sessions have a track, bool (n, 20).
    """
    position = np.cumsum(real, axis=1, dtype=np.int8)[real]
    rows = sessions.take(pa.array(np.nonzero(real)[0]))
    return rows.append_column(schema.BASELINE_TRACK_PREDICTIONS.field(schema.POSITION), pa.array(position))
