"""What the delivered session logs and track features say of their contract: findings, one a check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.raw.diagnosis import shown_value
from skip_pipeline.raw.oddities import unknown_levels
from skip_pipeline.raw.session_log import SessionLogSummary
from skip_pipeline.settings import EXAMPLES_SHOWN
from skip_pipeline.stages import contracts
from skip_pipeline.stages.contracts import Finding

LOG_FINDINGS: Final = (
    contracts.COLUMNS,
    contracts.SESSIONS_WHOLE,
    contracts.LENGTHS,
    contracts.LEVELS_KNOWN,
    contracts.DATES_PLAUSIBLE,
    contracts.MARKER_FITS,
)
TRACK_FINDINGS: Final = (
    contracts.COLUMNS,
    contracts.TRACKS_UNIQUE,
    contracts.COMPLETE,
    contracts.LEVELS_KNOWN,
)


def log_findings(summary: SessionLogSummary, doubt: str) -> tuple[Finding, ...]:
    """What session logs that could be read say of their contract, in the order of ``LOG_FINDINGS``.

    The last three are oddities to warn of; what the others name would have been refused while reading.

    Args:
        doubt: as ``marker_doubt`` says.
    """
    counted = {"sessions": summary.sessions, "rows": summary.rows}
    return (
        Finding(contracts.COLUMNS, True, {"columns": len(schema.SESSION_LOG)}),
        Finding(contracts.SESSIONS_WHOLE, True, counted),
        Finding(contracts.LENGTHS, True, {str(length): n for length, n in summary.lengths.items()}),
        Finding(contracts.LEVELS_KNOWN, not summary.unknown_levels, _oddities(summary.unknown_levels)),
        Finding(
            contracts.DATES_PLAUSIBLE, not summary.junk_dates, _oddities({schema.DATE: summary.junk_dates})
        ),
        Finding(contracts.MARKER_FITS, not doubt, {"doubt": doubt} if doubt else {}),
    )


def track_findings(tracks: pa.Table) -> tuple[Finding, ...]:
    """What track features that could be read say of their contract, in the order of ``TRACK_FINDINGS``."""
    unknown = unknown_levels(tracks)
    counted = {"tracks": tracks.num_rows}
    return (
        Finding(contracts.COLUMNS, True, {"columns": len(schema.TRACK_FEATURES)}),
        Finding(contracts.TRACKS_UNIQUE, True, counted),
        Finding(contracts.COMPLETE, True, counted),
        Finding(contracts.LEVELS_KNOWN, not unknown, _oddities(unknown)),
    )


def _oddities(counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    return {column: _counted(values) for column, values in counts.items() if values}


def _counted(values: Mapping[str, int]) -> str:
    shown = [
        f"{shown_value(value)} in {n} row{'' if n == 1 else 's'}"
        for value, n in list(values.items())[:EXAMPLES_SHOWN]
    ]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more value{'' if more == 1 else 's'}" if more else "")
