"""Where files lie: in a folder of this machine, or under a URL in an object store (S3, GCS and the like).

A place on this machine is a ``pathlib.Path``. A place in an object store is a path of the library
``universal-pathlib``, which answers to the same names and goes through ``fsspec``; it is told by
``is_local`` where the two have to be treated differently, and annotated as ``Path`` like the other. The
library is imported only when a URL is given.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any, Final, cast

from skip_pipeline.errors import RefusedError

_PASSWORD: Final = re.compile(r"(?<=://)[^/]*:[^/]*(?=@)")
_FILE: Final = "file"
# To fsspec the first three make a pattern, also where it deletes, and the last puts one store on another.
_UNUSABLE: Final = re.compile(r"[*?\[#]|::")

CHANGE_MARKS: Final = ("ETag", "etag", "generation", "md5Hash", "content_md5")
"""What object stores call the mark of an object that another content cannot have, as fsspec passes it on."""


def is_url(text: str) -> bool:
    """Whether a place is named by a URL, and not by a path of this machine."""
    return "://" in text


def location(text: str) -> Path:
    """The place of a path or URL; nothing is looked up there.

    Args:
        text: a path of this machine, which may be spelt ``file://``; or an fsspec URL such as
            ``s3://bucket/prefix``.

    Raises:
        RefusedError: the URL holds a password or a character that means something else there, or nothing
            that is installed can open it.
    """
    if not is_url(text):
        return Path(text)
    shown = _PASSWORD.sub("…", text)
    if shown != text:
        raise RefusedError(
            f"the storage URL {shown} holds a password; expected none, because URLs end up in logs and "
            "reports. Leave it out, and give the credentials in the environment or the files that the "
            "storage's own tools read"
        )
    if _UNUSABLE.search(text):
        raise RefusedError(
            f"the storage URL {text} has one of * ? [ # and :: in it, which mean something else to the "
            "library that opens it; expected a plain path. Choose another folder"
        )
    scheme, _, path = text.partition("://")
    return Path(path) if scheme.lower() == _FILE else _in_object_store(text, scheme.lower())


def _in_object_store(url: str, scheme: str) -> Path:
    import fsspec
    from upath import UPath

    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as missing:
        raise RefusedError(
            f"{url} cannot be opened, because a package is missing ({missing}); expected the one for "
            f"{scheme}://. Install it, for s3:// with pip install 'skip-pipeline[s3]'"
        ) from missing
    except ValueError as unknown:
        raise RefusedError(
            f"{url} cannot be opened ({unknown}); expected a path of this machine, or a URL of an object "
            "store that fsspec knows, such as s3://bucket/prefix"
        ) from unknown
    # Others write there too, so no listing may be remembered, as the asynchronous kinds would.
    options: dict[str, Any] = {"use_listings_cache": False} if kind.async_impl else {}
    # No subclass of Path, though it has the methods; here alone it is called one.
    return cast(Path, UPath(url.rstrip("/"), **options))


def is_local(path: Path) -> bool:
    """Whether a place is on this machine, so that it can be mapped, renamed and locked by its system."""
    return isinstance(path, PurePath)


def file_system(path: Path) -> Any:
    """The fsspec file system of a place that is not local; it takes the place as ``key_of`` spells it."""
    return cast(Any, path).fs


def key_of(path: Path) -> str:
    """A place that is not local, as its file system spells it: bucket and key, without the protocol."""
    return str(cast(Any, path).path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; an object store has none, and needs none."""
    if is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)


def files_below(folder: Path) -> list[tuple[str, Path]]:
    """Every file below a folder with its relative name, sorted; none where there is no such folder."""
    if is_local(folder):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.relative_to(folder).as_posix(), path) for path in paths]
    prefix = key_of(folder).rstrip("/") + "/"
    keys = file_system(folder).find(prefix)  # one request per thousand objects
    names = sorted(key.removeprefix(prefix) for key in keys)
    return [(name, folder / name) for name in names]
