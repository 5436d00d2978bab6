"""The decision of a night as one self-contained HTML page: the serving version, the reasons, the history."""

from __future__ import annotations

from collections.abc import Sequence

from skip_pipeline.nightly.promotion import LAST_TRACK, NEXT_TRACK
from skip_pipeline.nightly.promotion_record import JudgedVersion, Promotion
from skip_pipeline.raw.description import Description
from skip_pipeline.report.html import Axis, RunLink, render
from skip_pipeline.settings import MODEL_NAME, PROMOTION_MARGIN


def headline(promotion: Promotion) -> str:
    """The outcome in one sentence."""
    challenger = f"Version {promotion.challenger}"
    serving = f"version {promotion.champion} serves" if promotion.champion else "no version serves"
    if promotion.decision.promoted and promotion.champion == promotion.challenger:
        return f"{challenger} {'was promoted, and' if promotion.again else 'is promoted: it'} serves."
    if promotion.decision.promoted:  # it was rolled back since, or another version was promoted
        return f"{challenger} is as good as when it was promoted, and {serving}."
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
    differences = {LAST_TRACK: decision.log_loss_difference, NEXT_TRACK: decision.next_track_difference}
    compared = {question: found for question, found in differences.items() if found}
    return render(
        "promotion_page.html.j2",
        promotion=promotion,
        description=description,
        made_at=made_at,
        history=history,
        runs=runs,
        choice=choice,
        headline=headline(promotion),
        compared=compared,
        difference_axis=Axis.over(compared.values(), 0.0, PROMOTION_MARGIN),
        accuracy_axis=Axis.over([part.accuracy for part in promotion.decision.slices], 0.0),
        margin=PROMOTION_MARGIN,
        model=MODEL_NAME,
    )
