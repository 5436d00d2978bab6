"""Under which names the server answers browsers.

A page of any site can give a name of its own the address 127.0.0.1 after it was loaded (DNS rebinding). To
the browser, the server on this machine is then the page's own, and the page may read its answers. The request
still names the page's host.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_AUTHORITY: Final = re.compile(r"(?:https?://)?(\[[^\]]*\]|[^:/]*)(?::\d*)?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether a name stands for this machine alone.

    >>> [is_loopback(host) for host in ("localhost", "[::1]", "127.0.0.2", "localhost.example")]
    [True, True, True, False]
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class KnownHosts:
    """An ASGI application that answers requests for some hosts, and from pages of these hosts."""

    def __init__(self, app: ASGIApp, refuse: ASGIApp, names: Collection[str]) -> None:
        """Args: the application, one that answers in its place, and names beside those of loopback."""
        self._app, self._refuse = app, refuse
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer if every ``Host`` and ``Origin`` of the request is known; HTTP 1.0 may leave out both."""
        known = True
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            known = all(
                self._is_known(value) for name in ("host", "origin") for value in headers.getlist(name)
            )
        await (self._app if known else self._refuse)(scope, receive, send)

    def _is_known(self, value: str) -> bool:
        found = _AUTHORITY.fullmatch(value.strip())
        return found is not None and (is_loopback(found[1]) or found[1].lower() in self._names)
