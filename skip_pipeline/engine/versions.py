"""Whether the workers of a cluster are what this process is: same Python, same libraries, same code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from skip_pipeline.errors import EngineError

LIBRARIES: Final = ("distributed", "cloudpickle", "numpy", "pyarrow")
"""What has to be the same for work to reach the workers and for its results to be equal byte for byte."""

CODE: Final = "skip-pipeline"
_WORKERS_NAMED: Final = 3  # of those that differ; a cluster of hundreds is mostly wrong in one way


def python_and_libraries(info: Mapping[str, Any]) -> dict[str, str | None]:
    """Versions of one process, as ``Client.get_versions`` gives them.

    Python counts by its minor version: functions pickled by value are valid within it, and a patch release
    changes no result.
    """
    python = ".".join(info["host"]["python"].split(".")[:2])
    return {"Python": python, **{name: info["packages"].get(name) for name in LIBRARIES}}


def code_probe() -> Callable[[], str | None]:
    """A function that gives the version of this package where it runs: number and digest, or None.

    It is made inside a function so that it is pickled by value, and reaches workers without the package.
    The digest covers all sources: between two releases the number stays the same while the code changes.
    """

    def version() -> str | None:
        import hashlib
        import importlib.metadata
        import importlib.util
        import pathlib

        found = importlib.util.find_spec("skip_pipeline")
        if found is None or not found.submodule_search_locations:
            return None
        digest = hashlib.sha256()
        for folder in map(pathlib.Path, found.submodule_search_locations):
            for source in sorted(folder.rglob("*.py")):
                digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
        try:
            number = importlib.metadata.version("skip-pipeline")
        except importlib.metadata.PackageNotFoundError:  # on the path without being installed
            number = "not installed"
        return f"{number} (sources {digest.hexdigest()[:12]})"

    return version


def refuse_others(
    ours: Mapping[str, str | None], theirs: Mapping[str, Mapping[str, str | None]], *, scheduler: str
) -> None:
    """Refuse workers that differ.

    Args:
        ours: versions here, by name.
        theirs: versions of each worker, by its address.
        scheduler: the scheduler's address, for the message.

    Raises:
        EngineError: a version differs or is missing; it names what differs, with both versions, and where.
    """
    differences = [
        f"{worker} has {name} {versions[name] or 'not at all'}, this process {ours[name] or 'not at all'}"
        for worker, versions in theirs.items()
        for name in ours
        if versions[name] != ours[name]
    ]
    if differences:
        more = len(differences) - _WORKERS_NAMED
        raise EngineError(
            f"The Dask cluster at {scheduler} is not what this process is, so that its results could differ: "
            + "; ".join(differences[:_WORKERS_NAMED])
            + (f"; and {more} more" if more > 0 else "")
            + ". No work was sent. Start its workers from the same installation "
            "(the same skip-pipeline and the same constraints.txt)"
        )
