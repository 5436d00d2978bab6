"""From which columns each column of a stage is made, from the delivered files to the inputs of a network."""

from collections.abc import Mapping
from typing import Final

from skip_pipeline import schema

Origins = Mapping[str, tuple[tuple[str, str], ...]]
"""By column of a stage: the asset and column of each of its origins."""

_CATEGORY_OF: Final = {name: column for column in schema.LEVELS for name in schema.indicators(column)}

MERGED: Final[Origins] = {
    name: (
        ("session_logs", name)
        if name in schema.SESSION_LOG.names
        else ("track_features", name),
    )
    for name in schema.MERGED.names
}  # fmt: skip
ENCODED: Final[Origins] = {
    name: (("merged_table", _CATEGORY_OF.get(name, name)),) for name in schema.ENCODED.names
}
SCALED: Final[Origins] = {name: (("encoded_table", name),) for name in schema.SCALED.names}


def _of_scaled(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(("scaled_table", name) for name in columns)


BUNDLES: Final[Origins] = {
    "session_log": _of_scaled(schema.SESSION_LOG_BRANCH),
    "previous_tracks": _of_scaled(schema.TRACK_BRANCH),
    "skip_sequence": _of_scaled((schema.LABEL,)),
    "last_track": _of_scaled(schema.TRACK_BRANCH),
    schema.LABEL: _of_scaled((schema.LABEL,)),
}
