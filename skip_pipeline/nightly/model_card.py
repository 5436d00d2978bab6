"""Descriptions in the model registry: what a version is, its training data, how it was judged, its limits."""

from typing import Final

from skip_pipeline.nightly.morning import plain
from skip_pipeline.nightly.promotion_record import KINDS_IN_WORDS, LONGEST_TAG
from skip_pipeline.nightly.reference import Reference
from skip_pipeline.serving.model_folder import Description

MODEL_CARD: Final = """\
Probability that the next track of a listening session is skipped, from the session so far and the features
of the track.

* The alias `champion` marks the version that serves; `docs/morning_after.md` explains the other aliases. Tags
  and description of a version have the decision and its reasons.
* Input: sessions as in `docs/request.json`. Output: `p_skip`, calibrated on validation sessions, and the
  probabilities of the flags.
* Not for decisions about a person: a probability is about one track in one session. Not for sessions of
  another client, or with other columns than the vocabulary of the model. A version that was trained on
  synthetic data is never for real sessions.
"""

NOT_JUDGED: Final = "Not judged yet: no night has compared it with the champion."


def version_card(described: Description, reference: Reference | None, judged: str = NOT_JUDGED) -> str:
    """The description of a version, in Markdown.

    Args:
        described: of its served model.
        reference: of its training data; None if its folder holds none.
        judged: the decision and its reasons.
    """
    source = described.data_source
    learnt = (
        f"{source.capitalize()} data, bundles {described.bundles[:12]}, {described.tracks:,} tracks known"
    )
    if reference is not None:
        newest = f", newest day {reference.newest_day}" if reference.newest_day else ""
        learnt += (
            f"; {reference.profile.sessions:,} training sessions of {len(reference.shards):,} delivered "
            f"session log{'s' if len(reference.shards) != 1 else ''}{newest}"
        )
    limits = "Decisions about a person. Sessions of another client, or with other columns."
    if source == "synthetic":
        limits = f"Real sessions: it was trained on synthetic data. {limits}"
    return (
        f"{plain(judged, LONGEST_TAG)}\n\n"  # first, because lists of versions show the first words
        f"**What.** Skips of the next track, by {KINDS_IN_WORDS[described.kind]}; preset {described.preset}, "
        f"model {described.fingerprint[:12]}.\n\n"
        f"**Trained on.** {learnt}.\n\n"
        f"**Not for.** {limits}\n"
    )
