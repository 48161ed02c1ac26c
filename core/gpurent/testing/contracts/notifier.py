"""Contract tests for `gpurent.roles.messages.Notifier`: a notice arrives once, or an error says that it did not.

A plugin's test is a subclass that makes its notifier for a URL of a web server on this computer::

    class TestWebhook(NotifierContract):
        @pytest.fixture
        def make_notifier(self) -> NotifierMaker:
            return lambda url: WebhookNotifier(url, "")
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from attrs import frozen

from gpurent.domain.events import Event, EventKind, Notice, NoticeLevel
from gpurent.errors import GpurentError
from gpurent.roles.messages import Notifier
from gpurent.testing.contracts.contract import Contract
from gpurent.testing.fakes.http_server import ReceivedRequest, Reply, http_reply, http_server

NotifierMaker = Callable[[str], Notifier]
SECRET = "key-CANARY-77"
TIME_LIMIT = 10.0
"""Real seconds: after that, core abandons a call, whose thread runs on."""
NOTICE = Notice(
    id="0123456789abcdef",
    level=NoticeLevel.WARNING,
    title="gpurent: 任务结束 (acme-abcde)",
    body="exit code 0\ngpurent logs acme-abcde",
    event=Event(kind=EventKind.JOB_ENDED, at=datetime(2026, 3, 1, 12, tzinfo=UTC), lease="acme-abcde"),
)


@frozen
class NotifyResult:
    """How a call ended: its error, and how many real seconds it took."""

    error: Exception | None
    seconds: float

    @property
    def text(self) -> str:
        found = self.error
        return f"{found} {found.hint} {found.detail}" if isinstance(found, GpurentError) else f"{found}"


class NotifierContract(Contract):
    """Contract tests for a notifier that posts to a URL."""

    @abstractmethod
    @pytest.fixture
    def make_notifier(self) -> NotifierMaker:
        """Return a function that makes the notifier for ``http://127.0.0.1:PORT/…``, in which a key may be."""

    async def send(self, make: NotifierMaker, url: str, notice: Notice = NOTICE) -> NotifyResult:
        """Notify as core does, in a thread."""
        notifier, started = make(f"{url}/{SECRET}"), time.monotonic()
        error = None
        try:
            await asyncio.to_thread(notifier.notify, notice)
        except Exception as caught:  # noqa: BLE001 - any exception means that it was not accepted
            error = caught
        return NotifyResult(error, time.monotonic() - started)

    async def test_a_notice_arrives_once(self, make_notifier: NotifierMaker) -> None:
        async with http_server() as server:
            result = await self.send(make_notifier, server.url)
        assert result.error is None
        (request,) = server.requests
        texts = "\n".join(_list_texts(request))
        assert NOTICE.title in texts
        for line in NOTICE.body.splitlines():
            assert line in texts

    async def test_notices_arrive_one_by_one(self, make_notifier: NotifierMaker) -> None:
        async with http_server() as server:
            notifier = make_notifier(f"{server.url}/{SECRET}")
            for _time in range(3):
                await asyncio.to_thread(notifier.notify, NOTICE)
        assert len(server.requests) == 3

    @pytest.mark.parametrize("status", ["500 Internal Server Error", "400 Bad Request", "403 Forbidden"])
    async def test_a_refusal_is_an_error_and_not_repeated(
        self, make_notifier: NotifierMaker, status: str
    ) -> None:
        async with http_server(http_reply(b"<html>no</html>", status=status)) as server:
            result = await self.send(make_notifier, server.url)
        assert result.error is not None
        assert len(server.requests) == 1

    async def test_a_lost_answer_is_an_error_and_not_repeated(self, make_notifier: NotifierMaker) -> None:
        """It may have arrived: a second one would be a second message on a phone."""
        async with http_server(_hang_up, http_reply()) as server:
            result = await self.send(make_notifier, server.url)
        assert result.error is not None
        assert len(server.requests) == 1

    async def test_a_busy_service_gets_it_once_or_never(self, make_notifier: NotifierMaker) -> None:
        async with http_server(http_reply(status="503 Busy"), http_reply()) as server:
            result = await self.send(make_notifier, server.url)
        assert len(server.requests) == (1 if result.error is not None else 2)
        assert result.seconds < TIME_LIMIT

    async def test_nobody_there_is_an_error(self, make_notifier: NotifierMaker) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            result = await self.send(make_notifier, url)
        assert result.error is not None
        assert result.seconds < TIME_LIMIT

    @pytest.mark.nightly
    async def test_a_silent_service_is_given_up(self, make_notifier: NotifierMaker) -> None:
        async with http_server(_stay_silent) as server:
            result = await self.send(make_notifier, server.url)
        assert result.error is not None
        assert result.seconds < TIME_LIMIT
        assert len(server.requests) == 1

    async def test_what_is_meant_for_one_host_goes_to_no_other(self, make_notifier: NotifierMaker) -> None:
        async with http_server() as other:
            location = f"Location: {other.url}/elsewhere"
            async with http_server(
                http_reply(status="307 Temporary Redirect", headers=(location,))
            ) as server:
                result = await self.send(make_notifier, server.url)
        assert other.requests == []
        assert result.error is not None

    async def test_an_error_shows_no_key_and_nothing_is_printed(
        self,
        make_notifier: NotifierMaker,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        replies: tuple[Reply, ...] = (http_reply(status="500 Internal Server Error"), _hang_up)
        for reply in replies:
            async with http_server(reply) as server:
                result = await self.send(make_notifier, server.url)
            assert SECRET not in result.text
        async with http_server() as server:
            await self.send(make_notifier, server.url)
        printed = capsys.readouterr()
        assert SECRET not in printed.out + printed.err + caplog.text
        assert printed.out == ""


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _stay_silent(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


def _list_texts(request: ReceivedRequest) -> Iterator[str]:
    """Yield the texts of a request's body: of JSON, of a form, or as it is."""
    text = request.body.decode("utf-8", "replace")
    yield text
    yield from (value for _name, value in parse_qsl(text))
    try:
        found = json.loads(text)
    except ValueError:
        return
    yield from _list_strings(found)


def _list_strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _list_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _list_strings(inner)
