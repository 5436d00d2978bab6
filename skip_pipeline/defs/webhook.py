"""Post a text to a chat's webhook. Its address is a secret, so only the host is ever named."""

import json
from http.client import HTTPException
from threading import Thread
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.nightly.morning import for_chat
from skip_pipeline.settings import WEBHOOK_VARIABLE

WAIT_SECONDS: Final = 5.0
"""For the whole answer; Slack and Teams answer within one. Dagster ends a sensor's evaluation after 60."""


class WebhookError(SkipPipelineError):
    """Raised when a webhook's address is not usable, or the webhook fails or does not answer."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_request: object) -> None:
        """Follow none: the text would go to another host."""


def post(url: str, text: str, *, wait: float = WAIT_SECONDS) -> str:
    """Post ``{"text": …}``, as Slack and Teams take it; returns the host.

    Raises:
        WebhookError: the address is not http or https, or the webhook does not answer with success in time.
    """
    try:
        host = urlsplit(url).hostname
        request = Request(  # noqa: S310 - the scheme is checked below
            url, json.dumps({"text": for_chat(text)}).encode(), {"Content-Type": "application/json"}
        )
    except ValueError:
        host = None
    if host is None or request.type not in ("http", "https"):
        raise WebhookError(
            f"${WEBHOOK_VARIABLE} is not an http or https address (its value is a secret and is not shown); "
            "expected that of a chat's webhook. Correct or unset it"
        )
    failures: list[str] = []

    def send() -> None:
        try:
            build_opener(_NoRedirect).open(request, timeout=wait).close()
        except HTTPError as refusal:
            failures.append(f"answered with status {refusal.code}")
            refusal.close()
        # ValueError: an address that HTTP cannot hold. The texts of these may quote the address.
        except (OSError, HTTPException, ValueError) as failure:
            reason = getattr(failure, "reason", failure)
            detail = f": {reason.strerror}" if isinstance(reason, OSError) and reason.strerror else ""
            failures.append(f"failed ({type(reason).__name__}{detail})")

    # The timeout of a socket is for each of its reads; a server that sends a byte now and then outlasts it.
    sending = Thread(target=send, daemon=True)
    sending.start()
    sending.join(wait)
    if sending.is_alive():
        failures.append(f"did not answer within {wait:g} s")
    if failures:
        raise WebhookError(
            f"the webhook at {host} {failures[0]}; expected success within {wait:g} s. The message is in "
            f"Dagster's log; correct ${WEBHOOK_VARIABLE}, or unset it"
        )
    return host
