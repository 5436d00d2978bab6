"""Version of the code that makes a result, for shards, for Dagster's assets and for the nightly gate.

The version of a module is a digest of all sources and templates that it imports, directly or through others,
of the values of the settings among them (every room imports ``settings``: its source does not count), and of
the versions of the libraries. A name that a package's ``__init__`` re-exports counts for the module that
defines it. A regular expression finds the imports of the data stages in 2 ms; parsing would take 55 ms.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from skip_pipeline import settings
from skip_pipeline.storage import digest_of

# Libraries whose version may change a result (pandas hashes session ids, which decides their splits).
# By import name, the names of their distributions.
_OWN_NAME: Final = ("numpy", "pyarrow", "pandas", "scipy", "tensorflow", "keras", "onnx", "onnxruntime")
_LIBRARIES: Final = {name: name for name in _OWN_NAME} | {"sklearn": "scikit-learn"}

# Modules below ``skip_pipeline`` that make each asset's result; a package stands for all its modules.
ASSETS: Final[Mapping[str, tuple[str, ...]]] = {
    "session_logs": ("stages.ingest",),
    "track_features": ("stages.ingest",),
    "merged_table": ("stages.merge",),
    "encoded_table": ("stages.encode",),
    "scaled_table": ("stages.scale",),
    "tensor_bundles": ("stages.bundle", "stages.track_matrix"),
    "baseline_models": ("baselines",),
    "trained_model": ("training",),
    "best_model": ("nightly.best", "nightly.reference"),
    "evaluation_report": ("report",),
    "own_listening_report": ("report.make_own_listening", "training"),
    "data_drift": ("nightly.champion",),
    "champion_model": ("nightly.champion", "report.promotion_page", "report.slices"),
    "skip_predictions": ("nightly.champion", "serving.batch"),
}

_FOLDER: Final = Path(__file__).parent
_SETTINGS: Final = settings.__name__
_library_version: Final = cache(version)
_IMPORT: Final = re.compile(
    r"^[ \t]*(?:from ([\w.]+) import (\((?:[^)#]|#.*)*\)|[^\n#]+)|import ([^\n#]+))", re.MULTILINE
)
_NAME: Final = re.compile(r"([\w.]+)(?:\s+as\s+\w+)?")
_TEMPLATE: Final = re.compile(r"[\"']([\w.]+\.j2)[\"']")


def asset_version(asset: str) -> str:
    """Version of the code that makes an asset's result."""
    return code_version(*(f"skip_pipeline.{module}" for module in ASSETS[asset]))


def code_version(*modules: str) -> str:
    """Version of modules, by their full names, and all that they import, as a SHA-256 in hex."""
    return digest_of(*(part for item in sorted(dependencies(*modules).items()) for part in item))


def dependencies(*modules: str) -> dict[str, str]:
    """Sources, values of settings and versions of libraries that decide a version, by name."""
    sources = _sources()
    found: dict[str, str] = {}
    to_do = [*modules, *(name for name in sources if name.startswith(tuple(f"{m}." for m in modules)))]
    while to_do:
        name = to_do.pop()
        if name in _LIBRARIES:
            found[name] = _library_version(_LIBRARIES[name])
        elif name.startswith(f"{_SETTINGS}."):
            found[name] = repr(getattr(settings, name.removeprefix(f"{_SETTINGS}.")))
        elif name not in found:
            found[name] = sources[name]
            to_do += _imports_of(name)
    return found


@cache
def _sources() -> dict[str, str]:
    """Text of each module of the package by its full name, and of each template by its file name."""
    found = {path.name: path.read_text(encoding="utf-8") for path in _FOLDER.rglob("*.j2")}
    for path in _FOLDER.rglob("*.py"):
        name = ".".join(path.relative_to(_FOLDER.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


@cache
def _imports_of(name: str) -> set[str]:
    """Names of the sources, settings and libraries that a source imports itself."""
    return {source for each in _names_in(name) for source in _resolved(each)}


@cache
def _names_in(name: str) -> list[str]:
    """Full names of the modules, and of the names in modules, that a source imports; and its templates."""
    source = _sources()[name]
    found = _TEMPLATE.findall(source)
    for origin, names, modules in _IMPORT.findall(source):
        listed = _NAME.findall(re.sub("#.*", "", names or modules))
        found += [f"{origin}.{each}" if origin else each for each in listed]
    return found


def _resolved(imported: str) -> list[str]:
    """The source, setting or library behind an imported name; none for a library that decides no result."""
    if imported in _sources():
        return [imported]
    origin, _, name = imported.rpartition(".")
    if origin == _SETTINGS:
        return [imported]
    if not imported.startswith("skip_pipeline."):
        return [top for top in imported.split(".")[:1] if top in _LIBRARIES]
    exported = next((each for each in _names_in(origin) if each.endswith(f".{name}")), None)
    return [origin] if exported is None else _resolved(exported)
