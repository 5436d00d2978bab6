"""Predictions of the baselines for validation and test sessions, as values and as the files of a stage.

Probabilities are kept, fitted models are not: fitting again gives the same ones (``baselines.fit``), and
nothing has to be unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
"""Title and description of each of ``schema.BASELINES``."""

_IDS_AT_ONCE: Final = 65_536  # session ids that are gathered together, 10 MB
_REMEDY: Final = "materialize baseline_models again"


@dataclass(frozen=True)
class BaselinePredictions:
    """The predictions of one baseline, and how it was fitted.

    Attributes:
        name: one of ``schema.BASELINES``.
        p_not_skipped: float64 (n,) by split of ``PREDICTED``, in the bundle's order.
        seconds: from bundles to probabilities, with everything it needs, such as features.
        parameters: number fitted; None if unknown.
        sessions: number of training sessions; None if unknown.
        settings: of the model, as plain values.
        features: names of its inputs; empty for a rule.
    """

    name: str
    p_not_skipped: Mapping[str, np.ndarray]
    seconds: float
    parameters: int | None
    sessions: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name on a page."""
        return WORDS[self.name][0]

    @property
    def description(self) -> str:
        """One sentence."""
        return WORDS[self.name][1]


def write_baselines(
    folder: Path,
    baselines: Sequence[BaselinePredictions],
    bundles: Mapping[str, Mapping[str, Any]],
    *,
    data_source: DataSource,
) -> int:
    """Write probabilities (``schema.BASELINE_PREDICTIONS``) and, as JSON, how each baseline was fitted.

    Args:
        folder: gets ``settings.BASELINES_FILE`` and ``settings.BASELINE_FITS_FILE``.
        baselines: those of ``schema.BASELINES``, in that order.
        bundles: that they predict.

    Returns:
        The number of sessions.

    Raises:
        ContractError: a baseline is missing, or predicts another number of sessions.
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


def read_baselines(
    find: Callable[[str], Path], bundles: Mapping[str, Mapping[str, Any]]
) -> tuple[BaselinePredictions, ...]:
    """Read the files of ``write_baselines``, in the order of ``schema.BASELINES``.

    Args:
        find: gives the path of a file of the stage (``Manifest.path``).
        bundles: to be scored; their sessions must be those of the file, in the same order.

    Raises:
        MissingInputError: a file is missing.
        ContractError: a file is damaged, or of other sessions.
    """
    path, fits_path = find(BASELINES_FILE), find(BASELINE_FITS_FILE)
    table = read_table(path, schema.BASELINE_PREDICTIONS)
    keys = _keys(bundles)
    for name in keys.column_names:
        of_file, of_bundles = table[name].cast(pa.string()), keys[name].cast(pa.string())
        if of_file != of_bundles:
            raise ContractError(f"{path} {_difference(of_file, of_bundles)}; {_REMEDY}")
    end_of_validation = len(bundles[PREDICTED[0]][schema.LABEL])
    baselines = []
    try:
        fits = read_json(fits_path)
        for name in schema.BASELINES:
            p = np.split(table[name].to_numpy(), [end_of_validation])
            fit = fits[name]
            baselines.append(
                BaselinePredictions(
                    name,
                    dict(zip(PREDICTED, p, strict=True)),
                    seconds=float(fit["seconds"]),
                    parameters=fit["parameters"],
                    sessions=fit["sessions"],
                    settings=fit["settings"],
                    features=tuple(fit["features"]),
                )
            )
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
        bundles: every split.

    Raises:
        MissingInputError: no baselines have been published.
        ContractError: they are not readable, or were made from other bundles.
    """
    manifest = read_manifest(layout.baselines, made_by="baseline_models")
    if manifest.details["bundles"] != before.fingerprint:
        raise ContractError(
            f"{layout.baselines} was made from other bundles than those in {layout.bundles}; expected "
            "predictions of the same sessions. Materialize baseline_models again"
        )
    return manifest, read_baselines(manifest.path, bundles)


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
    if len(found) != len(wanted):
        return f"has predictions for {len(found)} sessions, and the bundles have {len(wanted)}"
    row = pc.index(pc.not_equal(found, wanted), True).as_py()
    here, there = found[row].as_py(), wanted[row].as_py()
    return f"is of other sessions than the bundles: row {row} is {here!r}, not {there!r}"
