"""The decision of a night as one self-contained HTML page: the serving version, the reasons, the history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.nightly.limits import GATE_CONFIDENCE, LEAST_GATE_SESSIONS, POWER, PROMOTION_MARGIN
from skip_pipeline.nightly.promotion_record import JudgedVersion, Promotion
from skip_pipeline.raw.description import Description
from skip_pipeline.report.html import Axis, RunLink, render
from skip_pipeline.settings import MODEL_NAME


def headline(promotion: Promotion) -> str:
    """The outcome in one sentence."""
    challenger = f"Version {promotion.challenger}"
    serving = f"version {promotion.champion} serves" if promotion.champion else "no version serves"
    if promotion.decision.promoted and promotion.champion == promotion.challenger:
        return f"{challenger} {'was promoted, and' if promotion.again else 'is promoted: it'} serves."
    if promotion.decision.promoted:  # it was rolled back since, or another version was promoted
        return f"{challenger} is as good as when it was promoted, and {serving}."
    if promotion.decision.serves == "best" and promotion.opponent and not promotion.again:
        serving = f"{serving}, the best so far, in place of version {promotion.opponent}"
    return f"{challenger} is refused, and {serving}."


def render_promotion(
    promotion: Promotion,
    *,
    description: Description,
    made_at: str,
    history: Sequence[JudgedVersion],
    runs: Sequence[RunLink],
    choice: str = "",
) -> str:
    """The page as HTML text: the decision, and versions of the model, the newest first.

    ``choice`` says why the challenger is the best of the night (``nightly.best``).
    """
    decision = promotion.decision
    reasons = sorted(decision.reasons, key=lambda reason: reason.passed)  # those that fail first
    groups = _compared(promotion)
    shown = [found for group in groups for found in group.differences.values()]
    return render(
        "promotion_page.html.j2",
        promotion=promotion,
        description=description,
        made_at=made_at,
        history=history,
        runs=runs,
        choice=choice,
        headline=headline(promotion),
        reasons=reasons,
        failed=[reason for reason in reasons if not reason.passed],
        groups=groups,
        difference_axis=Axis.over(shown, 0.0, PROMOTION_MARGIN),
        accuracy_axis=Axis.over([part.accuracy for part in decision.slices], 0.0),
        margin=PROMOTION_MARGIN,
        gate_confidence=GATE_CONFIDENCE,
        least=LEAST_GATE_SESSIONS,
        caught_with=POWER,
        model=MODEL_NAME,
    )


@dataclass(frozen=True)
class _Group:
    """Differences of log-loss on some sessions to one opponent."""

    title: str
    differences: Mapping[str, Estimate]  # by question


def _compared(promotion: Promotion) -> list[_Group]:
    """Every comparison that was made."""
    decision = promotion.decision
    newest = f"{promotion.newest_sessions:,} of the newest day, {promotion.newest_day}"
    found = [
        _Group(
            f"{decision.opponent}, on all {promotion.gate_sessions:,} gate sessions", decision.differences
        ),
        _Group(f"{decision.opponent}, on {newest}", decision.newest_day),
        _Group(f"the best version, version {promotion.best}, on all gate sessions", decision.to_best),
    ]
    return [group for group in found if group.differences]
