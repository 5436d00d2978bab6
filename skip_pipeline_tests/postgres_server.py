"""A PostgreSQL server of its own on 127.0.0.1, for tests."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_DEBIAN: Final = Path("/usr/lib/postgresql")  # versions that Debian does not put on the path
_USERS: Final = ("postgres", "nobody")  # PostgreSQL refuses to run as root
MISSING: Final = "no PostgreSQL; install Debian's package postgresql"


def binaries() -> Path | None:
    """Folder of initdb and pg_ctl; None if PostgreSQL is not installed."""
    for found in (*sorted(_DEBIAN.glob("*/bin"), reverse=True), shutil.which("initdb")):
        if found and Path(found).exists():
            return Path(found) if Path(found).is_dir() else Path(found).resolve().parent
    return None


@contextmanager
def postgres_server(port: int) -> Iterator[Mapping[str, str]]:
    """Run a new, empty server while the block lasts.

    Yields:
        Environment variables by which every client of libpq finds the server, with a password.
    """
    folder = binaries()
    if folder is None:
        raise RuntimeError(MISSING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        home, command = Path(temporary), _as_user(Path(temporary))
        client = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "skip_pipeline",
            "PGPASSWORD": secrets.token_hex(16),
        }
        asked = home / "password"
        asked.write_text(client["PGPASSWORD"])
        asked.chmod(0o644)  # in a folder that only its owner can enter
        _run(
            *command, folder / "initdb", "-D", home / "data", "-U", client["PGUSER"], "--no-sync",
            "--auth=scram-sha-256", f"--pwfile={asked}", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories={home}"
        )
        control: tuple[str | Path, ...] = (*command, folder / "pg_ctl", "-D", home / "data", "-w")
        _run(*control, "-o", options, "-l", home / "log", "start")
        try:
            yield client
        finally:
            _run(*control, "-m", "immediate", "stop")


def _as_user(home: Path) -> tuple[str, ...]:
    """Start of a command that runs as a user other than root, who then owns the folder."""
    if os.geteuid() != 0:
        return ()
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in _USERS if name in names)
    entry = pwd.getpwnam(user)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return ("setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--")


def _run(*words: str | Path) -> None:
    # Standard output stays closed to the server, which would hold a pipe open.
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{words} ended with status {done.returncode}")
