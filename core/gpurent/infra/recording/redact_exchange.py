"""Makes the line of a recording from one exchange: everything redacted, or left out with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from attrs import frozen

from gpurent.domain.access import is_loopback
from gpurent.infra.recording.exchange import Headers, ReceivedAnswer, SentRequest
from gpurent.infra.recording.json_redaction import JsonRedaction, format_json, parse_json
from gpurent.infra.recording.markup_redaction import MarkupRedaction
from gpurent.infra.recording.placeholders import ValueKind
from gpurent.infra.recording.redact_text import TextRedaction
from gpurent.infra.recording.value_names import classify_name, is_account_segment

FORMAT = 1
MAX_BODY_CHARS = 2 << 20
SANDBOX, CUSTOM = "sandbox", "another address"
LEFT_OUT = "<left-out>"
# Of other headers only the name is recorded: services put numbers of accounts and requests there.
_SHOWN_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "age", "allow", "cache-control", "connection", "content-encoding"),
        *("content-language", "content-length", "content-type", "date", "location", "retry-after", "server"),
        *("transfer-encoding", "user-agent", "vary", "www-authenticate"),
    }
)
_SHOWN_PREFIXES = ("x-ratelimit-", "ratelimit-")
_NUMBER = re.compile(r"\d+|[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}|token\d+x0*|<[a-z-]+-\d+>")
_STAND_IN = re.compile(r"(?:<|&lt;|%3C)[a-z-]+-\d+(?:>|&gt;|%3E)")
_BINARY_DATA = re.compile(r"\b0x[0-9a-fA-F]{32}")
# A hash or an address of a chain has a placeholder of its shape; what else is so long may hold anything.
_LONG_BINARY_DATA = re.compile(r"\b0x(?![0-9a-fA-F]{40}\b|[0-9a-fA-F]{64}\b)[0-9a-fA-F]{32}")
_BINARY = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffd]")


@frozen(kw_only=True)
class RecordedEntry:
    """Whose request it is: kind and name of the entry, its setting with the URL, and the plugin that has it.

    ``own_hosts``: those of the URLs that the entry declares by default.
    """

    kind: str
    name: str
    setting: str
    distribution: str
    version: str
    own_hosts: frozenset[str] = frozenset()


class UncertainError(Exception):
    """A body of which nobody can say what it holds; the argument is the reason, in English as the whole line."""


@frozen
class ExchangeRedaction:
    """Makes the lines of one recording. ``gpurent``: the version."""

    text: TextRedaction
    gpurent: str

    def make_line(
        self,
        entry: RecordedEntry,
        sent: SentRequest,
        answer: ReceivedAnswer | None,
        at: datetime,
        seconds: float,
    ) -> dict[str, Any]:
        """Return the line as JSON data. ``seconds``: how long the exchange took."""
        request: dict[str, Any] = {"headers": self._redact_headers(sent.headers)}
        asked = sent.body.decode("utf-8", "replace")
        # What is asked for by binary data, as a chain's storage is by keys, is answered with nothing else.
        is_binary = _BINARY_DATA.search(asked) is not None
        request |= self._make_body(asked, _find_type(sent.headers), is_binary=is_binary)
        response: dict[str, Any] | None = None
        if answer is not None:
            response = {"status": answer.status, "headers": self._redact_headers(answer.headers)}
            is_binary = is_binary or _LONG_BINARY_DATA.search(answer.text) is not None
            response |= self._make_body(answer.text, _find_type(answer.headers), is_binary=is_binary)
        path = self.redact_path(sent.path)
        asked_for = {**dict(parse_qsl(sent.path.partition("?")[2], keep_blank_values=True)), **sent.params}
        return {
            "format": FORMAT,
            "gpurent": self.gpurent,
            "plugin": {"distribution": entry.distribution, "version": entry.version},
            "entry": {"kind": entry.kind, "name": entry.name, "setting": entry.setting},
            "service": _name_service(sent.base_url, entry),
            "at": at.isoformat(timespec="milliseconds"),
            "milliseconds": round(seconds * 1000),
            "method": sent.method,
            "path": path,
            "route": make_route(path) or "/",
            "query": {name: self._redact_parameter(name, value) for name, value in asked_for.items()},
            "request": request,
            "response": response,
        }

    def redact_path(self, path: str) -> str:
        parts = path.partition("?")[0].split("/")
        found, before = [], ""
        for part in parts:
            word = unquote(part)
            if is_account_segment(before, word) and _NUMBER.fullmatch(word):
                word = self.text.replace_value(ValueKind.ACCOUNT, word)
            elif classify_name(before) is ValueKind.SECRET and not word.isalpha():
                word = self.text.replace_value(ValueKind.SECRET, word)
            elif not (word.isalpha() and self.text.is_account(word)):
                word = self.text.redact(word)
            before = part
            found.append(part if word == unquote(part) else quote(word, safe="<>:@"))
        return "/".join(found)

    def _redact_parameter(self, name: str, value: str) -> str:
        kind = classify_name(name)
        if kind is not None:
            return self.text.replace_value(kind, value)
        try:
            return self._redact_json(value) if value[:1] in ("{", "[") else self.text.redact(value)
        except ValueError:
            return self.text.redact(value)

    def _redact_headers(self, headers: Headers) -> list[list[str]]:
        return [[name.lower(), self._redact_header(name.lower(), value)] for name, value in headers]

    def _redact_header(self, name: str, value: str) -> str:
        if name == "cookie":
            return "; ".join(self._redact_cookie(pair) for pair in value.split(";"))
        if name == "set-cookie":
            first, mark, rest = value.partition(";")
            return self._redact_cookie(first) + mark + self.text.redact(rest)
        if classify_name(name) is ValueKind.SECRET and name != "www-authenticate":
            return self.text.replace_value(ValueKind.SECRET, value)
        if name in _SHOWN_HEADERS or name.startswith(_SHOWN_PREFIXES):
            return self._redact_location(value) if name == "location" else self.text.redact(value)
        return LEFT_OUT

    def _redact_cookie(self, pair: str) -> str:
        name, mark, value = pair.strip().partition("=")
        return (
            f"{name}={self.text.replace_value(ValueKind.SECRET, value)}" if mark else self.text.redact(pair)
        )

    def _redact_location(self, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            return LEFT_OUT
        query = [(name, self._redact_parameter(name, text)) for name, text in parse_qsl(parts.query, True)]
        head = f"{parts.scheme}://{self.text.redact(parts.netloc)}" if parts.netloc else ""
        return f"{head}{self.redact_path(parts.path)}" + (f"?{urlencode(query, safe='<>')}" if query else "")

    # bodies

    def _make_body(self, body: str, media_type: str, *, is_binary: bool) -> dict[str, str]:
        try:
            if is_binary:
                raise UncertainError("it holds binary data")
            redacted = self._redact_body(body, media_type)
        except UncertainError as error:
            return {"body": "", "left_out": f"{error}"}
        return {"body": redacted, "left_out": ""}

    def _redact_body(self, body: str, media_type: str) -> str:
        """Return the body redacted; raises `UncertainError` for one that may hold more than can be found."""
        if not body.strip():
            return body
        if len(body) > MAX_BODY_CHARS:
            raise UncertainError("it is too large")
        if _BINARY.search(body):
            raise UncertainError("it is not text")
        redacted = self._redact_by_type(body, media_type)
        self._check(redacted)
        return redacted

    def _redact_by_type(self, body: str, media_type: str) -> str:
        head = body.lstrip()[:1]
        if "json" in media_type or (head in ("{", "[") and "html" not in media_type):
            try:
                return self._redact_json(body)
            except ValueError:
                raise UncertainError("it is not the JSON that it seems to be") from None
        if media_type == "application/x-www-form-urlencoded":
            pairs = [(name, self._redact_parameter(name, value)) for name, value in parse_qsl(body, True)]
            return urlencode(pairs, safe="<>")
        if (
            "html" in media_type
            or "xml" in media_type
            or (head == "<" and not media_type.startswith("image/"))
        ):
            return MarkupRedaction(self.text).redact(body)
        if media_type in ("", "text/plain", "text/csv"):
            return self.text.redact(body)
        raise UncertainError("its kind is not known")

    def _redact_json(self, text: str) -> str:
        return format_json(JsonRedaction(self.text).redact(parse_json(text)))

    def _check(self, redacted: str) -> None:
        """Raise `UncertainError` if a known secret is left, or parts of one that markup or escapes took apart."""
        redacted = _STAND_IN.sub("", redacted)
        plain = re.sub(r"<[^<>]*>", "", redacted)
        for text in (redacted, unquote(redacted), plain, redacted.replace("\\", "")):
            for redactor in (self.text.known, self.text.found):
                if redactor.redact(text) != text:
                    raise UncertainError("it may hold a secret in another form")


def make_route(path: str) -> str:
    """Return a redacted path with ``{}`` in place of each number and token."""
    return "/".join("{}" if _NUMBER.fullmatch(unquote(part)) else part for part in path.split("/"))


def _find_type(headers: Headers) -> str:
    found = next((value for name, value in headers if name.lower() == "content-type"), "")
    return found.partition(";")[0].strip().lower()


def _name_service(base_url: str, entry: RecordedEntry) -> str:
    """Return the service's address if it is the plugin's own; of another one, only what it is."""
    try:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
    except ValueError:
        return CUSTOM
    if is_loopback(host):
        return SANDBOX
    return f"{parts.scheme}://{host}" if host in entry.own_hosts else CUSTOM


def get_own_hosts(defaults: Mapping[str, str]) -> frozenset[str]:
    """Return the hosts of the URLs among the defaults of an entry's settings."""
    return frozenset(
        urlsplit(value).hostname or ""
        for value in defaults.values()
        if value.startswith(("https://", "http://"))
    )
