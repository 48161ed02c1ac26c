"""The HTTP client that plugins are given: bounded, redacted, never retrying."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from logging import Logger
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen

from gpurent.adapters.redact import Redactor
from gpurent.errors import ProviderChanged, Spent, UnavailableError, UsageError
from gpurent.model.secret import Secret

if TYPE_CHECKING:
    import httpx2

LARGEST = 8 << 20
SAFE = ("GET", "HEAD")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@frozen
class HttpAnswer:
    """Implements `gpurent.ports.host.Answer`."""

    status: int
    url: str
    text: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]

    def json(self) -> Any:
        try:
            return json.loads(self.text, parse_float=Decimal, parse_constant=_no_constant)
        except ValueError:
            raise ProviderChanged(
                f"the answer of {self.url} is no JSON (status {self.status})", url=self.url, body=self.text
            ) from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


class HttpClient:
    """One client below one base URL. Plain HTTP is only spoken to this computer."""

    def __init__(self, base_url: str, *, redact: Redactor, log: Logger, live: str = "") -> None:
        """``live`` says what is known of the real service; it goes with every failure that is not the sandbox's."""
        self._base = base_url.rstrip("/")
        self._redact = redact
        self._log = log
        self._live = "" if is_loopback(urlsplit(base_url).hostname or "") else live
        self._client: httpx2.AsyncClient | None = None

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2

            parts = urlsplit(self._base)
            local = is_loopback(parts.hostname or "")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise UsageError(
                    f"{self._base!r} is no web address", hint="Set the plugin's url in config.toml."
                )
            if parts.scheme == "http" and not local:
                raise UsageError(f"{self._base} is not encrypted", hint="Use https.")
            self._client = httpx2.AsyncClient(
                follow_redirects=False, trust_env=not local, headers={"User-Agent": "gpurent"}
            )
        return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

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
    ) -> HttpAnswer:
        import httpx2

        client = self._open()
        url = self._base + path
        headers = {"Cookie": "; ".join(f"{k}={v.reveal()}" for k, v in cookies.items())} if cookies else {}
        data = (
            {k: v.reveal() if isinstance(v, Secret) else v for k, v in form.items()}
            if form is not None
            else None
        )
        request = client.build_request(
            method, url, params=params, data=data, json=json, headers=headers, timeout=timeout
        )
        shown = self._redact.scrub(str(request.url))
        self._log.debug("%s %s", method, shown)
        try:
            answer = await client.send(request, stream=True)
            try:
                text = await _read(answer, shown)
            finally:
                await answer.aclose()
        except httpx2.InvalidURL as error:
            raise UsageError(f"{shown} is no web address: {error}") from None
        except httpx2.HTTPError as error:
            raise self._no_answer(method, shown, error) from None
        return HttpAnswer(
            status=answer.status_code,
            url=shown,
            text=text,
            headers={name.lower(): value for name, value in answer.headers.items()},
            cookies=_set_cookies(answer.headers.get_list("set-cookie")),
        )

    def _no_answer(self, method: str, shown: str, error: Exception) -> UnavailableError:
        what = self._redact.scrub(str(error)) or type(error).__name__
        host = urlsplit(shown).netloc
        if method in SAFE:
            return UnavailableError(f"{host} does not answer: {what}", hint=self._live, retryable=True)
        return UnavailableError(
            f"{host} did not answer to {method} {urlsplit(shown).path}: {what}",
            hint=f"Whether it took effect is not known; gpurent looks before it tries again. {self._live}".strip(),
            retryable=True,
            spent=Spent.UNKNOWN,
        )


async def _read(answer: httpx2.Response, shown: str) -> str:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise ProviderChanged(f"the answer of {shown} is larger than {LARGEST >> 20} MiB", url=shown)
    return body.decode(answer.charset_encoding or "utf-8", "replace")


def _set_cookies(lines: list[str]) -> dict[str, str]:
    """Name and value of every ``Set-Cookie`` line."""
    found = {}
    for line in lines:
        name, mark, value = line.partition(";")[0].partition("=")
        if mark:
            found[name.strip()] = value.strip()
    return found
