"""What bundling does with one shard, and with the tracks that all share: ``shard_work`` for bundles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from skip_pipeline import schema
from skip_pipeline.flow import bundle
from skip_pipeline.flow.parts import PART_FILES, TRACKS, open_tracks
from skip_pipeline.flow.scale import Scaler
from skip_pipeline.settings import SESSIONS_FOLDER
from skip_pipeline.storage import Made, read_json, read_table


def track_matrix(*, tracks: Path, scaler: Path, out: Path) -> Made:
    """Scale every track once.

    Args:
        tracks: the track table, sorted by id.
        scaler: JSON of the fitted scaler.
        out: folder that gets the matrix.
    """
    fitted = Scaler.from_json(read_json(scaler))
    matrix = bundle.track_matrix(read_table(tracks, schema.TRACK_FEATURES), fitted)
    bundle.write_tracks(out, matrix)
    return Made((TRACKS,), {"tracks": len(matrix)})


def bundle_shard(shard: str, *, encoded: Path, scaled: Path, matrix: Path, out: Path) -> Made:
    """Make the part of one scaled shard.

    Args:
        shard: its name.
        encoded: folder of the encoded table, which knows each row's track.
        scaled: folder of the scaled table.
        matrix: the track matrix.
        out: folder that gets the part, whose record (``parts.record_from_json``) is the summary.

    Raises:
        ContractError, MissingInputError: see ``bundle.bundle_shard`` and ``storage.read_table``.
    """
    codes = read_table(encoded / shard, schema.ENCODED, columns=[schema.LOG_TRACK_ID])
    part = bundle.bundle_shard(
        Path(shard).stem,
        read_table(scaled / shard, schema.SCALED),
        read_table(scaled / SESSIONS_FOLDER / shard, schema.SESSIONS),
        track_rows=codes[schema.LOG_TRACK_ID],
        tracks=open_tracks(matrix),
    )
    record = bundle.write_part(out, part)
    return Made(tuple(f"{part.name}/{name}" for name in PART_FILES), asdict(record))
