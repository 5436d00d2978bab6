"""Places of files: a path of this machine, or a URL of an object store (S3, GCS and others).

A URL is a path of the library ``universal-pathlib``, which has the methods of ``pathlib.Path``, and is
imported only for a URL. Both are annotated as ``Path``, and ``is_local`` tells them apart.
"""

import re
from pathlib import Path, PurePath
from typing import Any, Final, cast

from skip_pipeline.errors import RefusedError

_PASSWORD: Final = re.compile(r"(?<=://)[^/]*:[^/]*(?=@)")
# To fsspec the first three make a pattern, also where it deletes, and the last puts one store on another.
_UNUSABLE: Final = re.compile(r"[*?\[#]|::")


def is_url(text: str) -> bool:
    """Whether a text is a URL, and not a path of this machine."""
    return "://" in text


def location(text: str) -> Path:
    """The place of a path or URL, such as ``s3://bucket/prefix``; nothing is opened."""
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
    return Path(path) if scheme.lower() == "file" else _in_object_store(text, scheme.lower())


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
    # Other machines write there too, so listings must not be cached, as asynchronous file systems would.
    options: dict[str, Any] = {"use_listings_cache": False} if kind.async_impl else {}
    return cast(Path, UPath(url.rstrip("/"), **options))


def is_local(path: Path) -> bool:
    """Whether a place is on this machine, where files can be mapped, renamed and locked."""
    return isinstance(path, PurePath)


def file_system(path: Path) -> Any:
    """The fsspec file system of a place that is not local; its methods take ``key_of`` of the place."""
    return cast(Any, path).fs


def key_of(path: Path) -> str:
    """Bucket and key of a place that is not local."""
    return str(cast(Any, path).path)


def files_below(folder: Path) -> list[tuple[str, Path]]:
    """Relative name and path of every file below a folder, sorted; none if there is no such folder."""
    if is_local(folder):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.relative_to(folder).as_posix(), path) for path in paths]
    prefix = key_of(folder).rstrip("/") + "/"
    keys = file_system(folder).find(prefix)  # one request per thousand objects
    names = sorted(key.removeprefix(prefix) for key in keys)
    return [(name, folder / name) for name in names]
