"""Seven nights with the real network on a synthetic world, a bad one among them, and one without a delivery.

    python -m benchmarks.nights

Each evening a day of sessions is delivered, the schedule is evaluated as the daemon does it, and the runs
that it requests are executed. The models learn from the newest day alone (``train_days`` is 1), so that a
bad day makes a bad model: on the third day the delivery is incomplete, listeners skip more, radio is more
frequent, and an unknown level occurs. From the seventh day on listeners skip more for good. The decisions of
promotion and monitoring, and the morning messages, are printed as Markdown.
"""

import argparse
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg

from benchmarks import summary
from skip_pipeline import settings
from skip_pipeline.cli.run import LIBRARY_LOG, quiet_libraries
from skip_pipeline.definitions import defs, mlflow_tracker, time_zone
from skip_pipeline.defs.launch import prepare_home
from skip_pipeline.defs.morning import night_of
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.schedules import retrain
from skip_pipeline.nightly.monitoring import DRIFT_FILE
from skip_pipeline.nightly.morning import morning_message
from skip_pipeline.nightly.promotion_record import PROMOTION_FILE
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import read_json
from skip_pipeline.world.drift import Drift
from skip_pipeline.world.synthesize import synthesize

NIGHTS: Final = 7
SESSIONS: Final = 20_000  # of a day; with 5,000, the gate refuses most equal models
NOTHING_AFTER: Final = 4  # days, and then comes an evening without a delivery
BAD_DAY: Final = "2018-07-17"
BAD: Final = ("skip_rate", "context_type", "unknown_level")
BAD_SHARE: Final = 0.1  # of the bad day's sessions that are delivered
CHANGED_DAY: Final = "2018-07-21"
CHANGED: Final = ("skip_rate",)  # from that day on
TRAIN_DAYS: Final = 1


@dataclass(frozen=True)
class Night:
    """Result of one night.

    Attributes:
        delivered: newest log.
        because: why the night ran or was skipped.
        promotion, drift: contents of ``promotion.json`` and ``drift.json``; None for a skipped night.
        message: the morning message; empty for a skipped night.
    """

    delivered: str
    because: str
    promotion: dict[str, Any] | None = None
    drift: dict[str, Any] | None = None
    message: str = ""


def play(root: Path, *, sessions: int, tracks: int, seed: int = 0) -> list[Night]:
    """Seven nights in an empty data directory, and an evening without a delivery.

    Args:
        root: the data directory; ``SKIP_PIPELINE_DATA_DIR`` and ``DAGSTER_HOME`` are set to it.
        sessions: of a day.
        tracks: in the catalogue.
        seed: of the world.

    Raises:
        RuntimeError: a night failed.
    """
    layout = DataLayout(root)
    days = _deliveries(root / "world", sessions=sessions, tracks=tracks, seed=seed)
    for name in (settings.TRACK_FEATURES, settings.SYNTHETIC_MARKER):
        source = root / "world" / "plain" / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        layout.raw.mkdir(parents=True, exist_ok=True)
        copy(source, layout.raw / name)
    (layout.raw / settings.TRAINING_SET).mkdir()
    os.environ[settings.DATA_DIR_VARIABLE] = str(root)
    os.environ[settings.TRAIN_DAYS_VARIABLE] = str(TRAIN_DAYS)
    prepare_home(layout)
    found = []
    definitions = defs()
    with dg.DagsterInstance.get() as instance:
        for log in (*days[:NOTHING_AFTER], None, *days[NOTHING_AFTER:]):
            if log is not None:
                shutil.copy(log, layout.raw / settings.TRAINING_SET)
            found.append(_night(definitions, instance, layout, "nothing" if log is None else log.name))
    return found


