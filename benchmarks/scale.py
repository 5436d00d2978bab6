"""Estimated cost of the whole public data at the rates that ``make bench`` measured.

    python -m benchmarks.scale                                # from benchmarks/results.json
    python -m benchmarks.scale FILE --cores 64

Nothing is measured; the rates of the large benchmark set are extrapolated.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.run_all import RESULTS
from benchmarks.summary import markdown

SESSIONS: Final = 125_000_000  # of the public training set
SHARDS: Final = 660  # of its files
TRACKS: Final = 3_700_000  # of its track features
ROWS_PER_SESSION: Final = 16.788  # of the public mini set: 167,880 rows in 10,000 sessions
TRACK_BYTES: Final = 31 * 4  # a row of the scaled track matrix
MEASURED_TRACKS: Final = 50_704  # of the public mini set, which the benchmarks' sets have too
CORES: Final = (2, 16, 64, 256)
STORAGE_BYTES_PER_SECOND: Final = 1.25e9  # a link of 10 Gbit/s to shared storage


@dataclass(frozen=True)
class Scale:
    """The whole public training set, from figures of a smaller one.

    Attributes:
        rows: log rows.
        raw_bytes, table_bytes, bundle_bytes: of the raw logs, of all tables, and of the bundles.
        core_seconds: of a core, raw logs to bundles.
        shard_rows: of one of the public files, on average.
        traffic: bytes read and written from raw logs to bundles.
        loading_sessions, training_sessions: per second, that bundles deliver and that the network learns.
    """

    rows: float
    raw_bytes: float
    table_bytes: float
    bundle_bytes: float
    core_seconds: float
    shard_rows: float
    traffic: float
    loading_sessions: float
    training_sessions: float

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> Scale:
        """From the large set of ``benchmarks.run_all``."""
        large = results["benchmarks"]["data_path_large"]
        contender = list(large["contenders"].values())[-1]
        data = list(large["data"].values())[-1]
        sessions, cores = contender["sessions"], results["environment"]["cores"]
        times = SESSIONS / sessions
        own_bundle = contender["bundle_bytes"] - MEASURED_TRACKS * TRACK_BYTES
        tables = contender["table_bytes"] * times
        raw = data["log_bytes"] * times
        loader = results["benchmarks"]["loader"]["headline"]
        return cls(
            rows=SESSIONS * ROWS_PER_SESSION,
            raw_bytes=raw,
            table_bytes=tables,
            bundle_bytes=own_bundle * times + TRACKS * TRACK_BYTES,
            core_seconds=contender["seconds"] * cores * times,
            shard_rows=SESSIONS * ROWS_PER_SESSION / SHARDS,
            # Raw logs are read once, each table is written and read again by the next stage.
            traffic=raw + 2 * tables,
            loading_sessions=loader["loader_sessions_per_second"],
            training_sessions=loader["network_sessions_per_second"],
        )

    def hours(self, cores: int) -> float:
        """Raw logs to bundles on so many cores, no more of them than there are shards to work on."""
        return self.core_seconds / min(cores, SHARDS) / 3600


def text(scale: Scale, cores: Sequence[int]) -> str:
    """The figures as Markdown."""
    gb, hour = 1e9, 3600
    rows = f"{scale.rows / 1e9:.2f} billion, {scale.shard_rows / 1e6:.1f} million in each of {SHARDS} files"
    per_session = scale.bundle_bytes / SESSIONS
    through_link = scale.traffic / STORAGE_BYTES_PER_SECOND / hour
    figures = {
        "log rows": rows,
        "raw logs, uncompressed": f"{scale.raw_bytes / gb:,.0f} GB",
        "merged, encoded and scaled tables": f"{scale.table_bytes / gb:,.0f} GB",
        "bundles": f"{scale.bundle_bytes / gb:,.1f} GB, {per_session:,.0f} bytes a session",
        "processor time, raw logs to bundles": f"{scale.core_seconds / hour:,.1f} hours of a core",
        **{f"on {n} cores": f"{scale.hours(n):,.2f} hours" for n in cores},
        "through one link of 10 Gbit/s to shared storage": f"{through_link:,.2f} hours",
        "a pass over all sessions, loading alone": f"{SESSIONS / scale.loading_sessions / 60:,.0f} minutes",
        "an epoch of the default network": f"{SESSIONS * 0.7 / scale.training_sessions / hour:,.1f} hours",
    }
    head = ["the whole public training set", f"{SESSIONS / 1e6:.0f} million sessions"]
    return markdown(head, figures.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; the exit status is 1 if there are none to derive them from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS, help="default: %(default)s")
    parser.add_argument("--cores", type=int, nargs="+", default=CORES)
    options = parser.parse_args(arguments)
    try:
        results = json.loads(options.results.read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.stderr.write(f"error: {options.results} is not there; run `make bench` first\n")
        return 1
    print(text(Scale.of(results), options.cores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
