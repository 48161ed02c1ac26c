"""The HTTP client for plugins: limited in size and time, redacted, without retries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from http.cookiejar import CookieJar, DefaultCookiePolicy
from logging import WARNING, Logger, getLogger
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import field, frozen

from gpurent.domain.access import is_loopback
from gpurent.domain.secret import Secret
from gpurent.errors import Spent, UnavailableError, UnexpectedResponse, UsageError
from gpurent.infra.http_environment import make_environment_error
from gpurent.infra.http_headers import check_headers, format_cookies, parse_cookies, parse_retry_after
from gpurent.infra.recording.exchange import FinishWatch, HttpWatch, ReceivedAnswer, SentRequest
from gpurent.infra.redact import MASK, Redactor
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.terminal_text import strip_terminal

if TYPE_CHECKING:
    import httpx2

MAX_BODY_BYTES = 8 << 20
MAX_ERROR_CHARS = 1000
TOO_MANY_REQUESTS = 429
SAFE_METHODS = ("GET", "HEAD")
ResponseTimer = Callable[[Mapping[str, str]], None]


@frozen
class ReadHttpResponse:
    """Implements `gpurent.ports.services.HttpResponse`. ``spent`` is reported when the response cannot be parsed.

    ``pause``: how long the service wants to be left alone, where it is known without a header.
    """

    status: int
    url: str
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    spent: Spent = Spent.UNKNOWN
    pause: timedelta | None = None

    def raise_if_unavailable(self, service: str, spent: Spent = Spent.NO) -> None:
        if self.status != TOO_MANY_REQUESTS and self.status < 500:
            return
        text = (
            _("{service} asks for a pause (HTTP {status})")
            if self.status == TOO_MANY_REQUESTS
            else _("{service} reported a server error (HTTP {status})")
        )
        error = UnavailableError(
            text.format(service=service, status=self.status), retryable=True, spent=spent
        )
        error.retry_after = parse_retry_after(self.headers) or self.pause
        raise error

    def json(self) -> Any:
        try:
            return json.loads(self.text, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise UnexpectedResponse(
                _("the response from {url} is not JSON (status {status})").format(
                    url=self.url, status=self.status
                ),
                url=self.url,
                body=strip_terminal(self.text[:MAX_ERROR_CHARS]),
                spent=self.spent,
            ) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


class _SendTracker:
    """A trace callback of the transport that records whether sending began; before that, nothing can have happened.

    Once sending starts, the whole response must arrive within ``seconds``. Until then the transport applies its own
    timeout to each step of connecting; cancelling it from outside would leak its socket.
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
    """An HTTP client for one base URL. Plain HTTP is allowed only to this computer."""

    def __init__(
        self,
        base_url: str,
        *,
        redact: Redactor,
        log: Logger,
        live: str = "",
        begin_timing: Callable[[], ResponseTimer] | None = None,
        watch: HttpWatch | None = None,
    ) -> None:
        """Create the client. ``live`` is the hint of its errors if the URL is not on this computer.

        ``begin_timing`` is called before each request, and what it returns with the headers of the response. ``watch``
        is given each request with its answer.
        """
        self._begin_timing, self._watch = begin_timing, watch
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
                    _("invalid URL: {url!r}").format(url=self._redact.redact(self._base)),
                    hint=_("Set the plugin's url in config.toml."),
                )
            plain = urlsplit(self._base).scheme == "http"
            if plain and not local:
                raise UsageError(_("{url} is not encrypted").format(url=self._base), hint=_("Use https."))
            for chatty in ("httpx2", "httpcore2"):
                # They log URLs in another spelling, which the redactor cannot recognize.
                getLogger(chatty).setLevel(WARNING)
            try:
                self._client = httpx2.AsyncClient(
                    follow_redirects=False,
                    trust_env=not local,
                    # Loading certificates takes longer than a request to this computer, which needs none.
                    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
                    headers={"User-Agent": "gpurent"},
                    # The session belongs to a login, which the plugin manages; the client stores no cookies.
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                )
            except (ImportError, OSError, ValueError) as error:
                raise make_environment_error(error) or error from None
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
        params: Mapping[str, str | Secret] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        cookies: Mapping[str, Secret] | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> ReadHttpResponse:
        """See `gpurent.ports.services.Http`. ``timeout``: real seconds for connecting, and again for the response."""
        import httpx2

        sent = _SendTracker(timeout)
        asked = self._reveal_values(params)
        shown = self._make_safe_url(path, asked)
        request = self._build_request(
            method,
            path,
            shown,
            params=asked or None,
            data=self._reveal_values(form),
            json=self._reveal_json(json),
            headers=self._make_headers(headers, cookies),
            timeout=timeout,
            extensions={"trace": sent},
        )
        self._log.debug("%s %s", method, shown)
        finish_timing = self._begin_timing() if self._begin_timing is not None else None
        finish_watch = self._begin_watch(request, path, asked)
        received: ReceivedAnswer | None = None
        spent = Spent.NO if method in SAFE_METHODS else Spent.UNKNOWN
        try:
            async with sent.timeout:
                answer = await self._get_client().send(request, stream=True)
                if finish_timing is not None:
                    finish_timing(answer.headers)
                try:
                    text = await _read_body(answer, shown, spent)
                    received = ReceivedAnswer(
                        status=answer.status_code, headers=answer.headers.multi_items(), text=text
                    )
                finally:
                    await answer.aclose()
        except (httpx2.HTTPError, TimeoutError) as error:
            raise self._make_no_answer_error(method, shown, error, sent.started) from None
        finally:
            finish_watch(received)
        return ReadHttpResponse(
            status=answer.status_code,
            url=shown,
            text=text,
            headers={name.lower(): value for name, value in answer.headers.items()},
            cookies=parse_cookies(answer.headers.get_list("set-cookie")),
            spent=spent,
        )

    def _begin_watch(self, request: httpx2.Request, path: str, params: Mapping[str, str]) -> FinishWatch:
        if self._watch is None:
            return lambda _answer: None
        sent = SentRequest(
            method=request.method,
            base_url=self._base,
            path=path,
            params=params,
            headers=request.headers.multi_items(),
            body=request.content,
        )
        return self._watch(sent)

    def _make_safe_url(self, path: str, params: Mapping[str, str] | None) -> str:
        """Return the URL for display and logs, with secrets masked."""
        url = self._redact.redact(quote(self._redact.redact(self._base + path), safe="/:?&=%[]@*"))
        if not params:
            return url
        return f"{url}?{urlencode({k: self._redact.redact(v) for k, v in params.items()}, safe=MASK)}"

    def _reveal_values(
        self, given: Mapping[str, str | Secret] | Mapping[str, Secret] | None
    ) -> dict[str, str]:
        """Return the values to send, and register each secret in them with the redactor."""
        found = {}
        for name, value in (given or {}).items():
            if isinstance(value, Secret):
                self._redact.register_secret(value)
            found[name] = value.reveal() if isinstance(value, Secret) else value
        return found

    def _reveal_json(self, value: Any) -> Any:
        """Return a JSON value with the values of its secrets, each registered with the redactor."""
        if isinstance(value, Secret):
            self._redact.register_secret(value)
            return value.reveal()
        if isinstance(value, Mapping):
            return {name: self._reveal_json(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._reveal_json(item) for item in value]
        return value

    def _make_headers(
        self, headers: Mapping[str, str | Secret] | None, cookies: Mapping[str, Secret] | None
    ) -> dict[str, str]:
        found = check_headers(self._reveal_values(headers))
        return found | ({"Cookie": format_cookies(self._reveal_values(cookies))} if cookies else {})

    def _build_request(self, method: str, path: str, shown: str, **parts: Any) -> httpx2.Request:
        import httpx2

        client = self._get_client()
        if path and not path.startswith("/"):
            # "https://host" + ".evil.example/" would be another host.
            raise UsageError(_("the path {path!r} does not start with /").format(path=path[:80]))
        try:
            request = client.build_request(method, self._base + path, **parts)
        except (httpx2.InvalidURL, ValueError, TypeError) as error:
            raise UsageError(
                _("cannot send a request to {shown}: {error}").format(shown=shown, error=type(error).__name__)
            ) from None
        if request.url.host != httpx2.URL(self._base).host:
            raise UsageError(_("{shown} is not on {host}").format(shown=shown, host=self._host))
        return request

    def _make_no_answer_error(
        self, method: str, shown: str, error: Exception, sent: bool
    ) -> UnavailableError:
        place = urlsplit(shown).netloc
        what = strip_terminal(self._redact.redact(describe_error(error)))
        if method in SAFE_METHODS or not sent:
            return UnavailableError(
                _("{place} does not answer: {what}").format(place=place, what=what),
                hint=self._live,
                retryable=True,
                spent=Spent.NO,
            )
        took_effect = _(
            "It is not known whether the request took effect; gpurent checks before it tries again."
        )
        return UnavailableError(
            _("{place} did not answer {method} {path}: {what}").format(
                place=place, method=method, path=urlsplit(shown).path, what=what
            ),
            hint=f"{took_effect} {self._live}".strip(),
            retryable=True,
            spent=Spent.UNKNOWN,
        )


def _parse_host(base: str) -> str:
    """Return the host of a base URL; empty if it is not allowed: another scheme, credentials, a query, a fragment."""
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
                _("the response from {shown} is larger than {most} MiB").format(
                    shown=shown, most=MAX_BODY_BYTES >> 20
                ),
                url=shown,
                spent=spent,
            )
    try:
        return body.decode(answer.charset_encoding or "utf-8", "replace")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")
