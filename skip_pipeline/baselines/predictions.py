"""What baselines say of validation and test sessions: as values, and as the files of a stage.

Probabilities are kept, and fitted models are not: fitting again gives the same ones (``baselines.fit``), and
nothing has to be unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import BASELINE_FITS_FILE, BASELINES_FILE, DataLayout, DataSource
from skip_pipeline.storage import Manifest, read_json, read_manifest, read_table, write_json, write_table

PREDICTED: Final = ("validation", "test")
"""Splits that are predicted, in the order of the file."""

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "majority": (
        "Majority class",
        "The share of training sessions whose last track was played to its end, for every session.",
    ),
    "last_outcome": (
        "Last outcome",
        "The same share among the training sessions in which the track before had the same outcome.",
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
"""Title and description of each."""

_IDS_AT_ONCE: Final = 65_536  # session ids that are compared or written together, in 10 MB
_REMEDY: Final = "materialize baseline_models again"


@dataclass(frozen=True)
class BaselinePredictions:
    """What one baseline says.

    Attributes:
        name: one of ``schema.BASELINES``.
        title: for people.
        description: one sentence.
        p_not_skipped: float64 (n,) by split of ``PREDICTED``, in the bundle's order: the probability that
            each session's last track is played to its end.
        seconds: from bundles to probabilities, with all that it needs: features, and for trees a regression.
        parameters: how many numbers were fitted, where they can be counted.
        sessions: how many training sessions it learnt from; None where nobody says.
        settings: of the model, as plain values.
        features: names of what it sees; none where it sees no features.
    """

    name: str
    title: str
    description: str
    p_not_skipped: Mapping[str, np.ndarray]
    seconds: float
    parameters: int | None
    sessions: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()


def write_baselines(
    folder: Path,
    baselines: Sequence[BaselinePredictions],
    bundles: Mapping[str, Mapping[str, Any]],
    *,
    data_source: DataSource,
) -> int:
    """Write probabilities (``schema.BASELINE_PREDICTIONS``) and, as JSON, how each baseline was made.

    Args:
        folder: gets ``settings.BASELINES_FILE`` and ``settings.BASELINE_FITS_FILE``.
        baselines: those of ``schema.BASELINES``, in that order.
        bundles: that they predict.

    Returns:
        How many sessions there are.

    Raises:
        ContractError: a baseline is missing, or predicts another number of sessions than there are.
    """
    table = _keys(bundles)
    names = tuple(baseline.name for baseline in baselines)
    if names != schema.BASELINES:
        raise ContractError(f"baselines are {names}, expected {schema.BASELINES}; fit all of them together")
    for baseline in baselines:
        p = np.concatenate([baseline.p_not_skipped[split] for split in PREDICTED])
        if len(p) != table.num_rows:
            raise ContractError(
                f"{baseline.name} predicts {len(p)} sessions, expected {table.num_rows}; "
                "fit it to these bundles"
            )
        table = table.append_column(baseline.name, pa.array(p, pa.float64()))
    write_table(table, folder / BASELINES_FILE, schema.BASELINE_PREDICTIONS, data_source=data_source)
    fits = {
        baseline.name: {
            "seconds": round(baseline.seconds, 3),
            "parameters": baseline.parameters,
            "sessions": baseline.sessions,
            "settings": dict(baseline.settings),
            "features": list(baseline.features),
        }
        for baseline in baselines
    }
    write_json(folder / BASELINE_FITS_FILE, fits)
    return int(table.num_rows)


def read_baselines(folder: Path, bundles: Mapping[str, Mapping[str, Any]]) -> tuple[BaselinePredictions, ...]:
    """Read what ``write_baselines`` wrote, in the order of ``schema.BASELINES``.

    Args:
        folder: as published.
        bundles: that are to be scored; every session has to be predicted, in the same order.

    Raises:
        MissingInputError: a file is not there.
        ContractError: a file is damaged, or of other sessions.
    """
    path = folder / BASELINES_FILE
    table = read_table(path, schema.BASELINE_PREDICTIONS)
    keys = _keys(bundles)
    for name in keys.column_names:
        of_file, of_bundles = table[name].cast(pa.string()), keys[name].cast(pa.string())
        if of_file != of_bundles:
            raise ContractError(f"{path} {_difference(of_file, of_bundles)}; {_REMEDY}")
    fits = _read_fits(folder / BASELINE_FITS_FILE)
    bounds = np.cumsum([len(bundles[split][schema.LABEL]) for split in PREDICTED])[:-1]
    return tuple(
        BaselinePredictions(
            name,
            *WORDS[name],
            dict(zip(PREDICTED, np.split(table[name].to_numpy(), bounds), strict=True)),
            **fits[name],
        )
        for name in schema.BASELINES
    )


def published_baselines(
    layout: DataLayout, bundles: Mapping[str, Mapping[str, Any]]
) -> tuple[Manifest, tuple[BaselinePredictions, ...]]:
    """The published baselines of today's bundles, with their manifest.

    Args:
        layout: of the data directory.
        bundles: its bundles, every split.

    Raises:
        MissingInputError: no baselines have been published.
        ContractError: they are not readable, or were made from other bundles.
    """
    manifest = read_manifest(layout.baselines, made_by="baseline_models")
    if manifest.details["bundles"] != read_manifest(layout.bundles, made_by="tensor_bundles").fingerprint:
        raise ContractError(
            f"{layout.baselines} was made from other bundles than those in {layout.bundles}; expected "
            "predictions of the same sessions. Materialize baseline_models again"
        )
    return manifest, read_baselines(layout.baselines, bundles)


def _read_fits(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = read_json(path)
        return {
            name: {
                "seconds": float(content[name]["seconds"]),
                "parameters": content[name]["parameters"],
                "sessions": content[name]["sessions"],
                "settings": content[name]["settings"],
                "features": tuple(content[name]["features"]),
            }
            for name in schema.BASELINES
        }
    except FileNotFoundError:
        raise MissingInputError(f"{path} is missing; materialize baseline_models first") from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(f"{path} is damaged or of another version ({damage!r}); {_REMEDY}") from damage


def _keys(bundles: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Id and split of every predicted session, in order."""
    ids, splits = [], []
    for split in PREDICTED:
        n = len(bundles[split][schema.LABEL])
        ids += [
            pa.array(bundles[split][schema.SESSION_ID][start : start + _IDS_AT_ONCE], pa.string())
            for start in range(0, n, _IDS_AT_ONCE)
        ]
        splits.append(np.full(n, PREDICTED.index(split), np.int8))
    split_of = pa.DictionaryArray.from_arrays(np.concatenate(splits), pa.array(PREDICTED, pa.string()))
    fields = [schema.BASELINE_PREDICTIONS.field(name) for name in (schema.SESSION_ID, "split")]
    return pa.Table.from_arrays([pa.chunked_array(ids, pa.string()), split_of], schema=pa.schema(fields))


def _difference(found: pa.ChunkedArray, wanted: pa.ChunkedArray) -> str:
    """How two columns of keys differ."""
    if len(found) != len(wanted):
        return f"has predictions for {len(found)} sessions, and the bundles have {len(wanted)}"
    row = pc.index(pc.not_equal(found, wanted), True).as_py()
    here, there = found[row].as_py(), wanted[row].as_py()
    return f"is of other sessions than the bundles: row {row} is {here!r}, not {there!r}"
