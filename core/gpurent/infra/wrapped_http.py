"""An HTTP client around another one, which may do something before and after each request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gpurent.domain.secret import Secret
from gpurent.ports.services import Http, HttpResponse

Send = Callable[[], Awaitable[HttpResponse]]


class WrappedHttp(ABC):
    """Implements `gpurent.ports.services.Http` over ``client``; what it sends is never changed."""

    client: Http

    @abstractmethod
    async def handle(self, method: str, path: str, timeout: float, send: Send) -> HttpResponse:
        """Return the answer of ``send``, which makes the request once each time it is called."""

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
        async def send() -> HttpResponse:
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

        return await self.handle(method, path, timeout, send)
