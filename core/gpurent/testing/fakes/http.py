"""An HTTP client that loses a chosen call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError
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
class FaultyHttp:
    """A real HTTP client with faults; implements `gpurent.ports.services.Http`."""

    client: Http
    faults: HttpFaults

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | Secret] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        cookies: Mapping[str, Secret] | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> HttpResponse:
        faults = self.faults
        faults.calls += 1
        number = faults.calls
        faults.sent.append(f"{method} {path}")
        faults.timeouts.append(timeout)
        if number == faults.lose_request:
            raise faults.error("the request was lost")
        answer = await self.client.request(
            method,
            path,
            params=params,
            form=form,
            cookies=cookies,
            headers=headers,
            json=json,
            timeout=timeout,
        )
        if number == faults.lose_response:
            raise faults.error("the answer was lost")
        return answer
