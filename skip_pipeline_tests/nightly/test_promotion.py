from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.nightly.promotion import Candidate, Decision, Unusable, decide

N = 400
LABELS = np.arange(N) % 2
LAST = np.where(LABELS == 1, 0.55, 0.45)  # log-loss 0.598


@dataclass(frozen=True)
class Way:
    name: str
    labels: tuple[str, ...]
    slice_of: np.ndarray


HALVES = Way("half", ("first", "second"), (np.arange(N) >= N // 2).astype(int))


def sure(p: float, name: str = "version 2", source: str = "real") -> Candidate:
    """A model that gives p to what happens."""
    return Candidate(name, source, np.where(LABELS == 1, p, 1 - p))


def judged(challenger: Candidate, champion: Candidate | Unusable | None, **rules) -> Decision:
    return decide(LABELS, challenger, champion, last_outcome=LAST, **{"slice_limits": {}, **rules})


def test_the_first_model_is_promoted_when_it_beats_the_baseline():
    decision = judged(sure(0.7), None)

    assert decision.promoted
    assert decision.summary == (
        "Promoted: there is no champion yet; log-loss 0.3567, and 0.5978 by going by the last outcome"
    )
    assert decision.log_loss_difference is None


def test_the_first_model_is_refused_when_it_does_not():
    decision = judged(sure(0.52), None)

    assert not decision.promoted
    assert decision.summary == "Refused: log-loss 0.6539, and 0.5978 by going by the last outcome"


def test_a_better_model_follows_the_champion():
    decision = judged(sure(0.75), sure(0.7, "version 1"))

    assert decision.promoted
    assert decision.log_loss_difference is not None
    assert decision.log_loss_difference.value == pytest.approx(np.log(0.7) - np.log(0.75))
    assert "version 2 minus version 1: -0.0690" in decision.summary


def test_a_model_that_is_a_little_worse_is_within_the_margin_and_one_that_is_much_worse_is_not():
    champion = sure(0.7, "version 1")

    assert judged(sure(0.695), champion, margin=0.01).promoted
    refused = judged(sure(0.65), champion, margin=0.01)
    assert not refused.promoted
    assert refused.summary.startswith("Refused: log-loss of version 2 minus version 1: +0.0741")


def test_uncertainty_counts_against_the_challenger():
    shaky = sure(0.7)
    p = shaky.p_not_skipped.copy()
    p[:20] = np.where(LABELS[:20] == 1, 0.05, 0.95)
    p[20:] = np.where(LABELS[20:] == 1, 0.807, 0.193)
    shaky = replace(shaky, p_not_skipped=p)

    decision = judged(shaky, sure(0.7, "version 1"), margin=0.01)

    assert decision.log_loss_difference is not None
    assert decision.log_loss_difference.value < 0.01 < decision.log_loss_difference.high
    assert not decision.promoted


def test_a_slice_may_not_pay_for_the_others():
    p = sure(0.9).p_not_skipped.copy()
    p[N // 2 :][::5] = 1 - p[N // 2 :][::5]  # a fifth of the second half is now wrong
    uneven = Candidate("version 2", "real", p)

    decision = judged(
        uneven, sure(0.6, "version 1"), margin=1.0, slicings=[HALVES], slice_limits={"half": 0.05}
    )

    assert not decision.promoted
    assert decision.summary == (
        "Refused: accuracy by half falls for second by 20.0% of 200 sessions (allowed 5%)"
    )


def test_a_fall_within_chance_is_no_fall():
    p = sure(0.9).p_not_skipped.copy()
    few = Way("few", ("most", "some"), (np.arange(N) >= N - 8).astype(int))
    p[N - 1] = 1 - p[N - 1]  # one of eight

    decision = judged(
        Candidate("version 2", "real", p),
        sure(0.6, "version 1"),
        slicings=[few],
        slice_limits={"few": 0.05},
    )

    assert decision.promoted


def test_each_model_is_right_or_wrong_at_its_own_threshold():
    low = Candidate("version 2", "real", np.where(LABELS == 1, 0.4, 0.1), threshold=0.3)

    decision = judged(low, sure(0.6, "version 1"), margin=1.0, slicings=[HALVES], slice_limits={"half": 0.0})

    assert "falls nowhere" in decision.reasons[-1].facts


def test_synthetic_and_real_are_never_compared():
    onto_real = judged(sure(0.9, source="synthetic"), sure(0.6, "version 1", "real"))
    onto_synthetic = judged(sure(0.7, source="real"), sure(0.9, "version 1", "synthetic"))

    assert not onto_real.promoted
    assert onto_real.summary == (
        "Refused: the champion, version 1, was trained on real data, version 2 on synthetic data"
    )
    assert onto_synthetic.promoted
    assert onto_synthetic.log_loss_difference is None
    assert "is no measure for real data" in onto_synthetic.summary


@pytest.mark.parametrize("source", ["real", "synthetic"])
def test_a_champion_that_cannot_be_used_is_followed(source):
    gone = Unusable("version 1", source, "its files are gone")

    decision = judged(sure(0.7, source=source), gone)

    assert decision.promoted
    assert "version 1, cannot be used: its files are gone" in decision.summary


@pytest.mark.parametrize("source", ["real", None])
def test_a_synthetic_challenger_does_not_follow_an_unusable_champion_that_may_be_real(source):
    assert not judged(sure(0.7, source="synthetic"), Unusable("version 1", source, "gone")).promoted


def test_a_decision_is_json():
    content = json.loads(json.dumps(judged(sure(0.75), sure(0.7, "version 1")).to_json()))

    assert content["promoted"] is True
    assert [reason["rule"] for reason in content["reasons"]] == [
        "beats the last outcome",
        "not worse than the champion",
    ]


def test_other_sessions_are_refused():
    short = Candidate("version 2", "real", np.full(3, 0.5))

    with pytest.raises(ContractError, match="version 2 has probabilities of shape"):
        judged(short, None)
    with pytest.raises(ContractError, match="version 1 has probabilities of shape"):
        judged(sure(0.7), replace(short, name="version 1"))
    with pytest.raises(ContractError, match="the baseline has"):
        decide(LABELS, sure(0.7), None, last_outcome=np.full(3, 0.5))


def test_a_slicing_that_there_is_not_is_refused():
    with pytest.raises(ContractError, match="no slicing"):
        judged(sure(0.7), sure(0.7, "version 1"), slice_limits={"nonsense": 0.1})


def test_one_outcome_is_refused():
    with pytest.raises(TrainingError, match="both outcomes"):
        decide(np.ones(3), Candidate("v", "real", np.ones(3)), None, last_outcome=np.ones(3))
