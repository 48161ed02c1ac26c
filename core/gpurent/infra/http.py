"""The HTTP client that plugins are given: bounded, redacted, never retrying."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from http.cookiejar import CookieJar, DefaultCookiePolicy
from logging import WARNING, Logger, getLogger
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import field, frozen

from gpurent.domain.access import is_loopback
from gpurent.domain.secret import Secret
from gpurent.domain.terminal_text import strip_terminal
from gpurent.errors import Spent, UnavailableError, UnexpectedResponse, UsageError
from gpurent.infra.redact import MASK, Redactor
from gpurent.locale import _

if TYPE_CHECKING:
    import httpx2

MAX_BODY_BYTES = 8 << 20
MAX_ERROR_CHARS = 1000
SAFE_METHODS = ("GET", "HEAD")


@frozen
class ReadHttpResponse:
    """Implements `gpurent.ports.services.HttpResponse`. ``spent``: what an unreadable answer leaves open."""

    status: int
    url: str
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    spent: Spent = Spent.UNKNOWN

    def json(self) -> Any:
        try:
            return json.loads(self.text, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise UnexpectedResponse(
                _("the answer of {url} is no JSON (status {status})").format(
                    url=self.url, status=self.status
                ),
                url=self.url,
                body=strip_terminal(self.text[:MAX_ERROR_CHARS]),
                spent=self.spent,
            ) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


class _SendTracker:
    """Told by the transport what it does. As long as no request was begun, nothing can have happened.

    From then on the whole answer has ``seconds``; before, the transport limits each step of connecting by itself
    (cut off from outside, it would leave its socket open).
    """

    def __init__(self, seconds: float) -> None:
        self.started = False
        self.timeout = asyncio.timeout(None)
        self._seconds = seconds

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.started = True
            self.timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)


class HttpClient:
    """One client below one base URL. Plain HTTP is only spoken to this computer."""

    def __init__(self, base_url: str, *, redact: Redactor, log: Logger, live: str = "") -> None:
        """``live`` says what is known of the real service; it goes with every failure that is not the sandbox's."""
        self._base = base_url.rstrip("/")
        self._redact = redact
        self._log = log
        self._host = _parse_host(self._base)
        self._live = "" if is_loopback(self._host) else live
        self._client: httpx2.AsyncClient | None = None

    def _get_client(self) -> httpx2.AsyncClient:
        if self._client is None:
            import ssl

            import httpx2

            local = is_loopback(self._host)
            if not self._host:
                raise UsageError(
                    _("{url!r} is no web address").format(url=self._redact.redact(self._base)),
                    hint=_("Set the plugin's url in config.toml."),
                )
            plain = urlsplit(self._base).scheme == "http"
            if plain and not local:
                raise UsageError(_("{url} is not encrypted").format(url=self._base), hint=_("Use https."))
            for chatty in ("httpx2", "httpcore2"):
                # They log URLs in a spelling of their own, which the redactor cannot know.
                getLogger(chatty).setLevel(WARNING)
            self._client = httpx2.AsyncClient(
                follow_redirects=False,
                trust_env=not local,
                # Certificates take longer to load than a call to this computer, which needs none.
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
                headers={"User-Agent": "gpurent"},
                # A session belongs to a login, which the plugin keeps; the client remembers none.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
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
    ) -> ReadHttpResponse:
        """See `Http` of the ports; ``timeout`` is in real seconds, for connecting and again for the answer."""
        import httpx2

        sent = _SendTracker(timeout)
        shown = self._make_safe_url(path, params)
        request = self._build_request(
            method,
            path,
            shown,
            params=params or None,
            data=self._reveal_values(form),
            json=json,
            headers={"Cookie": "; ".join(f"{k}={v}" for k, v in self._reveal_values(cookies).items())}
            if cookies
            else {},
            timeout=timeout,
            extensions={"trace": sent},
        )
        self._log.debug("%s %s", method, shown)
        spent = Spent.NO if method in SAFE_METHODS else Spent.UNKNOWN
        try:
            async with sent.timeout:
                answer = await self._get_client().send(request, stream=True)
                try:
                    text = await _read_body(answer, shown, spent)
                finally:
                    await answer.aclose()
        except (httpx2.HTTPError, TimeoutError) as error:
            raise self._make_no_answer_error(method, shown, error, sent.started) from None
        return ReadHttpResponse(
            status=answer.status_code,
            url=shown,
            text=text,
            headers={name.lower(): value for name, value in answer.headers.items()},
            cookies=_parse_cookies(answer.headers.get_list("set-cookie")),
            spent=spent,
        )

    def _make_safe_url(self, path: str, params: Mapping[str, str] | None) -> str:
        """The URL for people and logs."""
        url = self._redact.redact(quote(self._redact.redact(self._base + path), safe="/:?&=%[]@*"))
        if not params:
            return url
        return f"{url}?{urlencode({k: self._redact.redact(v) for k, v in params.items()}, safe=MASK)}"

    def _reveal_values(
        self, given: Mapping[str, str | Secret] | Mapping[str, Secret] | None
    ) -> dict[str, str]:
        """What goes over the line; every secret in it is known to the redactor from here on."""
        found = {}
        for name, value in (given or {}).items():
            if isinstance(value, Secret):
                self._redact.register_secret(value)
            found[name] = value.reveal() if isinstance(value, Secret) else value
        return found

    def _build_request(self, method: str, path: str, shown: str, **parts: Any) -> httpx2.Request:
        import httpx2

        client = self._get_client()
        if path and not path.startswith("/"):
            # "https://shop" + ".evil.example/" would be another host.
            raise UsageError(_("the path {path!r} does not begin with /").format(path=path[:80]))
        try:
            request = client.build_request(method, self._base + path, **parts)
        except (httpx2.InvalidURL, ValueError, TypeError) as error:
            raise UsageError(
                _("{shown} cannot be asked: {error}").format(shown=shown, error=type(error).__name__)
            ) from None
        if request.url.host != httpx2.URL(self._base).host:
            raise UsageError(_("{shown} is not at {host}").format(shown=shown, host=self._host))
        return request

    def _make_no_answer_error(
        self, method: str, shown: str, error: Exception, sent: bool
    ) -> UnavailableError:
        place = urlsplit(shown).netloc
        what = strip_terminal(self._redact.redact(str(error))) or type(error).__name__
        if method in SAFE_METHODS or not sent:
            return UnavailableError(
                _("{place} does not answer: {what}").format(place=place, what=what),
                hint=self._live,
                retryable=True,
            )
        took_effect = _("Whether it took effect is not known; gpurent looks before it tries again.")
        return UnavailableError(
            _("{place} did not answer to {method} {path}: {what}").format(
                place=place, method=method, path=urlsplit(shown).path, what=what
            ),
            hint=f"{took_effect} {self._live}".strip(),
            retryable=True,
            spent=Spent.UNKNOWN,
        )


def _parse_host(base: str) -> str:
    """The host of a base URL, empty if it is none of ours: another scheme, a name or password in it, a query."""
    try:
        parts = urlsplit(base)
        odd = parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query or parts.fragment
        return "" if odd else parts.hostname or ""
    except ValueError:
        return ""


async def _read_body(answer: httpx2.Response, shown: str, spent: Spent) -> str:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UnexpectedResponse(
                _("the answer of {shown} is larger than {most} MiB").format(
                    shown=shown, most=MAX_BODY_BYTES >> 20
                ),
                url=shown,
                spent=spent,
            )
    try:
        return body.decode(answer.charset_encoding or "utf-8", "replace")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")


def _parse_cookies(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, mark, value = line.partition(";")[0].partition("=")
        if mark:
            found[name.strip()] = value.strip()
    return found
