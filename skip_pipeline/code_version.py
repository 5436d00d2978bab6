"""Version of the code that makes a result, for shards, for Dagster's assets and for the nightly gate.

The version of a module is a digest of:

- the sources of all modules of this package that it imports, directly or through others, in functions too,
  and of the templates that these name. A name that a package's ``__init__`` re-exports counts as imported
  from the module that defines it;
- the values of the names that these modules import from ``settings``, a class by its name alone. Every room
  imports ``settings``: its source would tie a table to the length of a list in the report;
- the versions of the libraries among their imports that decide results.

A regular expression finds the imports: parsing the package takes half a second, this a few milliseconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from skip_pipeline import settings

LIBRARIES: Final[Mapping[str, str]] = {
    "numpy": "numpy",
    "pyarrow": "pyarrow",
    "pandas": "pandas",  # hashes session ids, which decides their splits
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf2onnx": "tf2onnx",
    "onnxruntime": "onnxruntime",
}
"""Libraries whose version may change a result, by import name, and the distributions that hold them."""

ASSETS: Final[Mapping[str, tuple[str, ...]]] = {
    "session_logs": ("stages.ingest",),
    "track_features": ("stages.ingest",),
    "merged_table": ("stages.merge",),
    "encoded_table": ("stages.encode",),
    "scaled_table": ("stages.scale",),
    "tensor_bundles": ("stages.bundle", "stages.track_matrix"),
    "baseline_models": ("baselines",),
    "trained_model": ("training", "nightly.reference", "serving.pack"),
    "evaluation_report": ("report",),
    "data_drift": ("nightly.monitoring",),
    "champion_model": ("nightly.promotion", "report.promotion_page"),
    "skip_predictions": ("serving.batch",),
}
"""Modules below ``skip_pipeline`` that make each asset's result; a package stands for all its modules."""

_FOLDER: Final = Path(__file__).parent
_PACKAGE: Final = _FOLDER.name
_SETTINGS: Final = settings.__name__
_IMPORT: Final = re.compile(
    r"^[ \t]*(?:from ([\w.]+) import (\((?:[^)#]|#.*)*\)|[^\n#]+)|import ([^\n#]+))", re.MULTILINE
)
_NAME: Final = re.compile(r"([\w.]+)(?:\s+as\s+\w+)?")
_COMMENT: Final = re.compile(r"#.*")
_TEMPLATE: Final = re.compile(r"[\"']([\w.]+\.j2)[\"']")


def asset_version(asset: str) -> str:
    """Version of the code that makes an asset's result."""
    return code_version(*(f"{_PACKAGE}.{module}" for module in ASSETS[asset]))


def code_version(*modules: str) -> str:
    """Version of some modules and all that they import, as a SHA-256 in hex.

    Args:
        modules: full names; a package stands for all its modules.

    Raises:
        KeyError: there is no such module.
    """
    digest = hashlib.sha256()
    for name, content in sorted(dependencies(*modules).items()):
        digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


def dependencies(*modules: str) -> dict[str, str]:
    """Sources, values of settings and versions of libraries that decide a version, by name."""
    sources, imports = _sources(), _imports_by_module()
    found: dict[str, str] = {}
    to_do = [name for module in modules for name in _members(module, sources)]
    while to_do:
        name = to_do.pop()
        if name in found:
            continue
        if name in sources:
            found[name] = sources[name]
            to_do += imports[name]
        elif name in LIBRARIES:
            found[name] = _library_version(LIBRARIES[name])
        else:
            found[name] = repr(getattr(settings, name.removeprefix(f"{_SETTINGS}.")))
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
def _imports_by_module() -> dict[str, set[str]]:
    """By source, the names of the sources, settings and libraries that it imports itself."""
    sources = _sources()
    named = {name: _names_in(source) for name, source in sources.items()}
    return {
        name: {each for imported in names for each in _resolved(imported, sources, named)}
        for name, names in named.items()
    }


def _names_in(source: str) -> list[str]:
    """Full names of the modules, and of the names in modules, that a source imports; and its templates."""
    found = _TEMPLATE.findall(source) if ".j2" in source else []
    for origin, names, modules in _IMPORT.findall(source):
        listed = _NAME.findall(_COMMENT.sub("", names or modules))
        found += [f"{origin}.{name}" if origin else name for name in listed]
    return found


def _resolved(imported: str, sources: Mapping[str, str], named: Mapping[str, list[str]]) -> list[str]:
    """The source, setting or library behind an imported name; none for a library that decides no result."""
    if imported in sources:
        return [imported]
    top = imported.partition(".")[0]
    if top != _PACKAGE:
        return [top] if top in LIBRARIES else []
    origin, _, name = imported.rpartition(".")
    if origin == _SETTINGS:
        return [imported]
    exported = next((each for each in named[origin] if each.endswith(f".{name}")), None)
    return [origin] if exported is None else _resolved(exported, sources, named)


def _members(module: str, sources: Mapping[str, str]) -> list[str]:
    """The module, and all modules below it where it is a package."""
    sources[module]
    return [module, *(name for name in sources if name.startswith(f"{module}."))]


@cache
def _library_version(distribution: str) -> str:
    return version(distribution)
