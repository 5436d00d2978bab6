"""Posts to a chat's webhook, and every way in which they fail; the address stays a secret."""

import json

import pytest

from benchmarks.server_process import free_port
from skip_pipeline.defs.webhook import WebhookError, post
from skip_pipeline_tests.builders import refusal
from skip_pipeline_tests.defs.chat_server import SECRET, chat, hanging


def failure(url: str, wait: float = 5.0) -> str:
    message = refusal(WebhookError, lambda: post(url, "text", wait=wait))
    assert "T00" not in message
    assert "SKIP_PIPELINE_WEBHOOK_URL" in message
    return message


def test_the_text_arrives_as_json_with_its_markup_escaped():
    with chat() as server:
        host = post(server.url, "1 < 2 & “ö”\nnext line")

    assert host == "127.0.0.1"
    [(path, kind, body)] = server.received
    assert (path, kind) == (SECRET, "application/json")
    assert json.loads(body) == {"text": "1 &lt; 2 &amp; “ö”\nnext line"}


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_answer_but_success_is_a_failure_and_no_redirection_is_followed(status):
    with chat(status) as server:
        message = failure(server.url)

    assert f"the webhook at 127.0.0.1 answered with status {status}" in message
    assert len(server.received) == 1


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nX-More: ", b"x"])
def test_a_webhook_that_hangs_or_drips_is_given_up(drip):
    with hanging(drip) as url:
        message = failure(url, wait=0.2)

    assert message.startswith("the webhook at 127.0.0.1 ")


def test_a_webhook_that_is_not_there_is_named_by_its_host():
    url = f"http://127.0.0.1:{free_port()}{SECRET}"
    assert "the webhook at 127.0.0.1 failed (ConnectionRefusedError" in failure(url)


@pytest.mark.parametrize(
    "url",
    [f"file:///{SECRET}", SECRET, f"http://{SECRET}", f"http://[::1{SECRET}", f"ftp://127.0.0.1{SECRET}"],
)
def test_what_is_no_address_of_a_webhook_is_refused(url):
    assert "is not an http or https address" in failure(url)


def test_an_address_that_http_cannot_hold_is_not_quoted():
    assert "failed (InvalidURL)" in failure("http://127.0.0.1:1/services/T00 a")
