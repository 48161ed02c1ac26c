"""An HTTP client that loses the call it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError
from gpurent.ports.services import Http, HttpResponse


@define(kw_only=True)
class HttpFaults:
    """Which calls of one process get lost, counted from 1 through all its clients; 0 is none.

    A lost request never arrives; a lost answer had its effect. ``error`` is what the caller sees:
    `UnavailableError`, or `gpurent.testing.fakes.ProcessKilled` for a process that ends there.
    """

    lose_request: int = 0
    lose_answer: int = 0
    error: type[BaseException] = UnavailableError
    calls: int = 0
    sent: list[str] = field(factory=list)
    """``POST /orders``, in the order of the calls."""


@define
class FaultyHttp:
    """Implements `gpurent.ports.services.Http` over a real client."""

    client: Http
    faults: HttpFaults

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        cookies: Mapping[str, Secret] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> HttpResponse:
        faults = self.faults
        faults.calls += 1
        number = faults.calls
        faults.sent.append(f"{method} {path}")
        if number == faults.lose_request:
            raise faults.error("the request was lost")
        answer = await self.client.request(
            method, path, params=params, form=form, cookies=cookies, json=json, timeout=timeout
        )
        if number == faults.lose_answer:
            raise faults.error("the answer was lost")
        return answer
