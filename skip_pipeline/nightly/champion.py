"""What a night does with the registry's champion: compare data with it, judge a challenger, predict with it.

The registry is passed in as a ``VersionRegistry``; nothing here imports MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from skip_pipeline.baselines.predictions import published_baselines
from skip_pipeline.bundles.gather import Bundle, open_bundle
from skip_pipeline.errors import (
    ContractError,
    MissingInputError,
    NoChampionError,
    RefusedError,
    UnreachableError,
)
from skip_pipeline.networks.listening import all_played
from skip_pipeline.nightly.monitoring import MonitoringReport, monitor, not_compared
from skip_pipeline.nightly.promotion_record import (
    BEST,
    BEST_OPPONENT,
    CHALLENGER,
    CHAMPION,
    DATA_SOURCE,
    DECISION,
    FINGERPRINT,
    LONGEST_TAG,
    NO_VERSION,
    OPPONENT,
    PREVIOUS_CHAMPION,
    REASONS,
    Promotion,
)
from skip_pipeline.nightly.reference import delivered_shards, read_reference
from skip_pipeline.raw.folder import data_source
from skip_pipeline.serving import ServedModel, load, read_description
from skip_pipeline.serving.model_folder import SERVED_MODEL, track_table_ids
from skip_pipeline.settings import MODEL_NAME, TEST_SET, DataLayout, DataSource
from skip_pipeline.storage import Manifest, read_manifest

if TYPE_CHECKING:  # scikit-learn, which only a decision needs
    from skip_pipeline.metrics.scores import Slicing
    from skip_pipeline.nightly.evidence import Candidate, Gate, Unusable


class Aliases(Protocol):
    """Names that point to a version of one registered model.

    Every method raises ``UnreachableError`` if the registry does not answer.
    """

    def aliases(self) -> Mapping[str, str]:
        """Version by alias; empty if there is no such model."""

    def point(self, alias: str, version: str) -> None:
        """Set an alias."""

    def drop(self, alias: str) -> None:
        """Remove an alias."""


class VersionRegistry(Aliases, Protocol):
    """Versions of one registered model, and their tags."""

    def tags(self, version: str) -> Mapping[str, str]:
        """Tags of a version."""

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""

    def fetched(self, version: str) -> AbstractContextManager[Path]:
        """Folder of a version's served model; files opened in the block stay readable after it."""

    def check_reachable(self, version: str) -> None:
        """Raise ``UnreachableError`` if the store of a version's files does not answer."""


# --- Promotion ----------------------------------------------------------------------------------------


def challenger_of(layout: DataLayout, bundles: Manifest) -> ServedModel:
    """The model that was trained last, on these bundles.

    Raises:
        ContractError: it is damaged, or it was trained on other bundles.
    """
    folder = layout.model / SERVED_MODEL
    model = load(folder)
    if model.bundles != bundles.fingerprint:
        raise ContractError(
            f"{folder} was trained on other bundles than those in {layout.bundles}; expected a model and the "
            "bundles it comes from. Materialize trained_model again"
        )
    return model


def promote(
    registry: VersionRegistry,
    challenger: str,
    model: ServedModel,
    layout: DataLayout,
    slicings: Sequence[Slicing],
) -> Promotion:
    """Judge a challenger on today's gate sessions, and move the aliases.

    The opponents are written down before anything is decided, and the decision after the aliases have been
    moved. A challenger that was judged before is judged again against the same opponents, and no alias moves.

    Args:
        registry: holds the challenger, the champion and the best version.
        challenger: version of the challenger.
        model: the challenger.
        layout: its bundles hold the gate sessions.
        slicings: of the gate sessions (``report.slices.slicings``).
    """
    from skip_pipeline.nightly.evidence import measure
    from skip_pipeline.nightly.promotion import decide

    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    tags, aliases = registry.tags(challenger), registry.aliases()
    again = DECISION in tags
    serving = {OPPONENT: aliases.get(CHAMPION), BEST_OPPONENT: aliases.get(BEST)}
    named = tags if OPPONENT in tags else serving
    opponent = _version(named.get(OPPONENT))
    best = _version(named.get(BEST_OPPONENT)) or opponent
    known = {FINGERPRINT: model.fingerprint, DATA_SOURCE: model.data_source}
    known |= {OPPONENT: opponent or NO_VERSION, BEST_OPPONENT: best or NO_VERSION}
    registry.tag(challenger, known)

    gate, tracks = open_bundle(before, "gate"), track_table_ids(layout)
    evidence = measure(
        _gate(layout, before, gate, slicings),
        _candidate(challenger, model, gate, tracks),
        _scored(registry, opponent, gate, tracks) if opponent else None,
        _scored(registry, best, gate, tracks) if best and best != opponent else None,
    )
    decision = decide(evidence)
    if not again:
        registry.point(CHALLENGER, challenger)
        versions = {"challenger": challenger, "champion": opponent, "best": best}
        move_aliases(registry, opponent, versions[decision.serves], versions[decision.best])
        registry.tag(challenger, {REASONS: decision.summary[:LONGEST_TAG], DECISION: decision.word})
    aliases = registry.aliases()
    return Promotion(
        decision=decision,
        challenger=challenger,
        opponent=opponent,
        best=best,
        champion=aliases.get(CHAMPION),
        best_now=aliases.get(BEST),
        gate_sessions=evidence.sessions,
        newest_day=evidence.newest_day,
        newest_sessions=evidence.newest_sessions,
        data_source=before.data_source,
        bundles=before.fingerprint,
        again=again,
    )


