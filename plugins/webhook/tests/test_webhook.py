"""The webhook with servers on real sockets: signed, bounded, and never sent to another host."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
from datetime import UTC, datetime

import pytest

import gpurent_plugin_webhook.notifier as module
from gpurent.api import Event, EventKind, Notice, NoticeLevel, UnavailableError, UsageError
from gpurent.testing.fakes.http_server import http_reply, http_server
from gpurent_plugin_webhook.notifier import WebhookNotifier

KEY = "signing-key-CANARY"
NOTICE = Notice(
    id="0123456789abcdef",
    level=NoticeLevel.NOTICE,
    title="gpurent: 任务结束 (mistgpu-abcde)",
    body="exit code 0",
    event=Event(
        kind=EventKind.JOB_ENDED,
        at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        trip="t0301-abcde",
        lease="mistgpu-abcde",
        data={"exit_code": 0},
    ),
)


@pytest.fixture(autouse=True)
def _no_retry_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSES", (0.0, 0.0))


async def send(url: str, secret: str = "") -> None:
    await asyncio.to_thread(WebhookNotifier(url, secret).notify, NOTICE)


async def test_the_signature_covers_time_and_body() -> None:
    async with http_server(http_reply(status="204 No Content")) as server:
        await send(f"{server.url}/hook?token=abc", KEY)
    (request,) = server.requests
    assert request.line == "POST /hook?token=abc HTTP/1.1"
    timestamp = request.headers["x-gpurent-timestamp"]
    expected = hmac.new(KEY.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-gpurent-signature"] == f"sha256={expected}"
    assert abs(int(timestamp) - time.time()) < 300
    assert request.headers["idempotency-key"] == NOTICE.id
    assert json.loads(request.body) == {
        "version": 1,
        "id": NOTICE.id,
        "kind": "job-ended",
        "level": "notice",
        "at": "2026-03-01T12:00:00+00:00",
        "trip": "t0301-abcde",
        "lease": "mistgpu-abcde",
        "step": "",
        "title": NOTICE.title,
        "text": "exit code 0",
        "data": {"exit_code": 0},
    }


async def test_without_a_key_nothing_is_signed() -> None:
    async with http_server() as server:
        await send(server.url)
    assert "x-gpurent-signature" not in server.requests[0].headers


async def test_failing_server_is_not_retried() -> None:
    async with http_server(http_reply(status="500 Internal Server Error")) as server:
        with pytest.raises(UnavailableError, match="returned HTTP 500"):
            await send(f"{server.url}/key-CANARY")
    assert len(server.requests) == 1


async def test_busy_server_is_retried_with_the_same_key() -> None:
    async with http_server(
        http_reply(status="503 Busy"), http_reply(status="429 Slow Down"), http_reply()
    ) as server:
        await send(server.url, KEY)
    assert {request.headers["idempotency-key"] for request in server.requests} == {NOTICE.id}
    assert len({request.body for request in server.requests}) == 1
    assert len(server.requests) == 3


async def test_a_server_that_stays_busy_is_given_up() -> None:
    async with http_server(http_reply(status="503 Busy")) as server:
        with pytest.raises(UnavailableError, match="returned HTTP 503"):
            await send(server.url)
    assert len(server.requests) == 3


async def test_silent_server_times_out_and_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_answer(writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()

    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    async with http_server(never_answer) as server:
        with pytest.raises(UnavailableError, match="does not answer"):
            await send(server.url)
    assert len(server.requests) == 1, "it may have arrived"


async def test_connection_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/key-CANARY"
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        await send(url)
    assert "CANARY" not in caught.value.message


async def test_a_redirect_is_not_followed() -> None:
    async with http_server() as other:
        location = f"Location: {other.url}/elsewhere"
        async with http_server(http_reply(status="307 Temporary Redirect", headers=(location,))) as server:
            with pytest.raises(UnavailableError, match="not followed"):
                await send(server.url, KEY)
    assert other.requests == []


async def test_endless_body_does_not_block() -> None:
    async def send_endless_body(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with http_server(send_endless_body) as server:
        await send(server.url)


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "ftp://127.0.0.1/", "example.com", "https://", "http://["]
)
def test_only_secure_addresses_are_accepted(url: str) -> None:
    with pytest.raises(UsageError):
        WebhookNotifier(url, "")
