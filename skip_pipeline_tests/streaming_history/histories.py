"""Records of a history that makes a given number of sessions."""

from __future__ import annotations

from skip_pipeline_tests.streaming_history.exports_for_tests import Generation, Record, play

DAYS = 28


def history(sessions: int, generation: Generation = "2025", first: int = 0) -> list[Record]:
    """Records of sittings of ten plays each, eight a day, of tracks from number ``first`` on."""
    return [
        play(
            f"2023-{1 + day // DAYS:02d}-{1 + day % DAYS:02d}T{hour:02d}:{minute:02d}:00Z",
            first + (day * 7 + minute) % 40,
            generation,
            ms_played=60_000,
            reason_end="fwdbtn" if (day + minute) % 3 == 0 else "trackdone",
        )
        for day, hour in ((session // 8, 2 * (session % 8)) for session in range(sessions))
        for minute in range(1, 11)
    ]
