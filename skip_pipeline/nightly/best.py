"""The best of the night: which of the models that were trained tonight becomes the version that is judged.

Candidates are the network, the regression, the trees, and a stack of the three. All are calibrated on the
validation sessions, and the one with the lowest log-loss over every track of these sessions is chosen. A
simpler one is taken in its place if it is behind by at most one standard error of the difference, which is
often chance (the rule of Breiman et al., "Classification and regression trees", 1984), or by at most
``LEAST_GAIN``. Gate and test sessions are not read.

Every version holds the network, which tells how early a track is skipped, and answers at a distance. So the
network alone is the simplest; the others also compute hand-made features for every request.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from skip_pipeline.baselines.handmade import MODELS, HandmadeModels
from skip_pipeline.bundles.gather import check_made_from, open_bundle
from skip_pipeline.bundles.track_memory import MEMORY_FILES, Remembered, read_memory
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics import blend
from skip_pipeline.metrics.blend import NETWORK, STACK, Blend
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.scores import losses
from skip_pipeline.networks.listening import all_played
from skip_pipeline.serving.blended import log_odds_by_model, log_odds_of_tracks
from skip_pipeline.serving.model_folder import SERVED_MODEL, Description, pack
from skip_pipeline.settings import (
    BLEND_FILE,
    CALIBRATION_FILE,
    DECISION_RULE_FILE,
    HANDMADE_FILE,
    ONNX_FILE,
    TRAINING_FILE,
    WITH_MEMORY,
    DataLayout,
)
from skip_pipeline.storage import Manifest, read_json, read_manifest, write_json
from skip_pipeline.training.onnx_model import open_onnx, open_session, predict_tracks
from skip_pipeline.training.second_half import fit_rule

KINDS: Final = (NETWORK, *MODELS, STACK)
"""Kinds of versions, the simplest first."""

CHOICE_FILE: Final = "choice.json"

LEAST_GAIN: Final = 0.001
"""Nats of log-loss that a less simple candidate has to gain. Training the network again with another seed
changes it by 0.0004 (``docs/networks.md``), and hand-made features cost 3 ms a request."""


@dataclass(frozen=True)
class Candidate:
    """One kind of version and its scores on the validation sessions."""

    kind: str  # of ``KINDS``
    weights: Mapping[str, float]  # of each model's log-odds
    log_loss: float  # over every track; of a network that answers last tracks alone, over these
    log_loss_of_last: float
    behind: float  # log-loss minus the lowest of all candidates
    error: float  # standard error of that difference, over sessions


class Added(NamedTuple):
    """Log-loss that the network adds: the best candidate without it, minus the best one with it."""

    nats: float
    error: float  # standard error, over sessions


@dataclass(frozen=True)
class Choice:
    """The candidates, and the one that was chosen."""

    candidates: tuple[Candidate, ...]  # the simplest first
    chosen: str
    tracks: int
    sessions: int
    network_adds: Added | None  # None if there is no candidate without it

    @property
    def sentence(self) -> str:
        """What was chosen, why, and what the network adds."""
        by_kind = {candidate.kind: candidate for candidate in self.candidates}
        chosen = by_kind[self.chosen]
        text = f"Best of the night on {self.tracks:,} tracks of validation sessions: {_TITLES[self.chosen]}"
        if self.chosen == STACK:
            weighed = [_TITLES[name] for name, weight in chosen.weights.items() if weight > 0.0]
            text += f" of {', '.join(weighed[:-1])} and {weighed[-1]}"
        if len(self.candidates) == 1:
            return f"{text}; there is no other candidate"
        best = min(self.candidates, key=lambda candidate: candidate.log_loss)
        text += f" (log-loss {chosen.log_loss:.4f}; "
        others = [each for each in self.candidates if each is not chosen]
        text += ", ".join(f"{_TITLES[each.kind]} {each.log_loss:.4f}" for each in others) + ")"
        if best is not chosen:
            text += f", the simplest within {max(chosen.error, LEAST_GAIN):.4f} of the lowest"
        if self.network_adds:
            nats, error = self.network_adds
            text += f"; the best without the network differs by {nats:+.4f} (standard error {error:.4f})"
        return text

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {
            "network_adds": self.network_adds._asdict() if self.network_adds else None,
            "sentence": self.sentence,
        }


_TITLES: Final = {
    NETWORK: "the network",
    MODELS[0]: "the regression",
    MODELS[1]: "the trees",
    STACK: "the stack",
}


def choose(
    not_skipped: np.ndarray, p_network: np.ndarray, others: np.ndarray | None
) -> tuple[Choice, Blend | None]:
    """Choose the best of the night on validation sessions.

    Args:
        not_skipped: labels (n, 20), as in ``metrics.every_track``.
        p_network: the network's calibrated probabilities (n, 20); all but the last column NaN if it answers
            that alone.
        others: log-odds (n, 20, 2) of ``MODELS``; None if only the network is a candidate.

    Returns:
        The choice, and its blend; None if the network is chosen.
    """
    answered = ~np.isnan(not_skipped) & ~np.isnan(p_network)
    session, _ = np.nonzero(answered)
    labels = not_skipped[answered]
    blends: dict[str, Blend | None] = {NETWORK: None}
    p = {NETWORK: p_network[answered]}
    if others is not None:
        log_odds = log_odds_by_model(p[NETWORK], others[answered])
        for kind in KINDS[1:]:
            names = log_odds if kind == STACK else (kind,)
            fitted = blend.fit(labels, {name: log_odds[name] for name in names}, session)
            blends[kind], p[kind] = fitted, fitted.apply(log_odds)
    last = np.zeros(answered.shape, bool)
    last[:, -1] = True
    of_last = last[answered]
    loss = {kind: losses(labels, of_kind) for kind, of_kind in p.items()}
    best = min(loss, key=lambda kind: float(loss[kind].mean()))
    candidates = []
    for kind, of_kind in loss.items():
        behind = _difference(of_kind, loss[best], session)
        fitted_blend = blends[kind]
        weights = fitted_blend.weights if fitted_blend else {NETWORK: 1.0}
        scores = float(of_kind.mean()), float(of_kind[of_last].mean())
        candidates.append(Candidate(kind, weights, *scores, *behind))
    chosen = next(each.kind for each in candidates if each.behind <= max(each.error, LEAST_GAIN))
    adds = None
    if others is not None:
        with_network, without = (
            min(kinds, key=lambda kind: float(loss[kind].mean())) for kinds in ((NETWORK, STACK), MODELS)
        )
        adds = Added(*_difference(loss[without], loss[with_network], session))
    choice = Choice(tuple(candidates), chosen, len(labels), len(np.unique(session)), adds)
    return choice, blends[chosen]


def _difference(one: np.ndarray, other: np.ndarray, session: np.ndarray) -> tuple[float, float]:
    """Mean difference of two models' losses (tracks,), and its standard error over sessions."""
    difference = one - other
    mean = float(difference.mean())
    by_session = np.bincount(session, difference - mean)
    return mean, float(np.sqrt(np.square(by_session).sum()) / len(difference))


