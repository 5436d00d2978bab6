"""A load generator: requests at a fixed rate, and the time until each was answered.

Requests follow a schedule and do not wait for earlier answers (an open loop). The time of a request counts
from the moment at which it was due, so that the delay of a server that falls behind is included. The
generator is a process of its own; it shares the machine's cores with the server.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from benchmarks import measure
from benchmarks.one_run import Made

CONNECTIONS: Final = 64
"""Open at a time, fewer than the server admits; a request that is due while all are in use waits for one, and
its waiting counts."""

ANSWER_SECONDS: Final = 10.0
"""A request without an answer after this has failed, and so a run ends that long after its last arrival."""

FIGURES: Final = "load.json"


@dataclass(frozen=True)
class Load:
    """Outcomes of the requests of one run.

    Attributes:
        rate: requests a second, as scheduled.
        sent: requests.
        failures: how many ended how, where that was not status 200: a status, or the name of an error.
        p50_ms, p99_ms, max_ms: from the scheduled moment to the whole answer, of all requests.
        versions: how many answers named which model version.
        changes: how often the version changed from one answer to the next.
        late_ms: the longest time by which the generator itself started a request too late.
    """

    rate: float
    sent: int
    failures: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float
    versions: dict[str, int]
    changes: int
    late_ms: float

    @property
    def failed(self) -> int:
        """Requests without an answer of status 200."""
        return sum(self.failures.values())


def offered(url: str, requests: Path, folder: Path, *, rate: float, seconds: float) -> Load:
    """Offer a server some seconds of requests, from a process of its own.

    Args:
        url: of ``/invocations``.
        requests: a JSON list of records, each of which is sent as one request, in turns.
        folder: for the figures.

    Raises:
        ChildFailedError: the generator failed; what the server does is no failure of it.
    """
    measure.run("benchmarks.load:offer", requests, folder, url=url, rate=rate, seconds=seconds)
    return Load(**json.loads((folder / FIGURES).read_text(encoding="utf-8")))


def offer(requests: Path, folder: Path, *, url: str, rate: float, seconds: float) -> Made:
    """The generator's side of ``offered``."""
    records = json.loads(requests.read_text(encoding="utf-8"))
    bodies = [json.dumps({"dataframe_records": [record]}).encode() for record in records]
    load = asyncio.run(_offer(url, bodies, rate, round(rate * seconds)))
    (folder / FIGURES).write_text(json.dumps(asdict(load)), encoding="utf-8")
    return Made(load, rows=0, sessions=load.sent)


async def _offer(url: str, bodies: Sequence[bytes], rate: float, number: int) -> Load:
    seconds, late = np.zeros(number), np.zeros(number)
    failures: Counter[str] = Counter()
    versions: list[str] = []

    async def send(i: int, due: float) -> None:
        late[i] = time.perf_counter() - due
        try:
            async with session.post(url, data=bodies[i % len(bodies)]) as response:
                content = await response.read()
            if response.status == 200:
                versions.append(_version(content))
            else:
                failures[str(response.status)] += 1
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            failures[type(failure).__name__] += 1
        seconds[i] = time.perf_counter() - due

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        headers={"Content-Type": "application/json"},
    ) as session:
        await _warm(session, url, bodies[0])
        async with asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for i in range(number):
                due = began + i / rate
                if (ahead := due - time.perf_counter()) > 0:
                    await asyncio.sleep(ahead)
                group.create_task(send(i, due))
                if ahead <= 0:
                    await asyncio.sleep(0)  # else a generator that is late would never let answers in
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1_000
    return Load(
        rate=rate,
        sent=number,
        failures=dict(failures),
        p50_ms=round(p50, 2),
        p99_ms=round(p99, 2),
        max_ms=round(seconds.max() * 1_000, 2),
        versions=dict(Counter(versions)),
        changes=sum(a != b for a, b in pairwise(versions)),
        late_ms=round(late.max() * 1_000, 2),
    )


async def _warm(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    """Open some connections, and send requests before the clock starts."""
    for _ in range(3):
        await asyncio.gather(*(_post(session, url, body) for _ in range(8)), return_exceptions=True)


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, data=body) as response:
        await response.read()


def _version(content: bytes) -> str:
    """The model version in an answer; empty for MLflow's own server, which names none."""
    rows: list[dict[str, Any]] = json.loads(content)["predictions"]
    return str(rows[0].get("model_version", ""))
