"""The page about oneself as self-contained HTML: what is skipped, when, and how predictably."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from skip_pipeline import schema
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.raw.description import Description
from skip_pipeline.raw.own_listening import OwnListening
from skip_pipeline.report.html import Axis, render
from skip_pipeline.report.newest_tenth import ByTime, Judged, ModelScores
from skip_pipeline.report.own_listening import FEW_PLAYS, Listening, Row, Rows

_TITLES: Final[Mapping[str, str]] = {
    "majority": "always the commoner answer",
    "last_outcome": "the same as with the track before",
    "logistic_regression": "logistic regression",
    "gradient_boosted_trees": "gradient-boosted trees",
}
_UNKNOWN: Final[Mapping[str, str]] = {
    "context_switch": "changes to another list before a track",
    "context_type": "the kind of list a track was played from",
    "premium": "the kind of account",
    "hist_user_behavior_n_seekfwd": "seeking forward",
    "hist_user_behavior_n_seekback": "seeking back",
}
_CAUSES_SHOWN: Final = 3


@dataclasses.dataclass(frozen=True)
class Cause:
    """A group of the network's inputs, and what exchanging it costs."""

    title: str
    rise: Estimate  # of log-loss, in nats


def title_of(model: ModelScores) -> str:
    """A model in plain words."""
    return "the network" if model.is_network else _TITLES[model.name]


def of_ten(accuracy: float) -> str:
    """An accuracy as a count of ten.

    >>> of_ten(0.853)
    '8.5 of 10'
    """
    return f"{10 * accuracy:.1f} of 10"


def right(judged: Judged) -> str:
    """How often the network is right, in one sentence."""
    if judged.every:
        return f"The network is right about {of_ten(judged.every.network.accuracy.value)} tracks."
    return (
        f"The network is right about the last track of {of_ten(judged.last.network.accuracy.value)} sessions."
    )


def beside(judged: Judged) -> str:
    """How often the simple answers are right, and how the best rival compares."""
    question = judged.every or judged.last
    accuracy = {model.name: model.accuracy.value for model in question.models}
    text = (
        f"Expecting the same as with the track before is right {of_ten(accuracy['last_outcome'])} times; "
        f"always giving the answer that was commoner in training, {of_ten(accuracy['majority'])} times."
    )
    rival = question.best_rival
    difference = rival.log_loss_difference
    if difference is None or not difference.excludes_zero:
        return f"{text} By log-loss, the best rival, {title_of(rival)}, does not differ beyond chance."
    word = "worse" if difference.value > 0 else "better"
    return f"{text} By log-loss, the best rival, {title_of(rival)}, is {word} beyond chance."


def causes(importance: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Groups of inputs on which the prediction hangs beyond chance, from the report's metrics.json."""
    found = [
        Cause(group["title"].rpartition(": ")[2], Estimate(**group["rise"]))
        for group in importance["inputs"]
        if group["kind"] == "features"
    ]
    return tuple(cause for cause in found if cause.rise.low > 0)


def hangs_on(found: tuple[Cause, ...]) -> str:
    """What matters most, in one sentence."""
    if not found:
        return "No group of inputs alone matters beyond chance: each can be replaced by the others."
    titles = [cause.title for cause in found[:_CAUSES_SHOWN]]
    return f"What the network needs most, in this order: {'; '.join(titles)}."


def unknown(columns: tuple[str, ...]) -> list[str]:
    """What the export does not know, in words."""
    words = [_UNKNOWN[name] for name in _UNKNOWN if name in columns]
    features = [name for name in schema.TRACK_ATTRIBUTES if name in columns]
    if len(features) == len(schema.TRACK_ATTRIBUTES):
        return [*words, "duration, year, popularity and sound of the tracks"]
    return [*words, f"of some or all tracks: {', '.join(features)}"] if features else words


def extremes(rows: Rows) -> tuple[Row, Row] | None:
    """The rows of the lowest and the highest share among those with enough plays; None of fewer than two."""
    enough = sorted((row for row in rows if not row.few), key=lambda row: row.share)
    return (enough[0], enough[-1]) if len(enough) > 1 else None


def year_labels(periods: Rows) -> list[str]:
    """A year below its first month or quarter, and nothing below the others.

    >>> year_labels((Row("Q4 2013", 1, 0), Row("Q1 2014", 1, 0), Row("Q2 2014", 1, 0)))
    ['', '2014', '']
    """
    years = [row.label[-4:] for row in periods]
    labels = [year if i == 0 or year != years[i - 1] else "" for i, year in enumerate(years)]
    if any(labels[1:3]):  # two labels side by side would overlap
        labels[0] = ""
    return labels


def render_own_listening(
    listening: Listening,
    marker: OwnListening,
    *,
    newest: ByTime | str,
    by_hash: Judged,
    importance: Mapping[str, Any],
    names: Mapping[int, str],
    made_at: str,
) -> str:
    """The page as HTML text.

    Args:
        listening: what was counted.
        marker: whose listening it is.
        newest: the judgement on the newest tenth, or why there is none.
        by_hash: the same by session hash.
        importance: of the evaluation report's metrics.json.
        names: name of each artist by number; empty if the page must have no name.
        made_at: date and time.
    """
    artists = tuple(
        dataclasses.replace(row, label=names.get(int(row.label), f"artist {row.label}"))
        for row in listening.artists
    )
    found = causes(importance)
    cells = [cell.share for day in listening.week for cell in day if not cell.few]
    judged = by_hash if isinstance(newest, str) else newest.judged
    return render(
        "own_listening_page.html.j2",
        listening=listening,
        artists=artists,
        marker=marker,
        week_axis=Axis(min(cells, default=0.0), max(cells, default=1.0)),
        period_labels=year_labels(listening.periods),
        hour_labels=[f"{hour:02d}" if hour % 3 == 0 else "" for hour in range(24)],
        few_plays=FEW_PLAYS,
        newest=newest,
        not_judged=newest if isinstance(newest, str) else "",
        by_hash=by_hash,
        judged=judged,
        right=right(judged),
        beside=beside(judged),
        causes=found,
        hangs_on=hangs_on(found),
        cause_axis=Axis.over([cause.rise for cause in found], 0.0),
        unknown=unknown(marker.unknown),
        extremes=extremes,
        title_of=title_of,
        named=bool(names),
        made_at=made_at,
        description=Description(),  # no banner: the page itself says what the data are and what is missing
    )
