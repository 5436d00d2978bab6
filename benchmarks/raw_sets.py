"""Raw data sets to measure on: made for the occasion, or the first shards of one that is there."""

import sys
from pathlib import Path
from typing import Any, Final

from benchmarks import measure

MINI_SESSIONS: Final = 10_000
MINI_TRACKS: Final = 50_704  # of the public mini set
WORLD_SEED: Final = 0


def absolute(path: str) -> Path:
    """A path of the command line, for children that start in another folder."""
    return Path(path).resolve()


def synthesize(raw: Path, *, sessions: int, tracks: int, shards: int | None) -> Path:
    """Make a set in a child, for this process must stay small.

    Raises:
        ChildFailedError: the sizes make no sense.
    """
    sizes = [str(sessions), str(tracks), str(shards or 0), str(WORLD_SEED)]
    code = (
        "import sys; from pathlib import Path; from skip_pipeline.world.synthesize import synthesize; "
        "n, tracks, shards, seed = map(int, sys.argv[2:]); "
        "synthesize(Path(sys.argv[1]), sessions=n, tracks=tracks, seed=seed, shards=shards or None)"
    )
    measure.output([sys.executable, "-c", code, str(raw), *sizes])
    return raw


def first_shards(raw: Path, shards: int, folder: Path) -> Path:
    """A set of the first session logs of ``raw`` and all its tracks, as links in ``folder``."""
    (folder / "training_set").mkdir(parents=True)
    for log in _files(raw / "training_set")[:shards]:
        (folder / "training_set" / log.name).symlink_to(log.resolve())
    (folder / "track_features").symlink_to((raw / "track_features").resolve())
    (folder / "SYNTHETIC.json").symlink_to((raw / "SYNTHETIC.json").resolve())
    return folder


def sizes(raw: Path) -> dict[str, Any]:
    """Where a set is from, how many logs it has, and bytes."""
    logs, features = _files(raw / "training_set"), _files(raw / "track_features")
    return {
        "data_source": "synthetic" if (raw / "SYNTHETIC.json").exists() else "real",
        "shards": len(logs),
        "log_bytes": sum(path.stat().st_size for path in logs),
        "track_bytes": sum(path.stat().st_size for path in features),
    }


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
