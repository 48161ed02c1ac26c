"""HTTP over real sockets from an event loop with virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from gpurent.domain.secret import Secret
from gpurent.ports.services import Http, HttpResponse
from gpurent.testing.fakes.virtual_time import real_time


@frozen
class VirtualTimeHttp:
    """A real HTTP client that stops virtual time during a request; implements `gpurent.ports.services.Http`.

    For ``wrap_http`` of `gpurent.composition.state.ExternalDependencies`: ``VirtualTimeHttp(client, url)``.
    """

    client: Http
    url: str

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
        with real_time():
            return await self.client.request(
                method,
                path,
                params=params,
                form=form,
                cookies=cookies,
                headers=headers,
                json=json,
                timeout=timeout,
            )