def _version(version: str | None) -> str | None:
    return None if version == NO_VERSION else version


def move_aliases(registry: Aliases, champion: str | None, serves: str | None, best: str | None) -> None:
    """Point to the version that serves from now on, the one before it, and the best one."""
    if serves and serves != champion:
        if champion:
            registry.point(PREVIOUS_CHAMPION, champion)
        registry.point(CHAMPION, serves)
    if best:
        registry.point(BEST, best)


def _gate(layout: DataLayout, before: Manifest, sessions: Bundle, slicings: Sequence[Slicing]) -> Gate:
    """The gate sessions, with the baselines' predictions of them."""
    from skip_pipeline.nightly.evidence import Gate

    days = {name: shard.day for name, shard in delivered_shards(layout).items()}
    newest_day = max(days.values(), default="")
    parts = [np.full(len(p.sessions), days[p.name] == newest_day != "") for p in sessions.parts]
    _, baselines = published_baselines(layout, before, {"gate": sessions})
    predicted = {made.name: made.p_tracks["gate"] for made in baselines}
    return Gate(
        all_played(sessions),
        predicted.pop("last_outcome"),
        predicted,
        slicings,
        newest_day,
        np.concatenate([np.empty(0, bool), *parts]),
    )


def _candidate(version: str, model: ServedModel, gate: Bundle, tracks: np.ndarray) -> Candidate:
    from skip_pipeline.nightly.evidence import Candidate

    probabilities = model.predict_bundle_tracks(gate, tracks)
    return Candidate(f"version {version}", model.data_source, probabilities, model.threshold)


def _scored(
    registry: VersionRegistry, version: str, gate: Bundle, tracks: np.ndarray
) -> Candidate | Unusable:
    """An opponent's probabilities of today's gate sessions; or why its package cannot give them.

    The challenger has been scored on the same sessions before, so a failure here is the package's. A registry
    that does not answer is no reason to replace the champion.
    """
    from skip_pipeline.nightly.evidence import Unusable

    try:
        with registry.fetched(version) as folder:
            return _candidate(version, load(folder), gate, tracks)
    except UnreachableError:
        raise
    except (MissingInputError, ContractError) as refusal:
        registry.check_reachable(version)
        known = registry.tags(version).get(DATA_SOURCE)
        source = next((s for s in ("real", "synthetic") if s == known), None)
        return Unusable(f"version {version}", source, str(refusal))


def roll_back(registry: Aliases) -> tuple[str | None, str]:
    """Make the previous champion the champion and the other way round; a second rollback undoes the first.

    A version that is withdrawn is no longer the best one; the version that serves takes its place.

    Returns:
        The version that served until now, if any, and the version that serves from now on.
    """
    aliases = registry.aliases()
    champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS_CHAMPION)
    if previous is None or previous == champion:
        raise RefusedError(
            f"{MODEL_NAME} has no {PREVIOUS_CHAMPION} (champion: {champion or NO_VERSION}), expected a "
            "version that a promotion has replaced; set the alias champion in MLflow on the version to serve"
        )
    registry.point(CHAMPION, previous)
    if champion is None:
        registry.drop(PREVIOUS_CHAMPION)
    else:
        registry.point(PREVIOUS_CHAMPION, champion)
    if champion is not None and aliases.get(BEST) == champion:
        registry.point(BEST, previous)
    return champion, previous


# --- Monitoring and prediction ------------------------------------------------------------------------


def compare_data(
    registry: VersionRegistry, layout: DataLayout, source: DataSource, *, today: date
) -> tuple[MonitoringReport, str | None]:
    """Compare the newest data with what the champion was trained on.

    A champion that cannot be compared with is an alarm and no error: promotion fails if the registry is down.

    Returns:
        The report, and the champion's version; None if it is not known.
    """
    version = None
    try:
        version = registry.aliases().get(CHAMPION)
        if version is None:
            return not_compared("there is no champion yet", alarm=False), None
        with registry.fetched(version) as folder:
            reference, champion = read_reference(folder), load(folder)
            if reference.data_source != source:
                why = f"version {version} was trained on {reference.data_source} data, and this is {source}"
                return not_compared(why, alarm=True), version
            return monitor(layout, reference, champion, today=today), version
    except (MissingInputError, ContractError) as refusal:
        prefix = f"version {version}: " if version else ""
        return not_compared(f"{prefix}{refusal}", alarm=True), version


@contextmanager
def scoring_model(registry: VersionRegistry, layout: DataLayout) -> Iterator[tuple[Path, str]]:
    """The champion, to score the test set: the folder of its served model, and its version.

    Raises:
        NoChampionError: no version is champion, or it is of synthetic data and the sessions are real.
    """
    version = registry.aliases().get(CHAMPION)
    if version is None:
        raise NoChampionError(
            f"no version of {MODEL_NAME} is {CHAMPION} (champion_model has the reasons), expected one that "
            f"scores {layout.raw / TEST_SET}; set the alias in MLflow on a version, or use "
            "skip-pipeline predict with --model"
        )
    with registry.fetched(version) as champion:
        source = read_description(champion).data_source
        if source == "synthetic" and data_source(layout.raw) == "real":
            raise NoChampionError(
                f"the {CHAMPION}, version {version}, was trained on synthetic data, expected a model of real "
                f"data for the real sessions in {layout.raw / TEST_SET}; materialize trained_model and "
                "champion_model on real data first"
            )
        yield champion, version
