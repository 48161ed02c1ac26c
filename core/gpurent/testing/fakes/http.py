"""An HTTP client that loses a chosen call."""

from __future__ import annotations

from attrs import define, field

from gpurent.errors import UnavailableError
from gpurent.infra.wrapped_http import Send, WrappedHttp
from gpurent.ports.services import Http, HttpResponse


@define(kw_only=True)
class HttpFaults:
    """Which calls of one process are lost, counted from 1 across all its clients; 0: none.

    A lost request never reaches the server; with a lost response the request took effect. ``error`` is what the caller
    gets: `UnavailableError`, or `gpurent.testing.fakes.ProcessKilled` to end the process there.
    """

    lose_request: int = 0
    lose_response: int = 0
    error: type[BaseException] = UnavailableError
    calls: int = 0
    sent: list[str] = field(factory=list)
    """The calls in order, each as ``POST /orders``."""
    timeouts: list[float] = field(factory=list)
    """How many seconds each of them may take."""


@define
class FaultyHttp(WrappedHttp):
    """A real HTTP client with faults."""

    client: Http
    faults: HttpFaults

    async def handle(self, method: str, path: str, timeout: float, send: Send) -> HttpResponse:
        faults = self.faults
        faults.calls += 1
        number = faults.calls
        faults.sent.append(f"{method} {path}")
        faults.timeouts.append(timeout)
        if number == faults.lose_request:
            raise faults.error("the request was lost")
        answer = await send()
        if number == faults.lose_response:
            raise faults.error("the answer was lost")
        return answer
