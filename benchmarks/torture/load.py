"""A server at its limit, far beyond it, and among clients that misbehave: rows of a Markdown table.

    python -m benchmarks.torture.load                     # about two minutes on 2 idle cores
    python -m benchmarks.torture.load --times 1 --connections 300 --seconds 1 --seed 2

The server is a process with the small network of the tests, as `skip-pipeline serve` starts it. An answer is
whole (status 200), a refusal that is documented (503, and of clients at fault 408 and 413), or lost. After
each fault the server has to answer within a second, and its memory may not have grown beyond a bound.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import psutil

from benchmarks.server_process import running
from benchmarks.torture.tally import HEAD
from skip_pipeline.serving.bounds import ServerSettings
from skip_pipeline.serving.examples import EXAMPLE

SETTINGS: Final = ServerSettings()
BODY: Final = json.dumps({"inputs": EXAMPLE}).encode()
_HEAD: Final = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST: Final = _HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

WHOLE_SECONDS: Final = 1.0  # until the server has to answer again
PATIENCE: Final = 60.0  # for an answer, more than the server lets any client wait
GROWTH_MIB: Final = 450.0  # bodies of all connections (``ServerSettings.connections``), and 50 for the rest
DRIBBLE_SECONDS: Final = 0.5  # between two bytes of a slow client


@dataclass
class Outcome:
    """What came of one fault.

    Attributes:
        fault: what was done.
        tried: requests or connections.
        statuses: how many ended how; ``closed`` by the server without an answer, ``left`` by the client.
        expected: statuses that are no loss.
        whole: seconds until the server answered again, the longest.
        growth: of the server's memory since its start, MiB, the largest.
    """

    fault: str
    expected: frozenset[str]
    tried: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    whole: float = 0.0
    growth: float = 0.0

    @property
    def lost(self) -> list[str]:
        """Every loss in words."""
        wrong = {status: n for status, n in self.statuses.items() if status not in self.expected}
        found = [f"{n:,} ended with {status}" for status, n in sorted(wrong.items())]
        if self.whole > WHOLE_SECONDS:
            found.append(f"no answer for {self.whole:.1f} s")
        if self.growth > GROWTH_MIB:
            found.append(f"memory grew by {self.growth:.0f} MiB")
        return found

    def row(self, seed: int) -> str:
        """The row of the table."""
        came = ", ".join(f"{status} {n:,}" for status, n in sorted(self.statuses.items()))
        outcome = f"{came}; memory +{max(self.growth, 0.0):.0f} MiB"
        lost = "; ".join(self.lost) or "nothing"
        return f"| {self.fault} | {self.tried:,} | {outcome} | {lost} | {self.whole:.2f} s | {seed} |"


# --- One client -----------------------------------------------------------------------------------------


async def _status(reader: asyncio.StreamReader) -> str:
    """Status of the next answer, which is read whole; ``closed`` if there is none."""
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
            return head[9:12].decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return "closed"
    except TimeoutError:
        return "no answer"


async def _client(port: int, talk: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> str:
    """Say something, and read the answer; the server may end the connection before all is said."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as failure:
        return type(failure).__name__
    saying = asyncio.ensure_future(talk(writer))
    try:
        return await _status(reader)
    finally:
        saying.cancel()
        with suppress(ConnectionError, asyncio.CancelledError):
            await saying
        await _leave(writer)


