"""Ids spelt as in the published files, ordered by number whatever stretch is drawn."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from skip_pipeline.world.identifiers import ordered_uuid_strings, uuid_strings

SPELLING = re.compile(r"t_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_are_version_4_uuids_behind_a_prefix() -> None:
    ids = uuid_strings(np.random.default_rng(0), 300, prefix="t_")
    assert ids.type == pa.string()
    assert all(SPELLING.fullmatch(text) for text in ids.to_pylist())
    assert len(set(ids.to_pylist())) == 300


def test_ordered_ids_ascend_over_stretches_drawn_apart() -> None:
    stretches = [range(3), range(3, 500), range(500, 501)]
    ids = [
        ordered_uuid_strings(np.random.default_rng(i), numbers, of=501, prefix="t_").to_pylist()
        for i, numbers in enumerate(stretches)
    ]
    together = [text for part in ids for text in part]
    assert all(SPELLING.fullmatch(text) for text in together)
    assert together == sorted(together)
    assert len(set(together)) == 501
    assert (together[0][:3], together[-1][:3]) == ("t_0", "t_f")
