"""Sessions to be scored, in the format of the public archive's ``test_set``: pairs of files.

    log_prehistory_….csv   21 columns, the log of each session's first half
    log_input_….csv         4 columns, the tracks of its second half

The listeners differ from those of the training sessions; the catalogue is the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.raw.folder import ListedFile
from skip_pipeline.settings import TEST_SET
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.output_folder import append_rows, csv_stream, part_of, record_part
from skip_pipeline.world.randomness import other_seed
from skip_pipeline.world.world import World

_INPUT = [schema.SESSION_ID, schema.LOG_TRACK_ID, schema.POSITION, schema.LENGTH]


def unfinished_world(world: World, sessions: int) -> World:
    """Sessions of other listeners, with the same catalogue, on the day after a world's last day.

    Raises:
        RefusedError: the number of sessions is out of range.
    """
    extent = Extent(sessions, first_day=world.extent.first_day + world.extent.days)
    return World(extent, world.tracks, other_seed(world.seed), catalogue_of=world.seed)


def write_unfinished(world: World, out: Path, suffix: str) -> dict[str, ListedFile]:
    """Write all sessions of a world as one pair of file parts; their records, by name below ``out``.

    Args:
        out: the raw folder, with its ``test_set``.
        suffix: ``.gz`` for gzipped files, else empty.
    """
    stamp = f"{world.extent.date_of(0):%Y%m%d}_000000000000.csv{suffix}"
    prehistory, asked = (f"{TEST_SET}/{kind}_{stamp}" for kind in ("log_prehistory", "log_input"))
    zipped = bool(suffix)
    with (
        csv_stream(part_of(out, prehistory), schema.SESSION_LOG.names, compressed=zipped) as heard,
        csv_stream(part_of(out, asked), _INPUT, compressed=zipped) as unheard,
    ):
        for block in range(world.extent.blocks):
            log = world.block(block).log
            half = log[schema.LENGTH].to_numpy() // 2
            first = log[schema.POSITION].to_numpy() <= half
            append_rows(heard, log.filter(pa.array(first)))
            append_rows(unheard, log.select(_INPUT).filter(pa.array(np.logical_not(first))))
    return {name: record_part(out, name) for name in (prehistory, asked)}