async def _leave(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, unless it is closing."""
    if not writer.is_closing():
        writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _ask(writer: asyncio.StreamWriter) -> None:
    writer.write(REQUEST)
    await writer.drain()


async def _dribble(writer: asyncio.StreamWriter, content: bytes) -> None:
    for i in range(len(content)):
        writer.write(content[i : i + 1])
        await writer.drain()
        await asyncio.sleep(DRIBBLE_SECONDS)


async def _connection(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and ask in one step: one of so many clients would else come to ask too late."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    with suppress(ConnectionError):
        connection.sendall(REQUEST)
    return await asyncio.open_connection(sock=connection)


async def _asked_at_once(port: int) -> str:
    reader, writer = await _connection(port)
    try:
        return await _status(reader)
    finally:
        await _leave(writer)


# --- Faults -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extent:
    """How much of each fault: connections at once, seconds of load, and the source of chance."""

    connections: int
    seconds: float
    random: Random


async def _closed_loop(port: int, clients: int, seconds: float) -> Counter[str]:
    """Clients that ask again as soon as they are answered, on a connection that stays open if it may."""
    end = time.monotonic() + seconds
    found: Counter[str] = Counter()

    async def client() -> None:
        while not found or time.monotonic() < end:
            reader, writer = await _connection(port)
            while (status := await _status(reader)) == "200" and time.monotonic() < end:
                found[status] += 1
                with suppress(ConnectionError):
                    await _ask(writer)
            found[status] += 1
            await _leave(writer)
            await asyncio.sleep(0.05 if status != "200" else 0)  # less than Retry-After asks for

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


async def at_its_limit(port: int, extent: Extent) -> Counter[str]:
    """As many clients as there may be connections, each asking without a pause."""
    return await _closed_loop(port, SETTINGS.connections, extent.seconds)


async def beyond_its_limit(port: int, extent: Extent) -> Counter[str]:
    """Ten times as many."""
    return await _closed_loop(port, 10 * SETTINGS.connections, extent.seconds)


async def _each(
    port: int, talk: Callable[[asyncio.StreamWriter], Awaitable[None]], number: int
) -> Counter[str]:
    return Counter(await asyncio.gather(*(_client(port, talk) for _ in range(number))))


async def idle_connections(port: int, extent: Extent) -> Counter[str]:
    """Connections opened at once, on which nothing is said."""

    async def silent(_writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    return await _each(port, silent, extent.connections)


async def asking_connections(port: int, extent: Extent) -> Counter[str]:
    """Connections opened at once, each with a request."""
    return Counter(await asyncio.gather(*[_asked_at_once(port) for _ in range(extent.connections)]))


async def heads_dribbled(port: int, _extent: Extent) -> Counter[str]:
    """Heads sent byte by byte, for longer than a connection may be without a request."""
    return await _each(port, lambda writer: _dribble(writer, REQUEST), SETTINGS.connections // 2)


async def bodies_dribbled(port: int, _extent: Extent) -> Counter[str]:
    """Bodies sent byte by byte."""

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST[: -len(BODY)])
        await _dribble(writer, BODY)

    return await _each(port, dribble, SETTINGS.connections // 2)


async def bodies_too_large(port: int, _extent: Extent) -> Counter[str]:
    """Bodies of 1 GB as their heads say."""

    async def large(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"Content-Length: 1000000000\r\n\r\n")
        await _pour(writer, b"[" * 65_536)

    return await _each(port, large, SETTINGS.connections // 2)


async def bodies_without_end(port: int, _extent: Extent) -> Counter[str]:
    """Bodies in chunks that never end."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        await _pour(writer, b"10000\r\n" + b"[" * 65_536 + b"\r\n")

    return await _each(port, endless, SETTINGS.connections // 2)


async def _pour(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await writer.drain()


async def clients_that_leave(port: int, extent: Extent) -> Counter[str]:
    """Clients that end the connection, or break it off, anywhere in a request, or before the answer."""

    async def leave(after: int, reset: bool) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST[:after])
        with suppress(ConnectionError):
            await writer.drain()
        if not reset:
            writer.close()
        await _leave(writer)
        return "left"

    found: Counter[str] = Counter()
    for _ in range(extent.connections // 50):  # fewer at a time than there may be connections
        left = (
            leave(extent.random.randrange(len(REQUEST) + 1), extent.random.random() < 0.5) for _ in range(50)
        )
        found.update(await asyncio.gather(*left))
    return found


Fault = Callable[[int, Extent], Awaitable[Counter[str]]]

FAULTS: Final[dict[str, tuple[Fault, set[str]]]] = {
    "as many clients as connections, asking without a pause": (at_its_limit, {"200", "503"}),
    "ten times as many clients": (beyond_its_limit, {"200", "503"}),
    "{connections:,} connections at once, nothing said": (idle_connections, {"503", "closed"}),
    "{connections:,} connections at once, a request on each": (asking_connections, {"200", "503"}),
    "heads dribbled": (heads_dribbled, {"closed", "503"}),
    "bodies dribbled": (bodies_dribbled, {"408", "503"}),
    "bodies of 1 GB": (bodies_too_large, {"413", "503"}),
    "bodies without end": (bodies_without_end, {"408", "413", "503"}),
    "clients that leave midway": (clients_that_leave, {"left"}),
}


# --- Trying them ------------------------------------------------------------------------------------------


def torture(
    port: int, pid: int, extent: Extent, *, times: int, faults: Sequence[str] = tuple(FAULTS)
) -> list[Outcome]:
    """Try faults on a server of this machine, each so many times."""
    _open_many(extent.connections)
    started = _memory(pid)
    outcomes = []
    for name in faults:
        fault, expected = FAULTS[name]
        outcome = Outcome(f"server: {name.format(connections=extent.connections)}", frozenset(expected))
        for _ in range(times):
            statuses = asyncio.run(_watched(fault, port, pid, extent, outcome, started))
            outcome.statuses += statuses
            outcome.tried += statuses.total()
            outcome.whole = max(outcome.whole, asyncio.run(_seconds_until_whole(port)))
        outcomes.append(outcome)
    return outcomes


async def _watched(
    fault: Fault, port: int, pid: int, extent: Extent, outcome: Outcome, started: float
) -> Counter[str]:
    """Try a fault, and look at the server's memory meanwhile."""

    async def watch() -> None:
        while True:
            outcome.growth = max(outcome.growth, _memory(pid) - started)
            await asyncio.sleep(0.1)

    watching = asyncio.ensure_future(watch())
    try:
        return await fault(port, extent)
    finally:
        watching.cancel()


async def _seconds_until_whole(port: int) -> float:
    begun = time.monotonic()
    while await _client(port, _ask) != "200" and time.monotonic() < begun + PATIENCE:
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


def _memory(pid: int) -> float:
    """Resident memory of a process in MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def _open_many(connections: int) -> None:
    """Allow this process so many connections; raises ValueError where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 1_000
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="that each fault is tried")
    parser.add_argument("--connections", type=int, default=10_000, help="open at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, each time")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    from skip_pipeline_tests.serving.small_models import data_directory, pack

    with tempfile.TemporaryDirectory() as folder:
        model = pack(data_directory(Path(folder) / "data"))
        extent = Extent(chosen.connections, chosen.seconds, Random(chosen.seed))
        with running(serve(model), os.environ, BODY) as server:
            outcomes = torture(server.port, server.pid, extent, times=chosen.times)
    sys.stdout.write("\n".join([HEAD, *(outcome.row(chosen.seed) for outcome in outcomes)]) + "\n")
    return 1 if any(outcome.lost for outcome in outcomes) else 0


def serve(model: Path) -> Callable[[int], list[str]]:
    """The command that serves the model of a folder, for a port."""
    program = "from skip_pipeline.cli.main import app; app()"
    return lambda port: [sys.executable, "-c", program, "serve", "--model", str(model), "--port", str(port)]


if __name__ == "__main__":
    sys.exit(main())
