"""Published figures that the world is known not to reach, each with its reason in words.

Nothing here makes a figure pass: a reason only says on the page why it fails.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True)
class Deviation:
    """Figures that may fail for a reason that lies in how the world is made.

    Attributes:
        group: name of a published group, or a pattern in the manner of file names.
        key: name of a figure, or a pattern.
        reason: one sentence for the reader of the page.
    """

    group: str
    key: str
    reason: str


DEVIATIONS: Final[tuple[Deviation, ...]] = (
    Deviation(
        "clusters",
        "*",
        "the sizes depend on the joint shape of the acoustic vectors beyond their margins and correlations, "
        "of which nothing else is published",
    ),
    Deviation(
        "second_track",
        "*",
        "one particular real track; the second most played track of the world is another",
    ),
    *(
        Deviation(
            "seeks",
            f"* / {statistic}",
            "depends on the few rows with most seeks: one row with 151 seeks back makes a third of that "
            "published variance. The world's tail has the same shape, but its most extreme rows are random",
        )
        for statistic in ("std", "max", "distinct values")
    ),
    Deviation(
        "dates_distinct",
        "*",
        "eleven of the published dates have one to three sessions each; a world draws only some of them",
    ),
    *(
        Deviation(
            "flags_by_reason_start",
            f"{start} / {flag}",
            "a rare start; in the world neither shuffle nor premium makes it more likely",
        )
        for start in ("endplay", "playbtn", "trackerror")
        for flag in ("hist_user_behavior_is_shuffle", "premium")
    ),
    Deviation(
        "loudness_of_rows",
        "loudness / 0.1%",
        "depends on the number of plays of the few quietest tracks",
    ),
    Deviation(
        "distinct_values",
        "us_popularity_estimate",
        "the column is float32 here, which has about 43,000 different values near 100",
    ),
    Deviation(
        "features_by_hour_band",
        "*",
        "in the world the hour affects the beat strength of chosen tracks, but neither energy nor valence",
    ),
    Deviation(
        "correlations_of_rows",
        "hist_user_behavior_n_seekback ~ hist_user_behavior_n_seekfwd",
        "in the world the two kinds of seek are related only through reasons of start and end",
    ),
    Deviation(
        "correlations_of_rows",
        "acoustic_vector_* ~ context_type_*",
        "in the world only sessions of the context type catalog choose other music than the rest",
    ),
)
"""The first that fits is given."""


def known_reason(group: str, key: str) -> str:
    """Reason of the first deviation that fits, or the empty string."""
    for deviation in DEVIATIONS:
        if fnmatchcase(group, deviation.group) and fnmatchcase(key, deviation.key):
            return deviation.reason
    return ""
