"""The cost of serving: start, memory, latency, requests a second, whole files, and changes of the model.

    python -m benchmarks.serving
    python -m benchmarks.serving --seconds 5 --repetitions 1        # a quick look

Everything is made in a temporary folder: a synthetic world, a model trained on it with the default preset,
and an MLflow store with that model as champion. Servers listen on 127.0.0.1 and are stopped at the end. The
load generator is a process of its own on the same cores as the server.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import loky

from benchmarks import load, measure, served_world, summary
from benchmarks.load import Load
from benchmarks.measure import TEMPORARY, Run
from benchmarks.raw_sets import MINI_SESSIONS, MINI_TRACKS
from benchmarks.served_world import EMPTY_MODEL, VERSIONS, ServedWorld
from benchmarks.server_process import Server, running
from benchmarks.summary import Summary

LIMITS: Final[Mapping[str, tuple[str, float]]] = {
    "mlflow_start_over_empty": ("at most", 1.3),
    "mlflow_memory_mib": ("below", 500),
    "mlflow_tensorflow_files": ("at most", 0),
    "mlflow_failures": ("at most", 0),
    "pyfunc_p50_ms": ("below", 5),
    "pyfunc_ours_p50_ms": ("below", 2),
    "pyfunc_candidates_over_one": ("at most", 3),
    "model_candidates_over_one": ("at most", 3),
    "http_candidates_over_one": ("at most", 3),
    "http_p99_ms": ("below", 20),
    "http_failures": ("at most", 0),
    "http_holds_per_second": ("at least", 400),
    "reload_failures": ("at most", 0),
    "reload_p99_ms": ("below", 20),
    "batch_sessions_per_second": ("at least", 10_000),
}
"""Limits of figures; the others have none."""

RATE: Final = 50.0  # requests a second at which latency is judged
TURNS: Final = 3  # of requests for one track and for many, so that other work falls on both
P99_MS: Final = 20.0  # of a rate that is held
FIRST_STEP: Final = 100.0  # requests a second; doubled until it is not held, then the gap is halved
HALVINGS: Final = 3  # so that the highest rate held is known to an eighth of it
HIGHEST: Final = 6_400.0  # more than one generator can offer
FOLLOW_SECONDS: Final = 60.0  # in which a server that polls every two seconds must follow the alias

STEPS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "parse only (pyarrow)": ("parse", {}),
    "CSV to parquet": ("published", {}),
    "CSV to parquet, processes": ("published", {"engine": "processes"}),
}
PARSE, PUBLISHED, PROCESSES = STEPS


def starts(world: ServedWorld, *, repetitions: int, seconds: float) -> dict[str, Any]:
    """MLflow's own server with the champion and with an empty model, in turns: time to the first answer.

    The champion's, once it has answered, gets ``RATE`` requests a second, and its memory is read after that.

    Returns:
        Headline figures; ``mlflow_`` in front.
    """
    from skip_pipeline.settings import MODEL_NAME

    bodies = {MODEL_NAME: _first_request(world), EMPTY_MODEL: b'{"dataframe_records": [{"x": 1}]}'}
    found: dict[str, list[float]] = {name: [] for name in bodies}
    figures: dict[str, Any] = {}
    memory = []
    for repetition in range(repetitions):
        for name, body in bodies.items():
            with running(_mlflow_server(name), served_world.environment(world), body) as server:
                found[name].append(server.seconds)
                if name == MODEL_NAME:
                    if repetition == 0:
                        under_load = load.offered(
                            server.url, world.requests, world.folder, rate=RATE, seconds=seconds
                        )
                        figures = {"mlflow_p99_ms": under_load.p99_ms, "mlflow_failures": under_load.failed}
                    figures["mlflow_tensorflow_files"] = server.libraries_of("tensorflow")
            if name == MODEL_NAME:
                memory.append(server.memory.stop().total / 2**20)
    ours, empty = (median(found[name]) for name in bodies)
    return {
        "mlflow_start_over_empty": round(ours / empty, 3),
        "mlflow_start_seconds": round(ours, 2),
        "mlflow_empty_start_seconds": round(empty, 2),
        "mlflow_memory_mib": round(max(memory), 1),
        **figures,
    }


def latency(world: ServedWorld, *, number: int) -> dict[str, Any]:
    """One session a request, in process, with one next track and with many candidates."""
    target = "benchmarks.serving_steps:in_process"
    run = measure.run(target, world.requests, world.folder, uri=world.tracking_uri, number=number)
    found = json.loads((world.folder / "latencies.json").read_text(encoding="utf-8"))
    return {
        "pyfunc_p50_ms": found["whole_p50_ms"],
        "pyfunc_p99_ms": found["whole_p99_ms"],
        "pyfunc_core_p50_ms": found["core_p50_ms"],
        "pyfunc_ours_p50_ms": found["ours_p50_ms"],
        "pyfunc_ours_p99_ms": found["ours_p99_ms"],
        "pyfunc_candidates_p50_ms": found["candidates_whole_p50_ms"],
        "pyfunc_candidates_over_one": round(found["candidates_whole_p50_ms"] / found["whole_p50_ms"], 2),
        "model_p50_ms": found["model_p50_ms"],
        "model_candidates_p50_ms": found["candidates_model_p50_ms"],
        "model_candidates_over_one": round(found["candidates_model_p50_ms"] / found["model_p50_ms"], 2),
        "pyfunc_memory_mib": run.peak_rss_mib,
    }


def http(world: ServedWorld, *, seconds: float) -> tuple[dict[str, Any], list[Load]]:
    """Our own server: latency at ``RATE``, the highest rate that it holds, and a champion that changes.

    Returns:
        Headline figures, and every run of the generator.
    """
    environment, body = served_world.environment(world), _first_request(world)
    cores = loky.cpu_count()
    with running(_own_server(world, processes=cores), environment, body) as several:
        tried: list[Load] = []

        def is_held(rate: float) -> bool:
            url = several.url
            tried.append(load.offered(url, world.requests, world.folder, rate=rate, seconds=seconds / 2))
            return _is_held(tried[-1])

        of_all_cores = highest_held(is_held)
    with running(_own_server(world), environment, body) as server:

        def offered(rate: float, for_seconds: float, requests: Path = world.requests) -> Load:
            runs.append(load.offered(server.url, requests, world.folder, rate=rate, seconds=for_seconds))
            return runs[-1]

        runs: list[Load] = []
        steady = offered(RATE, seconds)
        turns = [
            (offered(RATE, seconds / TURNS), offered(RATE, seconds / TURNS, world.candidates))
            for _ in range(TURNS)
        ]
        moved, moves = _while_the_alias_moves(world, server, seconds=seconds)
        holds = highest_held(lambda rate: _is_held(offered(rate, seconds / 2)))
    return {
        "http_p50_ms": steady.p50_ms,
        "http_p99_ms": steady.p99_ms,
        "http_failures": steady.failed,
        "http_candidates_p50_ms": median(several.p50_ms for _, several in turns),
        "http_candidates_p99_ms": median(several.p99_ms for _, several in turns),
        "http_candidates_failures": sum(several.failed for _, several in turns),
        "http_candidates_over_one": round(median(several.p50_ms / one.p50_ms for one, several in turns), 2),
        "http_start_seconds": round(server.seconds, 2),
        "http_memory_mib": round(server.memory.stop().total / 2**20, 1),
        "http_holds_per_second": of_all_cores,
        "http_one_process_holds_per_second": holds,
        "http_processes_memory_mib": round(several.memory.stop().total / 2**20, 1),
        "reload_requests": moved.sent,
        "reload_moves": moves,
        "reload_changes_seen": moved.changes,
        "reload_failures": moved.failed,
        "reload_p99_ms": moved.p99_ms,
    }, [steady, moved, *runs[1:], *tried]


def _while_the_alias_moves(world: ServedWorld, server: Server, *, seconds: float) -> tuple[Load, int]:
    """Load while the champion changes, each change as soon as the last is served; and how many there were."""
    moved, stop = world.folder / "moved", world.folder / "stop"
    with ThreadPoolExecutor(1) as beside:
        moving = beside.submit(
            measure.run,
            "benchmarks.serving_steps:move_alias",
            world.data,
            world.folder,
            versions=list(VERSIONS),
            uri=world.tracking_uri,
            server=server.url.removesuffix("/invocations"),
            longest=FOLLOW_SECONDS,
        )
        try:
            while not moved.exists() and not moving.done():
                time.sleep(0.1)
            found = load.offered(server.url, world.requests, world.folder, rate=RATE, seconds=seconds)
        finally:
            stop.touch()  # else the moves would go on for ever
        return found, moving.result().rows


def _is_held(run: Load) -> bool:
    return run.failed == 0 and run.p99_ms < P99_MS


def highest_held(is_held: Callable[[float], bool]) -> float:
    """The highest rate found for which ``is_held`` is true; 0 if the first step is not held."""
    low, high = 0.0, FIRST_STEP
    while high <= HIGHEST and is_held(high):
        low, high = high, high * 2
    for _ in range(HALVINGS if high <= HIGHEST else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if is_held(middle) else (low, middle)
    return low


def files(world: ServedWorld, *, repetitions: int) -> tuple[dict[str, Any], dict[str, Summary]]:
    """Whole log files, in turns, and the share of each part in the work of a core.

    Returns:
        Headline figures, and a summary of each contender.
    """
    runs: dict[str, list[Run]] = {name: [] for name in STEPS}
    for _ in range(repetitions):
        for name, (step, options) in STEPS.items():
            target = f"benchmarks.serving_steps:{step}"
            runs[name].append(measure.run(target, world.large, model=str(world.model), **options))
    found = {name: Summary.of(of) for name, of in runs.items()}
    one, both = found[PUBLISHED], found[PROCESSES]
    measure.run("benchmarks.serving_steps:parts", world.large, world.folder, model=str(world.model))
    seconds: dict[str, float] = json.loads((world.folder / "parts.json").read_text(encoding="utf-8"))
    shares = {f"batch_{name}_share": round(of / sum(seconds.values()), 2) for name, of in seconds.items()}
    return {
        "batch_sessions_per_second": round(both.sessions / both.seconds),
        "batch_sessions_per_second_in_process": round(one.sessions / one.seconds),
        "batch_over_parse": summary.ratio(found, PUBLISHED, PARSE),
        "batch_core_us_per_session": round(sum(seconds.values()) / one.sessions * 1e6, 1),
        **shares,
        "batch_memory_mib": both.peak_rss_mib,
    }, found


def _first_request(world: ServedWorld) -> bytes:
    records = json.loads(world.requests.read_text(encoding="utf-8"))
    return json.dumps({"dataframe_records": records[:1]}).encode()


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _mlflow_server(model: str) -> Callable[[int], list[str]]:
    start = [_program("mlflow"), *f"models serve -m models:/{model}@champion --env-manager local".split()]
    return lambda port: [*start, "--host", "127.0.0.1", "--port", str(port)]


def _own_server(world: ServedWorld, *, processes: int = 1) -> Callable[[int], list[str]]:
    start = [_program("skip-pipeline"), "serve", "--data-dir", str(world.data), "--processes", str(processes)]
    return lambda port: [*start, "--port", str(port)]


def judged(headline: Mapping[str, float]) -> str:
    """A line for each figure, with its limit and whether it is kept."""
    rows = [(name, value, *_judgement(name, value)) for name, value in headline.items()]
    return "\n".join(
        f"{name:38}{value:>12,}" + (f"   {demand}: {verdict}" if demand else "")
        for name, value, demand, verdict in rows
    )


def page(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    environment = result["environment"]
    headline = result["headline"].items()
    rows = [(f"`{name}`", f"{value:,}", *_judgement(name, value)) for name, value in headline]
    return "\n".join(
        [
            "# What serving costs",
            "",
            f"Written by `python -m benchmarks.serving --page` on {environment['cores']} cores, "
            f"{environment['date'][:10]}, Python {environment['versions']['python']}, with a model trained "
            "on synthetic data. What each is: [benchmarks](../benchmarks/README.md#what-serving-costs).",
            "",
            summary.markdown(("figure", "value", "demanded", ""), rows),
            "",
        ]
    )


def _judgement(name: str, value: float) -> tuple[str, str]:
    """The limit of a figure and whether it is kept; two empty texts if there is none."""
    if name not in LIMITS:
        return "", ""
    relation, limit = LIMITS[name]
    holds = {"at most": value <= limit, "below": value < limit, "at least": value >= limit}[relation]
    return f"{relation} {limit:,}", "reached" if holds else "MISSED"


def compare(world: ServedWorld, *, seconds: float, repetitions: int, number: int) -> dict[str, Any]:
    """All of it, one after the other.

    Args:
        seconds: of load at each rate, half of it where the highest rate is sought.
        repetitions: of each start and of each step of a batch.
        number: of requests in process.

    Returns:
        See ``summary.result``; and ``limits``, and ``loads``, every run of the generator.

    Raises:
        ChildFailedError: a process failed.
    """
    started = starts(world, repetitions=repetitions, seconds=seconds)
    within = latency(world, number=number)
    over_http, loads = http(world, seconds=seconds)
    batch, steps = files(world, repetitions=repetitions)
    headline = {**started, **within, **over_http, **batch}
    result = summary.result(headline, steps, {"sessions": steps[PUBLISHED].sessions})
    return result | {"limits": dict(LIMITS), "loads": [asdict(run) for run in loads]}


@measure.refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if a process failed, not if a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=MINI_SESSIONS, help="that the model is trained on")
    parser.add_argument("--tracks", type=int, default=MINI_TRACKS)
    parser.add_argument("--large-sessions", type=int, default=100_000, help="of the test set")
    parser.add_argument("--shards", type=int, default=10, help="of the test set")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load at each rate")
    parser.add_argument("--repetitions", type=int, default=3, help="of starts and of batches")
    parser.add_argument("--number", type=int, default=2_000, help="of requests in process")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.add_argument("--page", type=Path, metavar="PATH", help="write them here as Markdown, too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        world = served_world.prepare(
            Path(folder),
            sessions=options.sessions,
            tracks=options.tracks,
            large_sessions=options.large_sessions,
            shards=options.shards,
        )
        result = compare(
            world, seconds=options.seconds, repetitions=options.repetitions, number=options.number
        )
    summary.finish(
        result, f"{options.large_sessions:,} sessions in files, the model served", options.json, judged
    )
    if options.page:
        options.page.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
