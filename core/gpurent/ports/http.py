"""HTTP as plugins use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gpurent.domain.secret import Secret


class HttpResponse(Protocol):
    """An HTTP answer, read whole; ``url`` is the one that was asked, without secrets in its query."""

    @property
    def status(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies that this answer set."""

    def json(self) -> Any:
        """The body as JSON with numbers kept exact (`decimal.Decimal`); not JSON is a `UnexpectedResponse`."""


class Http(Protocol):
    """An HTTP client below the plugin's base URL. Time limits, size limits and redaction are core's.

    Errors: no answer at all is an `UnavailableError`; every status, 500 too, comes back as an `HttpResponse`.
    Nothing is ever retried: whether the call had its effect is for the plugin to find out.
    """

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
    ) -> HttpResponse: ...
