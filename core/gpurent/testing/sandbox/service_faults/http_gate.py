"""The ASGI application in front of a simulator: it records every call and applies the faults of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import format_datetime
from typing import Any

from attrs import define, frozen

from gpurent.ports.system import Clock
from gpurent.testing.sandbox.service_faults.active_faults import ActiveFault, ServiceCall, ServiceFaults
from gpurent.testing.sandbox.service_faults.fault import HttpAnswer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

ABORT_EXTENSION = "gpurent.abort"
"""The extension of an ASGI scope with a function that resets the connection; `WebServer` provides it."""
_LENGTH_HEADERS = ("content-length", "transfer-encoding")


@frozen
class HttpFaultGate:
    """An ASGI application that passes the calls of ``service`` to ``app``; its answers carry ``clock``'s date."""

    app: AsgiApp
    service: str
    faults: ServiceFaults
    clock: Clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = await _read_body(receive)
        if body is None:
            return
        call, active = self.faults.begin_call(
            self.service, scope["method"], scope["path"], _join_request(scope, body)
        )
        exchange = _Exchange(self, scope, body, receive, send, call)
        if active is None:
            await exchange.forward()
        else:
            await _apply_fault(active, exchange)


async def _apply_fault(active: ActiveFault, exchange: _Exchange) -> None:
    """Handle one call as the fault says. Once it is cleared, the call goes on as usual."""
    if active.fault.after or not await _stop_before_effect(active, exchange):
        await _change_after_effect(active, exchange)


async def _stop_before_effect(active: ActiveFault, exchange: _Exchange) -> bool:
    """Delay the call. Returns True if the client hung up, or got its answer from the fault."""
    fault = active.fault
    if not await exchange.delay(active):
        return True
    if active.is_cleared or not (fault.lose or fault.replaces_answer):
        return False
    active.record_applied(exchange.call)
    await (exchange.abort() if fault.lose else exchange.respond(fault.make_answer()))
    return True


async def _change_after_effect(active: ActiveFault, exchange: _Exchange) -> None:
    fault, call = active.fault, exchange.call
    answer = await exchange.deliver()
    if fault.duplicate and not active.is_cleared:
        active.record_applied(call)
        answer = await exchange.deliver()
    if fault.after and not await exchange.delay(active):
        return
    if fault.lose and not active.is_cleared:
        active.record_applied(call)
        await exchange.abort()
        return
    changed = answer if active.is_cleared else fault.change_answer(answer)
    if changed != answer:
        active.record_applied(call)
    await exchange.respond(changed)


@define(eq=False)
class _Exchange:
    """One request and the connection that it came on."""

    _gate: HttpFaultGate
    _scope: Message
    _body: bytes
    _receive: Receive
    _send: Send
    call: ServiceCall

    async def forward(self) -> None:
        """Let the simulator answer the client."""
        await self._gate.app(self._scope, self._replay_request(self._receive), self._record_and_send)

    async def deliver(self) -> HttpAnswer:
        """Let the simulator handle the request, and return its answer without sending it."""
        captured = _CapturedAnswer()
        await self._gate.app(self._scope, self._replay_request(_receive_nothing), captured.send)
        return captured.make_answer()

    async def respond(self, answer: HttpAnswer) -> None:
        headers = [pair for pair in answer.headers if pair[0] not in _LENGTH_HEADERS]
        headers.append(("content-length", str(len(answer.body))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._record_and_send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await self._record_and_send({"type": "http.response.body", "body": answer.body})

    async def abort(self) -> None:
        """Reset the connection without an answer."""
        self._scope["extensions"][ABORT_EXTENSION]()
        await self._wait_for_disconnect()

    async def delay(self, active: ActiveFault) -> bool:
        """Wait as the fault says. Returns False if the client hung up while its call was held."""
        if not active.fault.hold:
            await active.delay_call(self.call)
            return True
        waiting = asyncio.ensure_future(active.delay_call(self.call))
        leaving = asyncio.ensure_future(self._wait_for_disconnect())
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return not leaving.done()
        finally:
            for task in (waiting, leaving):
                task.cancel()
            await asyncio.wait({waiting, leaving})

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _replay_request(self, then: Receive) -> Receive:
        """Return a function that gives the request's body first."""
        messages: list[Message] = [{"type": "http.request", "body": self._body, "more_body": False}]

        async def receive() -> Message:
            return messages.pop() if messages else await then()

        return receive

    async def _record_and_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.call.status = message["status"]
            headers = list(message["headers"])
            if not any(name.lower() == b"date" for name, _value in headers):
                headers.append((b"date", format_datetime(self._gate.clock.now(), usegmt=True).encode()))
            message = {**message, "headers": headers}
        await self._send(message)


class _CapturedAnswer:
    def __init__(self) -> None:
        self._start: Message = {"status": 500, "headers": []}
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body += message.get("body", b"")

    def make_answer(self) -> HttpAnswer:
        headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in self._start["headers"]
        )
        return HttpAnswer(status=self._start["status"], headers=headers, body=bytes(self._body))


async def _receive_nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("never set")


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body; None if the client hung up before it was complete."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _join_request(scope: Message, body: bytes) -> bytes:
    """Return what ``contains`` is looked for in: path, query, headers and body."""
    lines = [scope["path"].encode() + b"?" + scope["query_string"]]
    lines += [name + b": " + value for name, value in scope["headers"]]
    return b"\n".join([*lines, body])
