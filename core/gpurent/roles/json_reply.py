"""An answer that is a JSON object, and its fields, strictly read: for plugins that speak to a REST API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from attrs import field, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.foreign_numbers import parse_foreign_decimal, parse_foreign_integer
from gpurent.errors import Spent, UnexpectedResponse, UsageError
from gpurent.locale import _
from gpurent.ports.services import HttpResponse
from gpurent.terminal_text import ForeignText

R = TypeVar("R", bound="JsonReply")
Row = Mapping[str, Any]
MAX_NUMBER = 10**15
MAX_SECONDS = 10**10  # the year 2286
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class JsonReply:
    """``service`` names the service for people; ``url`` is the requested one, without its query.

    A plugin's own kind of reply overrides `error`, `message` and `rejects_login` as its service names errors. A field
    that has another format than expected raises `UnexpectedResponse`, which shows the head of the answer.
    """

    service: str = field(converter=ForeignText)
    status: int
    url: str = field(converter=ForeignText)
    body: Row

    @classmethod
    def parse(cls: type[R], answer: HttpResponse, service: str, spent: Spent = Spent.NO) -> R:
        """Parse an answer; ``spent``: whether the request may have spent money.

        Raises `UnavailableError` for one that says nothing, `UnexpectedResponse` if it is no JSON object.
        """
        answer.raise_if_unavailable(service, spent)
        path, raw = answer.url.partition("?")[0], answer.json()
        if not isinstance(raw, dict):
            raise UnexpectedResponse(
                _("unexpected response from {service}: {what}").format(
                    service=service, what=_("object expected")
                ),
                url=path,
                body=answer.text,
                spent=spent,
            )
        return cls(service=service, status=answer.status, url=path, body=raw)

    @property
    def error(self) -> str:
        """The service's own name of what went wrong; empty if nothing did."""
        return "" if self.status < 400 else f"http-{self.status}"

    @property
    def message(self) -> str:
        """What the service says to people about an error."""
        return self.error

    @property
    def rejects_login(self) -> bool:
        """Whether the service rejects the key or the session, which says nothing about what was asked."""
        return self.error in ("http-401", "http-403")

    def make_unexpected_response(self, what: str, spent: Spent = Spent.NO) -> UnexpectedResponse:
        """Return the error that the answer has an unexpected format; ``what`` says in which respect."""
        text = _("unexpected response from {service}: {what}").format(service=self.service, what=what)
        body = json.dumps(self.body, default=str, ensure_ascii=False)
        return UnexpectedResponse(text, url=self.url, body=body, spent=spent)

    def get_rows(self, name: str) -> Sequence[Row]:
        """Return a list of objects."""
        rows = self.body.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.make_unexpected_response(_("{name} is no list of objects").format(name=name))
        return rows

    def get_texts(self, name: str) -> Sequence[str]:
        """Return a list of texts."""
        texts = self.body.get(name)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self.make_unexpected_response(_("{name} is no list of texts").format(name=name))
        return texts

    def get_text(self, row: Row, name: str) -> str:
        """Return a text; empty for null or a missing field."""
        found = row.get(name)
        if found is not None and not isinstance(found, str):
            raise self.make_unexpected_response(_("{name} is no text").format(name=name))
        return found or ""

    def get_number(self, row: Row, name: str) -> Decimal:
        """Return a number that is not negative."""
        found = self.find_number(row, name)
        if found is None:
            raise self.make_unexpected_response(_("{name} is no number").format(name=name))
        return found

    def find_number(self, row: Row, name: str) -> Decimal | None:
        """Return a number that is not negative; None for null or a missing field."""
        if row.get(name) is None:
            return None
        try:
            found = parse_foreign_decimal(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no number").format(name=name)) from None
        if found < 0 or found > MAX_NUMBER:
            raise self.make_unexpected_response(_("{name} is out of range").format(name=name))
        return found

    def get_integer(self, row: Row, name: str) -> int:
        """Return a whole number that is not negative."""
        try:
            return parse_foreign_integer(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no whole number").format(name=name)) from None

    def get_time(self, row: Row, name: str) -> datetime | None:
        """Return a time given in seconds since 1970, cut to microseconds; None for null or a missing field."""
        seconds = self.find_number(row, name)
        if seconds is None:
            return None
        if seconds > MAX_SECONDS:
            raise self.make_unexpected_response(_("{name} is out of range").format(name=name))
        return _EPOCH + timedelta(microseconds=int(seconds * 10**6))

    def get_iso_time(self, row: Row, name: str) -> datetime | None:
        """Return a time such as ``2026-08-24T10:00:00.123456789+08:00``; None for null, a missing or an empty field."""
        text = self.get_text(row, name)
        try:
            at = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no time").format(name=name)) from None
        if at is not None and at.tzinfo is None:
            raise self.make_unexpected_response(_("{name} has no time zone").format(name=name))
        return at

    def make_endpoint(self, user: str, host: str, port: object) -> Endpoint:
        """Return the address of a machine, which the service states; an IPv6 address may lack its brackets."""
        try:
            return Endpoint(user, f"[{host}]" if ":" in host else host, parse_foreign_integer(port))
        except (ValueError, UsageError):
            raise self.make_unexpected_response(_("an address that cannot be one")) from None
