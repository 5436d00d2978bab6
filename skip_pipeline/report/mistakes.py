"""The test sessions whose outcome the model gave the least probability."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.report.session_attributes import SessionAttributes
from skip_pipeline.settings import MISTAKES_SHOWN


@dataclass(frozen=True)
class Mistake:
    """One session whose last track was predicted wrong; the last four fields as in ``SessionAttributes``."""

    session_id: str  # as delivered; untrusted text
    not_skipped: bool  # whether the last track was played to its end
    p_not_skipped: float  # the predicted probability of that
    outcomes: tuple[bool, ...]  # of the earlier tracks, the first one first; True where played to the end
    context_type: str  # empty where it is not known
    hour: int
    premium: bool | None  # None where it is not known
    known_track: bool

    @property
    def p_of_outcome(self) -> float:
        """The predicted probability of the outcome."""
        return self.p_not_skipped if self.not_skipped else 1 - self.p_not_skipped

    @property
    def repeats_last_outcome(self) -> bool:
        """Whether the last track has the same outcome as the track before."""
        return self.not_skipped == self.outcomes[-1]

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"outcomes": [int(played) for played in self.outcomes]}


def worst_mistakes(
    test: Mapping[str, Any], p_not_skipped: np.ndarray, sessions: SessionAttributes
) -> tuple[Mistake, ...]:
    """The sessions whose true outcome got the lowest probabilities, if below one half; the lowest first.

    There are at most ``MISTAKES_SHOWN``.

    Ids and earlier outcomes of the test bundle are gathered only for the sessions returned.
    """
    not_skipped = np.asarray(test[schema.LABEL]) == 1
    given = np.where(not_skipped, p_not_skipped, 1 - p_not_skipped)
    worst = np.argsort(given, kind="stable")[:MISTAKES_SHOWN]
    worst = worst[given[worst] < 0.5]
    ids = test[schema.SESSION_ID][worst].tolist()
    skips = np.asarray(test["skip_sequence"][worst])[:, :, 0]
    premium = np.where(sessions.premium < 0, None, sessions.premium == 1)
    attributes = (sessions.context_type, sessions.hour, premium, sessions.known_track)
    columns = (array[worst].tolist() for array in (not_skipped, p_not_skipped, *attributes))
    return tuple(
        Mistake(name, played, p, tuple((skip[skip != schema.SKIP_PADDING] == 1).tolist()), *facts)
        for name, skip, played, p, *facts in zip(ids, skips, *columns, strict=True)
    )
