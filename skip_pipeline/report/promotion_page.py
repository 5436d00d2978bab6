"""The night's decision as one HTML page that needs nothing else: who serves, why, and who served before."""

from __future__ import annotations

from dataclasses import dataclass

from skip_pipeline.nightly.promotion_record import JudgedVersion, Promotion
from skip_pipeline.report.html import Axis, RunLink, render
from skip_pipeline.settings import CONFIDENCE, MODEL_NAME, PROMOTION_MARGIN


@dataclass(frozen=True)
class PromotionContent:
    """All that the page says.

    Attributes:
        promotion: the decision and whom it concerns.
        made_at: when, in words.
        history: versions of the model, the newest first, the one just judged among them.
        runs: the runs that made it.
    """

    promotion: Promotion
    made_at: str
    history: tuple[JudgedVersion, ...]
    runs: tuple[RunLink, ...]


def headline(promotion: Promotion) -> str:
    """The outcome in one sentence."""
    challenger = f"Version {promotion.challenger}"
    serving = f"version {promotion.champion} serves" if promotion.champion else "no version serves"
    if promotion.decision.promoted and promotion.champion == promotion.challenger:
        return f"{challenger} {'was promoted, and' if promotion.again else 'is promoted: it'} serves."
    if promotion.decision.promoted:  # it was withdrawn since, or another has followed it
        return f"{challenger} is as good as when it was promoted, and {serving}."
    return f"{challenger} is refused, and {serving}."


def render_promotion(content: PromotionContent) -> str:
    """The page as HTML text, to be written as UTF-8."""
    decision = content.promotion.decision
    difference = decision.log_loss_difference
    facts = {"confidence": CONFIDENCE, "margin": PROMOTION_MARGIN, "model": MODEL_NAME}
    axes = {
        "log_loss": Axis.over([difference] if difference else [], 0.0, PROMOTION_MARGIN),
        "accuracy": Axis.over([part.accuracy for part in decision.slices], 0.0),
    }
    return render(
        "promotion.html.j2",
        content=content,
        promotion=content.promotion,
        headline=headline(content.promotion),
        axes=axes,
        facts=facts,
    )
