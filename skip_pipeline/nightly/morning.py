"""The morning message: what a night decided, as one short text for a log, a chat and a mail.

Text that comes from data, from errors or from addresses is cut, put on one line, and cannot form a link
with a label of its own. ``for_chat`` escapes the whole for Slack and Teams, whose markup mentions people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from skip_pipeline.nightly.promotion_record import PROMOTION_FILE
from skip_pipeline.settings import EXAMPLES_SHOWN

LONGEST_FACT: Final = 600
"""Characters of one fact: an error message with its remedy takes 300."""

_REASONS: Final = 2
"""Reasons of a decision that are told: the comparison with the champion has one for each question."""


@dataclass(frozen=True)
class FailedStep:
    """A step of the night that failed, and its error."""

    step: str  # name of the asset or check; empty if the run failed outside its steps
    error: str


@dataclass(frozen=True)
class Link:
    """An address, or the path of a file, with what is there."""

    label: str
    address: str


@dataclass(frozen=True)
class Night:
    """What is known of a night that has ended."""

    started: datetime  # with its time zone
    seconds: float  # of the whole run
    succeeded: bool
    data: str  # a few words, such as "synthetic data"; empty for the public data
    promotion: Mapping[str, Any] | None = None  # promotion.json; None if the night made no decision
    metrics: Mapping[str, Any] | None = None  # metrics.json; None if the night made no report
    drift: Mapping[str, Any] | None = None  # drift.json; None if the night compared no data
    replaced: tuple[str, ...] = ()  # names of the night's files that a later run has replaced
    failed: tuple[FailedStep, ...] = ()
    links: tuple[Link, ...] = ()


def morning_message(night: Night) -> str:
    """The message of a night: decision, figures, alarms, links; and on a failed night the steps that failed.

    >>> print(morning_message(Night(datetime(2018, 7, 17, 2), 90.0, False, "synthetic data",
    ...     failed=(FailedStep("merged_table", "log_1.csv: row 3 has no session_id"),),
    ...     links=(Link("Dagster run", "http://127.0.0.1:3000/runs/1"),))))
    Night of 17 July 2018, 02:00, synthetic data: failed after 2 min.
    Step merged_table failed: log_1.csv: row 3 has no session_id
    No model was judged, and the champion is the same as before.
    Dagster run: http://127.0.0.1:3000/runs/1
    """
    alarms = [*(night.promotion or {}).get("alarms", ()), *(night.drift or {}).get("alarms", ())]
    lines = [
        _head(night),
        *(_failure(failed) for failed in night.failed[:EXAMPLES_SHOWN]),
        *(f"{name} of this night was replaced by a later run." for name in night.replaced),
        *_decision(night),
        *_figures(night.metrics),
        *(_alarms(list(dict.fromkeys(alarms))) if night.promotion or night.drift else ()),
        *(f"{link.label}: {plain(link.address)}" for link in night.links),
    ]
    return "\n".join(lines)


def for_chat(message: str) -> str:
    """The message as Slack and Teams take it: the characters of their markup for mentions and links escaped.

    >>> for_chat("1 < 2 & <!channel>")
    '1 &lt; 2 &amp; &lt;!channel&gt;'
    """
    return message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str, longest: int = LONGEST_FACT) -> str:
    r"""Text of unknown origin on one line, cut, without control characters and links with labels.

    >>> plain("a file\n[Dagster run](http://elsewhere)")
    'a file [Dagster run] (http://elsewhere)'
    """
    visible = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(visible.split()).replace("](", "] (")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _head(night: Night) -> str:
    when = f"{night.started:%-d %B %Y, %H:%M}"
    zone = f" {name}" if (name := night.started.tzname()) else ""
    data = f", {plain(night.data)}" if night.data else ""
    end = "succeeded" if night.succeeded else "failed"
    return f"Night of {when}{zone}{data}: {end} after {max(1, round(night.seconds / 60))} min."


def _failure(failed: FailedStep) -> str:
    what = f"Step {plain(failed.step)} failed" if failed.step else "The run failed"
    return f"{what}: {plain(failed.error)}"


def _decision(night: Night) -> list[str]:
    promotion = night.promotion
    if promotion is None:
        judged = PROMOTION_FILE in night.replaced
        return [] if judged else ["No model was judged, and the champion is the same as before."]
    word = "promoted" if promotion["promoted"] else "refused"
    is_judged = "was judged again, with the result" if promotion["decided_before"] else "is"
    serving = f"version {promotion['champion']} serves" if promotion["champion"] else "no version serves"
    because = promotion["because"]
    more = len(because) - _REASONS
    return [
        f"Version {promotion['challenger']} {is_judged} {word}; {serving}.",
        *(f"{plain(fact)}." for fact in because[:_REASONS]),
        *([f"{more} more reason{'s' if more > 1 else ''} on the promotion page."] if more > 0 else []),
    ]


def _figures(metrics: Mapping[str, Any] | None) -> list[str]:
    """Scores of the night's model on the test sessions, as the report has them."""
    if metrics is None:
        return []
    test = metrics["test"]
    facts = [
        f"Report on {test['sessions']:,} test sessions: last track, log-loss {test['log_loss']:.4f} nats, "
        f"accuracy {test['accuracy']:.1%}, ROC AUC {test['roc_auc']:.3f}"
    ]
    if metrics["next_track"]:
        scores = {model["kind"]: model["log_loss"]["value"] for model in metrics["next_track"]["models"]}
        served = scores["served"] if "served" in scores else scores["network"]
        facts.append(f"next track at any position, log-loss {served:.4f} nats")
    return [f"{'; '.join(facts)}."]


def _alarms(alarms: Sequence[str]) -> list[str]:
    if not alarms:
        return ["No alarms."]
    shown = [f"- {plain(alarm)}" for alarm in alarms[:EXAMPLES_SHOWN]]
    left = len(alarms) - len(shown)
    more = [f"- and {left} more"] if left else []
    return [f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''}:", *shown, *more]
