"""Apprise's own URL schemes with servers on real sockets."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from urllib.parse import parse_qs

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from gpurent.api import Event, EventKind, Notice, NoticeLevel, UnavailableError, UsageError
from gpurent.testing.fakes.http_server import http_reply, http_server
from gpurent_plugin_apprise.notifier import AppriseNotifier

NOTICE = Notice(
    id="0123456789abcdef",
    level=NoticeLevel.WARNING,
    title="gpurent: 时间不多了 (mistgpu-abcde)",
    body="12 分钟\ngpurent topup mistgpu AMOUNT",
    event=Event(kind=EventKind.TIME_LOW, at=datetime(2026, 3, 1, 12, tzinfo=UTC)),
)


async def send(urls: str) -> None:
    await asyncio.to_thread(lambda: AppriseNotifier(urls).notify(NOTICE))


async def test_two_services_are_notified() -> None:
    async with http_server() as one, http_server() as two:
        await send(f"json://127.0.0.1:{one.port}/a form://127.0.0.1:{two.port}/b")
    (first,), (second,) = one.requests, two.requests
    found = json.loads(first.body)
    assert (found["title"], found["message"], found["type"]) == (NOTICE.title, NOTICE.body, "warning")
    assert parse_qs(second.body.decode())["title"] == [NOTICE.title]


async def test_failing_service_does_not_stop_the_others() -> None:
    async with (
        http_server(http_reply(status="500 Internal Server Error")) as one,
        http_server() as two,
    ):
        with pytest.raises(UnavailableError, match="500") as caught:
            await send(f"json://user:pass-CANARY@127.0.0.1:{one.port}/ json://127.0.0.1:{two.port}/")
    assert len(two.requests) == 1
    assert len(one.requests) == 1, "nothing is repeated"
    assert "CANARY" not in caught.value.message


async def test_a_redirect_is_not_followed() -> None:
    async with http_server() as other:
        location = f"Location: {other.url}/"
        async with http_server(http_reply(status="302 Found", headers=(location,))) as one:
            with pytest.raises(UnavailableError):
                await send(f"json://127.0.0.1:{one.port}/")
    assert other.requests == []


@pytest.mark.parametrize("urls", ["nonsense://key-CANARY/", "json://", " "])
def test_a_url_that_apprise_does_not_know_is_refused(urls: str) -> None:
    with pytest.raises(UsageError) as caught:
        AppriseNotifier(urls)
    assert "CANARY" not in caught.value.message


class RecordingSmtpHandler:
    """An SMTP server that records what it receives."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.mails.append(envelope.original_content or b"")
        return "250 OK"


async def test_mail() -> None:
    handler = RecordingSmtpHandler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await send(f"mailto://127.0.0.1:{port}?from=gpurent@example.com&to=me@example.com&mode=insecure")
    (raw,) = handler.mails
    mail = message_from_bytes(raw)
    assert str(make_header(decode_header(mail["Subject"]))) == NOTICE.title
    parts = [part.get_payload(decode=True) or b"" for part in mail.walk()]
    assert any("gpurent topup mistgpu AMOUNT" in part.decode() for part in parts if isinstance(part, bytes))
