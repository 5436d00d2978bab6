"""An object store that several processes share: fsspec's interface over files of this machine.

It can no more than an object store: an object appears whole or not at all, has an ETag, and may be created
only where there is none; there are no folders to make, nothing is renamed, nothing appended to.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.spec import AbstractFileSystem
from upath import UPath
from upath.registry import register_implementation

PROTOCOL: Final = "objects"
_UPLOAD: Final = ".upload-"

PLUG_IN: Final = f"""\
[fsspec.specs]
{PROTOCOL} = {__name__}:DiskObjects

[universal_pathlib.implementations]
{PROTOCOL} = {__name__}:ObjectsPath
"""
"""Entry points that make other processes know it, as an installed package's would."""


class ObjectsPath(UPath):
    """A path of its own class, as every known file system has."""


class DiskObjects(AbstractFileSystem):
    """Objects whose keys are absolute paths of this machine."""

    protocol = PROTOCOL

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        file = Path(self._strip_protocol(path))
        if file.is_file():
            etag = hashlib.md5(file.read_bytes()).hexdigest()  # noqa: S324  what S3 uses
            return {"name": str(file), "size": file.stat().st_size, "type": "file", "ETag": etag}
        if any(found.is_file() for found in file.rglob("*")):
            return {"name": str(file), "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        self.info(path)
        folder = Path(self._strip_protocol(path))
        found = []
        for entry in folder.iterdir() if folder.is_dir() else [folder]:
            if not entry.name.startswith(_UPLOAD):
                try:
                    found.append(self.info(str(entry)))
                except FileNotFoundError:  # a folder without files is none
                    continue
        return found if detail else [entry["name"] for entry in found]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode == "rb":
            return Path(self._strip_protocol(path)).open("rb")
        assert mode == "wb", f"an object store has no mode {mode}"
        return _Upload(self, path)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        target = Path(self._strip_protocol(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        upload = target.with_name(f"{_UPLOAD}{secrets.token_hex(8)}")
        upload.write_bytes(value)
        try:
            if mode == "create":
                os.link(upload, target)  # fails where there is one
                upload.unlink()
            else:
                upload.replace(target)
        finally:
            upload.unlink(missing_ok=True)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        self.pipe_file(path2, Path(self._strip_protocol(path1)).read_bytes())

    def rm_file(self, path: str) -> None:
        Path(self._strip_protocol(path)).unlink(missing_ok=True)

    _rm = rm_file

    def rm(self, path: str, recursive: bool = False, **_: Any) -> None:
        for key in self.find(path) if recursive else [path]:
            self.rm_file(key)

    def mkdir(self, path: str, **_: Any) -> None:
        raise AssertionError(f"an object store has no folder {path} to make")

    def makedirs(self, path: str, **_: Any) -> None:
        self.mkdir(path)

    def mv(self, path1: str, *_: Any, **__: Any) -> None:
        raise AssertionError(f"an object store cannot rename {path1}")


class _Upload(io.BytesIO):
    def __init__(self, store: DiskObjects, path: str) -> None:
        super().__init__()
        self._store, self._path = store, path

    def close(self) -> None:
        if not self.closed:
            self._store.pipe_file(self._path, self.getvalue())
        super().close()


def register() -> None:
    """Make this process know it."""
    fsspec.register_implementation(PROTOCOL, DiskObjects, clobber=True)
    register_implementation(PROTOCOL, ObjectsPath, clobber=True)


def install(site: Path) -> None:
    """Make every process know it that has the folder ``site`` on its path."""
    plug_in = site / "disk_objects-1.dist-info"
    plug_in.mkdir()
    (plug_in / "METADATA").write_text("Metadata-Version: 2.1\nName: disk-objects\nVersion: 1\n")
    (plug_in / "entry_points.txt").write_text(PLUG_IN)
