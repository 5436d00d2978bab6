"""What ``doctor`` finds: rules from facts about this machine to findings with their remedies.

Nothing is asked here; ``doctor`` collects the facts.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skip_pipeline import settings
from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.locations import location
from skip_pipeline.nightly.variables import window_config, zone_named

LEAST_FREE_DISK: Final = 500_000_000
"""Bytes: a run of the mini set's size writes 130 MB, and two generations of each stage are kept."""

DISK_PER_RAW_BYTE: Final = 4
"""Tables, bundles, model and records of the mini set take 2.8 times the raw CSVs, and a stage that is made
again needs its old generation until it is published."""

LEAST_FREE_MEMORY: Final = 2_000_000_000
"""Bytes: training on the mini set takes 1.3 GB, and the whole run somewhat more."""

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""A file that is newer than now by more says that the clock was set back, or differs from that of the machine
that wrote the file."""

PYTHON: Final = ((3, 11), (3, 13))  # first and last version that the tests pass with

Level = Literal["ok", "warning", "error"]
MARKS: Final[dict[Level, str]] = {"ok": "✓", "warning": "!", "error": "✗"}

_MAIL: Final = (settings.MAIL_FROM_VARIABLE, settings.MAIL_PASSWORD_VARIABLE, settings.SMTP_HOST_VARIABLE)
_OWN: Final = {variable.name: variable for variable in settings.VARIABLES}
_LAST_SENTENCE: Final = re.compile(r"[.;] (?!.*[.;] )")  # a refusal ends with its remedy
_PREFIX: Final = "SKIP_PIPELINE_"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. An error stops or harms a run, a warning may."""

    subject: str
    level: Level
    fact: str
    remedy: str = ""


def python_version(found: tuple[int, int]) -> Finding:
    """Whether this Python is one that the tests pass with.

    >>> python_version((3, 10)).level
    'error'
    """
    shown, (first, last) = f"{found[0]}.{found[1]}", PYTHON
    if first <= found <= last:
        return Finding("Python", "ok", shown)
    expected = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    return Finding(
        "Python",
        "error",
        f"{shown}, expected {expected}",
        "Install one of these, remove .venv, and run `make demo PYTHON=python3.12`",
    )


def libraries(
    required: Sequence[str], installed: Mapping[str, str], tested: Mapping[str, str]
) -> Iterator[Finding]:
    """Versions of libraries against what the package requires, and against what the tests passed with.

    Args:
        required: requirements as in ``pyproject.toml``; those of extras are left out.
        installed: version by canonical name, in lower case with hyphens.
        tested: the versions of ``constraints.txt``; empty if there is no such file.
    """
    missing, wrong = [], []
    for line in required:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = installed.get(canonicalize_name(requirement.name))
        if version is None:
            missing.append(str(requirement))
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, required{requirement.specifier}")
    install = "Run `pip install -c constraints.txt -e .`"
    if missing or wrong:
        facts = [f"missing: {', '.join(missing)}"] * bool(missing) + wrong
        yield Finding("libraries", "error", "; ".join(facts), install)
    other = [
        f"{name} {installed[canonicalize_name(name)]} (tested: {version})"
        for name, version in tested.items()
        if installed.get(canonicalize_name(name), version) != version
    ]
    if other:
        yield Finding("libraries", "warning", f"other versions than tested: {', '.join(other)}", install)
    elif not (missing or wrong):
        what = "versions that the tests passed with" if tested else "versions that are required"
        yield Finding("libraries", "ok", what)


def variables(environment: Mapping[str, str], dropped: Sequence[str]) -> Iterator[Finding]:
    """Environment variables that steer a run, and those that look like it and do not.

    Args:
        environment: of this process.
        dropped: names of variables of outer jobs that every command removes at its start.
    """
    named = {name: value for name, value in environment.items() if name in _OWN and value}
    shown = [f"{name}={'(secret)' if _OWN[name].secret else _shown(value)}" for name, value in named.items()]
    yield Finding("environment", "ok", ", ".join(shown) or "no variable of ours is set")
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in _OWN:
            ours = [own.removeprefix(_PREFIX) for own in _OWN if own.startswith(_PREFIX)]
            close = difflib.get_close_matches(name.removeprefix(_PREFIX), ours, n=1)
            hint = f"Rename it to {_PREFIX}{close[0]}, or unset it" if close else "Unset it"
            yield Finding("environment", "error", f"{name} is set, and nothing reads it", hint)
    if dropped:
        fact = f"set by another job, and ignored by every command: {', '.join(dropped)}"
        yield Finding("environment", "warning", fact, "Nothing has to be done; unset them to be sure")
    yield from _values(environment)


