"""An answer that is a JSON object, and its fields, strictly read: for plugins that speak to a REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_UP, Decimal
from typing import Any, ClassVar, TypeVar

from attrs import field, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.foreign_numbers import parse_foreign_decimal, parse_foreign_integer
from gpurent.domain.money import Currency, Money
from gpurent.errors import Spent, UnexpectedResponse, UsageError
from gpurent.locale import _
from gpurent.ports.services import HttpResponse
from gpurent.terminal_text import ForeignText

R = TypeVar("R", bound="JsonReply")
Row = Mapping[str, Any]
MAX_NUMBER = 10**15
NO_CONTENT = 204
MAX_SECONDS = 10**10  # the year 2286
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class JsonReply:
    """``service`` names the service for people; ``url`` is the requested one, without its query.

    ``spent``: whether the request may have spent money, which errors about its answer say too. A field that has another
    format than expected raises `UnexpectedResponse`, which shows the head of the answer.

    A plugin's own kind of reply overrides `error` as its service names errors, `rejects_login` unless every 401 and 403
    means that the key is wrong, and `message` where the service has words for people::

        class AcmeReply(JsonReply):
            @property
            def error(self) -> str:
                return super().error and (self.get_text(self.body, "error") or super().error)

            @property
            def rejects_login(self) -> bool:
                return self.status == 401 and self.error == "bad_token"

    Where a service also answers with arrays, ``array_field`` is the field that has such an array. ``get_…`` raises for
    a field that is not there, except where it says that this is empty or None; so does ``require_…``.
    """

    array_field: ClassVar[str] = ""

    service: str = field(converter=ForeignText)
    status: int
    url: str = field(converter=ForeignText)
    body: Row
    spent: Spent = Spent.NO

    @classmethod
    def parse(cls: type[R], answer: HttpResponse, service: str, spent: Spent = Spent.NO) -> R:
        """Parse an answer; ``spent``: whether the request may have spent money.

        One without content (204) has an empty object. Raises `UnavailableError` for one that says nothing,
        `UnexpectedResponse` if it is no JSON object.
        """
        answer.raise_if_unavailable(service, spent)
        path, raw = answer.url.partition("?")[0], {} if answer.status == NO_CONTENT else answer.json()
        if isinstance(raw, list) and cls.array_field:
            raw = {cls.array_field: raw}
        if not isinstance(raw, dict):
            raise UnexpectedResponse(
                _("unexpected response from {service}: {what}").format(
                    service=service, what=_("object expected")
                ),
                url=path,
                body=answer.text,
                spent=spent,
            )
        return cls(service=service, status=answer.status, url=path, body=raw, spent=spent)

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

    def make_unexpected_response(self, what: str, spent: Spent | None = None) -> UnexpectedResponse:
        """Return the error that the answer has an unexpected format; ``what`` says in which respect.

        ``spent``: only if that is known better than before the request.
        """
        text = _("unexpected response from {service}: {what}").format(service=self.service, what=what)
        body = json.dumps(self.body, default=str, ensure_ascii=False)
        return UnexpectedResponse(text, url=self.url, body=body, spent=spent or self.spent)

    def get_page_token(self, name: str) -> str:
        """Return the token of the next page of a list, empty if this is the last; ``name``: the field that has it."""
        return self.get_text(self.body, name)

    def get_rows(self, name: str) -> Sequence[Row]:
        """Return a list of objects."""
        rows = self.body.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.make_unexpected_response(_("{name} is no list of objects").format(name=name))
        return rows

    def get_object(self, row: Row, name: str) -> Row:
        """Return an object within an object."""
        found = row.get(name)
        if not isinstance(found, dict):
            raise self.make_unexpected_response(_("{name} is no object").format(name=name))
        return found

    def find_objects(self, row: Row, name: str) -> Sequence[Row]:
        """Return a list of objects within an object; empty for null or a missing field."""
        rows = row.get(name)
        if rows is not None and not (isinstance(rows, list) and all(isinstance(one, dict) for one in rows)):
            raise self.make_unexpected_response(_("{name} is no list of objects").format(name=name))
        return rows or ()

    def make_endpoint(self, user: str, host: str, port: object) -> Endpoint:
        """Return the address of a machine; ``host`` may be an address of IPv6, ``port`` a text."""
        plain = host.strip()
        try:
            return Endpoint(user, f"[{plain}]" if ":" in plain else plain, parse_foreign_integer(port))
        except (ValueError, UsageError):
            raise self.make_unexpected_response(_("an address that cannot be one")) from None

    def parse_endpoint(self, command: str) -> Endpoint | None:
        """Return the address in an SSH command such as ``ssh root@203.0.113.7 -p 22``; None for an empty one."""
        try:
            return Endpoint.parse(command) if command.strip() else None
        except UsageError:
            raise self.make_unexpected_response(_("an SSH command that cannot be one")) from None

    def get_id(self, row: Row, name: str = "id") -> str:
        """Return an id that may become part of a path."""
        found = self.get_text(row, name)
        if not _ID.fullmatch(found):
            raise self.make_unexpected_response(_("{name} is no id").format(name=name))
        return found

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

    def get_money(self, row: Row, name: str, currency: Currency) -> Money:
        """Return an amount in whole units (``3.60``), maybe below zero, rounded away from 0 to the minor unit."""
        try:
            exact = parse_foreign_decimal(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no number").format(name=name)) from None
        if abs(exact) > MAX_NUMBER:
            raise self.make_unexpected_response(_("{name} is out of range").format(name=name))
        return Money(int(exact.scaleb(currency.exponent).to_integral_value(ROUND_UP)), currency)

    def get_minor_units(self, row: Row, name: str, currency: Currency) -> Money:
        """Return an amount in whole minor units, such as cents; it may be below zero."""
        try:
            exact = parse_foreign_decimal(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no number").format(name=name)) from None
        if abs(exact) > MAX_NUMBER or exact != exact.to_integral_value():
            raise self.make_unexpected_response(_("{name} is no whole number").format(name=name))
        return Money(int(exact), currency)

    def get_integer(self, row: Row, name: str) -> int:
        """Return a whole number that is not negative."""
        try:
            return parse_foreign_integer(row.get(name))
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no whole number").format(name=name)) from None

    def get_iso_time(self, row: Row, name: str, zone: tzinfo | None = None) -> datetime | None:
        """Return a time given as text (RFC 3339); None for null, a missing field or an empty text.

        ``zone``: that of a time that states none; without it, such a time is refused.
        """
        text = self.get_text(row, name)
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise self.make_unexpected_response(_("{name} is no time").format(name=name)) from None
        if found.tzinfo is not None:
            return found.astimezone(UTC)
        if zone is None:
            raise self.make_unexpected_response(_("{name} is no time").format(name=name))
        return datetime.combine(found.date(), found.time(), zone).astimezone(UTC)

    def require_iso_time(self, row: Row, name: str, zone: tzinfo | None = None) -> datetime:
        """As `get_iso_time`, for a time that has to be there."""
        return self._require_time(self.get_iso_time(row, name, zone), name)

    def require_time(self, row: Row, name: str) -> datetime:
        """As `get_time`, for a time that has to be there."""
        return self._require_time(self.get_time(row, name), name)

    def _require_time(self, found: datetime | None, name: str) -> datetime:
        if found is None:
            raise self.make_unexpected_response(_("{name} is no time").format(name=name))
        return found

    def get_time(self, row: Row, name: str) -> datetime | None:
        """Return a time given in seconds since 1970, cut to microseconds; None for null or a missing field."""
        seconds = self.find_number(row, name)
        if seconds is None:
            return None
        if seconds > MAX_SECONDS:
            raise self.make_unexpected_response(_("{name} is out of range").format(name=name))
        return _EPOCH + timedelta(microseconds=int(seconds * 10**6))
