"""HTTP to real sockets from a loop in which time jumps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from gpurent.domain.secret import Secret
from gpurent.ports.services import Http, HttpResponse
from gpurent.testing.fakes.virtual_time import real_time


@frozen
class TrackedHttp:
    """Implements `gpurent.ports.services.Http` over a real client; no time passes while an answer is on its way.

    For `gpurent.composition.state.Outside`: ``TrackedHttp(client, url)``.
    """

    client: Http
    url: str

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
        with real_time():
            return await self.client.request(
                method, path, params=params, form=form, cookies=cookies, json=json, timeout=timeout
            )
