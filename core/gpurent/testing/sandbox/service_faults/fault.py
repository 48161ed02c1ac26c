"""One fault of a service: the calls that it applies to, and what happens to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import asdict, evolve, field, fields, frozen

from gpurent.errors import UsageError
from gpurent.locale import _

MAIL_SERVICE = "mail"
Pairs = tuple[tuple[str, str], ...]
_HTTP_FIELDS = {"status", "headers", "replacements", "duplicate"}


def _to_upper(text: str) -> str:
    return text.upper()


def _to_pairs(given: Iterable[Iterable[str]]) -> Pairs:
    return tuple((first, second) for first, second in given)


@frozen(kw_only=True)
class HttpAnswer:
    """A complete HTTP response. Names of headers are in lower case."""

    status: int
    headers: Pairs
    body: bytes


@frozen(kw_only=True)
class ServiceFault:
    """Which calls of a service go wrong, and how. Raises `UsageError` if that makes no sense.

    Of the calls that match, those from the ``nth`` on are affected, ``times`` of them (None: all). Without ``after``
    the service never sees a call that is lost or answered by the fault; with it, the call takes effect first.
    """

    service: str
    """Name of the service; a pattern with ``*`` for several."""
    method: str = field(default="*", converter=_to_upper)
    """``GET``, ``POST``; of the service ``mail``, the IMAP command: ``LOGIN``."""
    path: str = "*"
    """Pattern of the path, without the query: ``/create/*``; of the service ``mail``, ``/`` and the first argument."""
    contains: str = ""
    """Text that the request has in its path, query, headers or body."""
    nth: int = 1
    times: int | None = None
    after: bool = False
    status: int | None = None
    body: str | None = None
    """Replaces the whole body; of the service ``mail``, the text of the refusal."""
    headers: Pairs = field(default=(), converter=_to_pairs)
    """Headers to set in the answer."""
    replacements: Pairs = field(default=(), converter=_to_pairs)
    """Edits of the real answer's body: regular expressions, and what replaces each match."""
    lose: bool = False
    """The connection is reset, and no answer is sent; of the service ``mail``, a ``body`` is sent first (``BYE``)."""
    duplicate: bool = False
    """The call is delivered twice; the client gets the second answer."""
    slow: float = 0.0
    """Real seconds of delay."""
    hold: bool = False
    """The call waits until the fault is cleared, then it goes on as usual."""
    refuse: bool = False
    """The service refuses connections, whatever the call."""

    def __attrs_post_init__(self) -> None:
        for pattern, _new in self.replacements:
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(
                    _("invalid regular expression {pattern!r}: {error}").format(pattern=pattern, error=error)
                ) from None
        given = {a.name for a in fields(ServiceFault) if getattr(self, a.name) != a.default}
        if self.refuse and given != {"service", "refuse"}:
            raise UsageError(
                _(
                    "a service that refuses connections sees no calls: this cannot be combined with other options"
                )
            )
        if self.service == MAIL_SERVICE and given & _HTTP_FIELDS:
            raise UsageError(
                _("the mailbox has no HTTP answers"),
                hint=_("Use --body, --lose, --slow, --hold or --refuse."),
            )
        if self.body is not None and self.replacements:
            raise UsageError(_("the body is either replaced or edited, not both"))
        if not (self.refuse or self.lose or self.duplicate or self.slow or self.hold or self.changes_answer):
            raise UsageError(_("this fault has no effect"), hint=_("See: gpurent sandbox fault add --help"))

    @property
    def replaces_answer(self) -> bool:
        """Whether the answer does not depend on the real one."""
        return (self.status is not None or self.body is not None) and not self.replacements

    @property
    def changes_answer(self) -> bool:
        return self.replaces_answer or bool(self.headers or self.replacements)

    def matches(self, service: str, method: str, path: str, request: bytes) -> bool:
        """Return whether the call is one that the fault is for; ``request``: all of it."""
        return (
            fnmatchcase(service, self.service)
            and fnmatchcase(method, self.method)
            and fnmatchcase(path, self.path)
            and self.contains.encode() in request
        )

    def includes(self, number: int) -> bool:
        """Return whether the matching call of that number, counted from 1, is affected."""
        return self.nth <= number and (self.times is None or number < self.nth + self.times)

    def make_answer(self) -> HttpAnswer:
        """Return the answer of a fault that replaces it."""
        return self.change_answer(HttpAnswer(status=200, headers=(), body=b""))

    def change_answer(self, answer: HttpAnswer) -> HttpAnswer:
        """Return what the client gets in place of the service's own ``answer``."""
        body, headers = answer.body, self.headers
        if self.replaces_answer:
            text = self.body or ""
            body, headers = text.encode(), (("content-type", guess_content_type(text)), *headers)
        for pattern, new in self.replacements:
            body = re.sub(pattern, new, body.decode("utf-8", "replace")).encode()
        # In HTTP, headers are Latin-1; a value given here goes out as UTF-8.
        given = {name.lower(): value.encode().decode("latin-1") for name, value in headers}
        kept = tuple(pair for pair in answer.headers if pair[0] not in given)
        return evolve(answer, status=self.status or answer.status, headers=(*kept, *given.items()), body=body)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ServiceFault:
        """Return the fault of which `to_json` made this; unknown keys raise `UsageError`."""
        if unknown := set(found) - {a.name for a in fields(cls)}:
            raise UsageError(f"unknown fields of a fault: {', '.join(sorted(unknown))}")
        return cls(**found)


def guess_content_type(text: str) -> str:
    if text.lstrip().startswith("<"):
        return "text/html; charset=utf-8"
    try:
        json.loads(text)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"