def make_best(layout: DataLayout, folder: Path) -> tuple[Choice, Description]:
    """Choose the best of the night, and pack it as a served model.

    Args:
        layout: with the network (``06_model``) and the other models (``06_baselines``) of tonight.
        folder: to write to: ``served_model``, and beside it its blend and decision rule if it is a blend.

    Raises:
        MissingInputError: the network or the others have not been made.
        ContractError: they were made from other bundles, or learnt from other days.
    """
    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    model = read_manifest(layout.model, made_by="trained_model")
    others = read_manifest(layout.baselines, made_by="baseline_models")
    _check_equal_input(before, model, others)
    folder.mkdir(parents=True, exist_ok=True)
    served = folder / SERVED_MODEL
    preset = read_json(model.path(TRAINING_FILE))["preset"]
    calibration = Calibration.from_json(read_json(model.path(CALIBRATION_FILE)))
    network = open_onnx(model.path(ONNX_FILE))
    validation = open_bundle(before, "validation")
    played = all_played(validation)
    if preset not in WITH_MEMORY:  # others need the memory of tracks, and answer other questions
        p_tracks = predict_tracks(network, validation)
        answered = ~np.isnan(p_tracks)
        p_tracks[answered] = calibration.apply(p_tracks[answered])
        choice, _ = choose(played, p_tracks, None)
        described = pack(
            served,
            layout,
            network=model.path(ONNX_FILE),
            calibration=model.path(CALIBRATION_FILE),
            preset=preset,
        )
        return choice, described
    split = Remembered(validation, read_memory(model.path, validation.tracks))
    handmade = HandmadeModels.of(open_session(others.path(HANDMADE_FILE)), str(others.path(HANDMADE_FILE)))
    log_odds = log_odds_of_tracks(handmade, split)
    p_network = calibration.apply(predict_tracks(network, split))
    choice, chosen = choose(played, p_network, log_odds)
    rule, blended = model.path(DECISION_RULE_FILE), None
    if chosen is not None:
        blended = folder / BLEND_FILE, others.path(HANDMADE_FILE)
        write_json(blended[0], chosen.to_json())
        p_next = chosen.apply(log_odds_by_model(p_network, log_odds))
        rule = folder / DECISION_RULE_FILE
        write_json(rule, fit_rule(network, split, calibration, p_next=p_next).to_json())
    described = pack(
        served,
        layout,
        network=model.path(ONNX_FILE),
        calibration=model.path(CALIBRATION_FILE),
        preset=preset,
        memory=model.path(MEMORY_FILES[0]),
        rule=rule,
        blended=blended,
    )
    return choice, described


def _check_equal_input(before: Manifest, model: Manifest, others: Manifest) -> None:
    for made in (model, others):
        check_made_from(before, made)
    windows = [made.details.get("train_days") for made in (model, others)]
    if windows[0] != windows[1]:
        raise ContractError(
            f"the network learnt from train_days {windows[0]} and the other models from {windows[1]}, "
            "expected the same days. Materialize trained_model and baseline_models again with the same "
            "train_days"
        )
