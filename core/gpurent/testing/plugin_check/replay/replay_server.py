"""Serves the answers of a recording on a loopback port, one for each entry and setting with a URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen

from gpurent.testing.plugin_check.replay.answer_book import AnswerBook
from gpurent.testing.plugin_check.replay.recording_reader import RecordedExchange
from gpurent.testing.sandbox.service_faults.http_gate import ABORT_EXTENSION

Message = MutableMapping[str, Any]
# Of the others, those of the connection are the server's own.
_REPLAYED_HEADERS = frozenset({"content-type", "date", "age", "location", "retry-after", "set-cookie"})
_TEXT_TYPE = "; charset=utf-8"


@frozen
class ReplayService:
    """An ASGI application. A request that was not recorded gets no answer: the connection is reset."""

    book: AnswerBook
    service: tuple[str, str]
    on_answer: Callable[[RecordedExchange], None]

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        found = self.book.find_answer(self.service, scope["method"], scope["path"], query, body)
        if found is None:
            scope["extensions"][ABORT_EXTENSION]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        self.on_answer(found)
        await send(
            {"type": "http.response.start", "status": max(found.status, 200), "headers": _make_headers(found)}
        )
        await send({"type": "http.response.body", "body": found.body.encode("utf-8", "replace")})


async def _read_body(receive: Callable[[], Awaitable[Message]]) -> str:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body.decode("utf-8", "replace")


def _make_headers(exchange: RecordedExchange) -> list[tuple[bytes, bytes]]:
    found = []
    for name, value in exchange.headers:
        if name.lower() not in _REPLAYED_HEADERS:
            continue
        # The body was decoded when it was recorded.
        text = value.partition(";")[0] + _TEXT_TYPE if name.lower() == "content-type" else value
        found.append((name.lower().encode("latin-1"), text.encode("latin-1", "replace")))
    return found