def _deliveries(folder: Path, *, sessions: int, tracks: int, seed: int) -> list[Path]:
    """A log for each day: of one world, but for the bad day, and for the days after the change."""
    worlds = {
        "plain": [],
        "bad": [Drift.parse(f"{kind}@{BAD_DAY}") for kind in BAD],
        "changed": [Drift.parse(f"{kind}@{CHANGED_DAY}") for kind in CHANGED],
    }
    logs = {}
    for name, drifts in worlds.items():
        synthesize(
            folder / name, sessions=NIGHTS * sessions, tracks=tracks, seed=seed, days=NIGHTS, drifts=drifts
        )
        logs[name] = sorted((folder / name / settings.TRAINING_SET).iterdir())
    bad, changed = (
        next(number for number, log in enumerate(logs["plain"]) if day.replace("-", "") in log.name)
        for day in (BAD_DAY, CHANGED_DAY)
    )
    _cut_short(logs["bad"][bad], round(BAD_SHARE * sessions))
    return [
        *logs["plain"][:bad],
        logs["bad"][bad],
        *logs["plain"][bad + 1 : changed],
        *logs["changed"][changed:],
    ]


def _cut_short(log: Path, sessions: int) -> None:
    """Leave a log its first sessions."""
    header, *rows = log.read_text(encoding="ascii").splitlines(keepends=True)
    by_session = itertools.groupby(rows, key=lambda row: row.partition(",")[0])
    kept = itertools.chain.from_iterable(rows for _, rows in itertools.islice(by_session, sessions))
    log.write_text("".join([header, *kept]), encoding="ascii")


def _night(
    definitions: dg.Definitions, instance: dg.DagsterInstance, layout: DataLayout, delivered: str
) -> Night:
    """Ask the schedule, and run what it asks for."""
    schedule = definitions.resolve_schedule_def("nightly_retraining")
    data = DataDirectory(path=str(layout.root))
    said = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, resources={"data": data}))
    if not said.run_requests:
        return Night(delivered, str(said.skip_message))
    (request,) = said.run_requests
    with quiet_libraries(layout.dagster / LIBRARY_LOG):
        result = definitions.resolve_job_def(retrain.name).execute_in_process(
            instance=instance, run_config=request.run_config, tags=dict(request.tags), raise_on_error=False
        )
    if not result.success:
        raise RuntimeError(
            f"run {result.run_id} of {retrain.name} failed; see {layout.dagster / LIBRARY_LOG}"
        )
    told, _ = night_of(instance, result.run_id, layout, mlflow_tracker(layout), time_zone())
    return Night(
        delivered,
        request.tags["skip_pipeline/because"],
        read_json(layout.promotion / PROMOTION_FILE),
        read_json(layout.monitoring / DRIFT_FILE),
        morning_message(told),
    )


def markdown(nights: Sequence[Night]) -> str:
    """A table of the nights, then why each ran and its morning message."""
    head = ("night", "delivered", "challenger", "minus champion, log-loss", "decision", "champion", "alarms")
    rows: list[list[object]] = []
    words = []
    for number, night in enumerate(nights, 1):
        if night.promotion is None or night.drift is None:
            rows.append([number, night.delivered, "left out", "", "", "", ""])
            words += ["", f"Night {number} was left out: {_without_ids(night.because)}."]
            continue
        made = night.promotion
        difference = made["log_loss_difference"]
        interval = "not compared"
        if difference:
            interval = "{value:+.4f} ({low:+.4f} to {high:+.4f})".format(**difference)
        rows.append(
            [
                number,
                night.delivered,
                f"version {made['challenger']}",
                interval,
                "promoted" if made["promoted"] else "refused",
                f"version {made['champion']}",
                len(night.drift["alarms"]),
            ]
        )
        words += ["", f"Night {number}, {_without_ids(night.because)}:"]
        words += ["", "```", _without_ids(night.message), "```"]
    return "\n".join([summary.markdown(head, rows), *words])


def _without_ids(text: str) -> str:
    """Without the ids of runs, which differ each time."""
    return re.sub(r"[0-9a-f-]{36}|[0-9a-f]{32}", "…", re.sub(r"run [0-9a-f-]{36}", "the run", text))


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of a day")
    parser.add_argument("--tracks", type=int, default=settings.SYNTHETIC_TRACKS)
    parser.add_argument("--seed", type=int, default=settings.SYNTHETIC_SEED, help="of the world")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="an empty data directory that keeps everything"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = (options.keep or Path(folder)).resolve()
        nights = play(root, sessions=options.sessions, tracks=options.tracks, seed=options.seed)
    print(f"Synthetic data, {options.sessions:,} sessions a day, train_days {TRAIN_DAYS}.\n")
    print(markdown(nights))


if __name__ == "__main__":
    main()
