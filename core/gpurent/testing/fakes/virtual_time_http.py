"""HTTP over real sockets from an event loop with virtual time."""

from __future__ import annotations

from attrs import frozen

from gpurent.infra.wrapped_http import Send, WrappedHttp
from gpurent.ports.services import Http, HttpResponse
from gpurent.testing.fakes.virtual_time import real_time


@frozen
class VirtualTimeHttp(WrappedHttp):
    """A real HTTP client that stops virtual time during a request.

    For ``wrap_http`` of `gpurent.composition.state.ExternalDependencies`: ``VirtualTimeHttp(client, url)``.
    """

    client: Http
    url: str

    async def handle(self, method: str, path: str, timeout: float, send: Send) -> HttpResponse:
        with real_time():
            return await send()