def _values(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Values that a run would refuse."""
    refusing = (
        (settings.TIME_ZONE_VARIABLE, zone_named),
        (settings.TRAIN_DAYS_VARIABLE, window_config),
        (settings.STORAGE_VARIABLE, location),
    )
    for name, read in refusing:
        try:
            read(environment.get(name, ""))
        except SkipPipelineError as refusal:
            fact, remedy = _LAST_SENTENCE.split(str(refusal), maxsplit=1)
            yield Finding("environment", "error", fact, f"{remedy[0].upper()}{remedy[1:]}")
    home = environment.get(settings.DAGSTER_HOME_VARIABLE)
    if home and not (Path(home).is_absolute() and Path(home).is_dir()):
        fact = f"{settings.DAGSTER_HOME_VARIABLE} is {home}; expected the absolute path of an existing folder"
        yield Finding("environment", "error", fact, "Make the folder, or unset the variable")
    lacking = [name for name in _MAIL if not environment.get(name)]
    if environment.get(settings.MAIL_TO_VARIABLE) and lacking:
        fact = f"{settings.MAIL_TO_VARIABLE} is set without {', '.join(lacking)}; expected all of them"
        yield Finding("environment", "error", fact, "Set them, or unset it to send no mail")


def _shown(value: str) -> str:
    """A value without a password in it."""
    head, separator, rest = value.partition("://")
    return f"{head}://{rest.rpartition('@')[2]}" if separator else value


def port(number: int, server: str, answer: str | None, option: str) -> Finding:
    """Whether a server can listen on its port.

    Args:
        number: of the port on 127.0.0.1.
        server: what is to listen there.
        answer: None if the port is free; else the name of the server that answers there, empty if unknown.
        option: by which the command takes another port.
    """
    if answer is None:
        return Finding(f"port {number}", "ok", f"free, for {server}")
    if answer == server:
        return Finding(f"port {number}", "ok", f"{server} answers there")
    fact = f"taken by another program; expected it free for {server}"
    return Finding(f"port {number}", "warning", fact, f"End that program, or use {option}")


def disk(free: int, raw: int, folder: Path) -> Finding:
    """Whether there is space for a run.

    Args:
        free: bytes on the file system of the data directory.
        raw: bytes of the raw CSVs.
        folder: the data directory.
    """
    needed = max(LEAST_FREE_DISK, DISK_PER_RAW_BYTE * raw)
    fact = f"{_size(free)} free for {folder}"
    if free >= needed:
        return Finding("disk", "ok", fact)
    level: Level = "error" if free < LEAST_FREE_DISK else "warning"
    remedy = "Free some space, or name a data directory on another disk with --data-dir"
    return Finding("disk", level, f"{fact}; expected {_size(needed)}", remedy)


def memory(available: int | None) -> Finding:
    """Whether there is memory for a run of the mini set's size; ``available`` in bytes, None if unknown."""
    if available is None:
        return Finding("memory", "ok", "not known on this system")
    if available >= LEAST_FREE_MEMORY:
        return Finding("memory", "ok", f"{_size(available)} available")
    fact = (
        f"{_size(available)} available; expected {_size(LEAST_FREE_MEMORY)} for a run of the mini set's size"
    )
    return Finding("memory", "warning", fact, "End other programs, or train on fewer days with --train-days")


def data_directory(folder: Path, problem: str) -> Finding:
    """Whether a run can write its results; ``problem`` is empty if a file could be made and linked."""
    if not problem:
        return Finding("data directory", "ok", f"{folder} can be written")
    fact = f"{folder} cannot hold results ({problem}); expected a folder that can be written, with hard links"
    return Finding(
        "data directory",
        "error",
        fact,
        "Correct its rights, or name another with --data-dir; FAT has no hard links",
    )


def registry(uri: str, problem: str, *, state: str = "answers") -> Finding:
    """Whether the store of runs and versions answers; ``problem`` is empty if so."""
    shown = _shown(uri)
    if not problem:
        return Finding("registry", "ok", f"{shown} {state}")
    fact = f"{shown} does not answer ({problem}); expected MLflow's store"
    remedy = f"Start the server, or correct {settings.TRACKING_URI_VARIABLE}; unset, it is a file of ours"
    return Finding("registry", "error", fact, remedy)


def clock(now: datetime, newest: datetime | None, zone: str) -> Finding:
    """Whether the clock can be right, and when the night is due by it.

    Args:
        now: with the time zone of this machine.
        newest: time of the newest file of the data directory; None if there is none.
        zone: name of the time zone of the schedule.
    """
    machine = now.tzname() or "unknown"
    fact = f"{now:%Y-%m-%d %H:%M} {machine} on this machine; nights follow {zone}"
    if newest is None or newest <= now + CLOCK_TOLERANCE:
        return Finding("clock", "ok", fact)
    late = f"{fact}; the newest file of the data directory is of {newest:%Y-%m-%d %H:%M}, which is later"
    return Finding(
        "clock", "error", late, "Set the clock, or wait: a night would take the file for a new one"
    )


def browser(path: str | None) -> Finding:
    """Chromium, which only the browser tests need."""
    found = f"found at {path}" if path else "not found"
    return Finding("browser", "ok", f"Chromium {found}; only the browser tests of `make test` use it")


def lines(findings: Sequence[Finding]) -> list[str]:
    """Findings for people: a line for each, and one more for each remedy."""
    width = max(len(finding.subject) for finding in findings)
    shown = []
    for finding in findings:
        shown.append(f"{MARKS[finding.level]} {finding.subject:<{width}}  {finding.fact}")
        if finding.remedy:
            shown.append(f"  {'':<{width}}  → {finding.remedy}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    return [*shown, f"{errors} errors, {warnings} warnings" if errors or warnings else "Nothing to remedy"]


def _size(count: int) -> str:
    """A number of bytes for people.

    >>> _size(1_940_000_000), _size(523_000)
    ('1.9 GB', '1 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
