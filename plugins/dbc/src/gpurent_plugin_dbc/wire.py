"""The JSON of the DBC token ledger <-> the domain model. No I/O.

The format is an assumption: the NEO nodes that the original wallet (2020) used no longer exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from attrs import frozen

from gpurent.api import (
    Currency,
    Money,
    UnexpectedResponse,
    parse_foreign_decimal,
    parse_foreign_integer,
    parse_foreign_name,
)
from gpurent_plugin_dbc.messages import _

DBC = Currency("DBC", 8)
_MAX_DIGITS = 24


@frozen(kw_only=True)
class ListedTransfer:
    """One transfer in the ledger's list; ``price`` is USD per DBC at that time."""

    hash: str
    sender: str
    to: str
    amount: Money
    at: datetime
    memo: str
    price: Decimal | None


def make_transfer_body(*, sender: str, to: str, amount: Money, bill_key: str, public_key: str) -> str:
    """Return the text to sign: canonical JSON, so that its hash is known before it is sent."""
    fields = {"from": sender, "to": to, "amount": str(amount.amount), "key": bill_key, "public": public_key}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def hash_body(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _parse_amount(value: Any, url: str) -> Money:
    """Parse an amount: whole units of 10^-8 DBC, as text."""
    try:
        if not isinstance(value, str) or len(value) > _MAX_DIGITS:
            raise ValueError("text expected")
        return Money(parse_foreign_integer(value), DBC)
    except ValueError:
        raise UnexpectedResponse(
            _("the DBC token ledger returned no valid amount"), url=url, body=repr(value)
        ) from None


def _parse_record(raw: Any, names: tuple[str, ...], url: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not set(names) <= raw.keys():
        raise UnexpectedResponse(
            _("the DBC token ledger's response has an unexpected format"),
            url=url,
            body=json.dumps(raw, default=str),
        )
    return raw


def _parse_time(value: Any, url: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UnexpectedResponse(
            _("the DBC token ledger returned no valid time"), url=url, body=repr(value)
        ) from None
    if found.tzinfo is None:
        raise UnexpectedResponse(
            _("the DBC token ledger returned a time without a time zone"), url=url, body=repr(value)
        )
    return found


def _parse_name(value: Any, url: str) -> str:
    try:
        return parse_foreign_name(value)
    except ValueError:
        raise UnexpectedResponse(
            _("the DBC token ledger's response has an unexpected format"), url=url, body=repr(value)
        ) from None


def _parse_decimal(value: Any, url: str) -> Decimal:
    try:
        return parse_foreign_decimal(value)
    except ValueError:
        raise UnexpectedResponse(
            _("the DBC token ledger returned no valid price"), url=url, body=repr(value)
        ) from None


def parse_balance(raw: Any, url: str) -> Money:
    return _parse_amount(_parse_record(raw, ("balance",), url)["balance"], url)


def parse_price(raw: Any, url: str) -> tuple[Decimal, datetime]:
    """Return USD per DBC and the time of that price."""
    found = _parse_record(raw, ("price", "at"), url)
    return _parse_decimal(found["price"], url), _parse_time(found["at"], url)


def parse_transfers(raw: Any, url: str) -> Sequence[ListedTransfer]:
    found = _parse_record(raw, ("transfers",), url)["transfers"]
    if not isinstance(found, list):
        raise UnexpectedResponse(_("the DBC token ledger returned no list"), url=url, body=repr(found))
    return [_parse_transfer(item, url) for item in found]


def _parse_transfer(raw: Any, url: str) -> ListedTransfer:
    found = _parse_record(raw, ("hash", "from", "to", "amount", "at", "memo"), url)
    return ListedTransfer(
        hash=_parse_name(found["hash"], url),
        sender=str(found["from"]),
        to=str(found["to"]),
        amount=_parse_amount(found["amount"], url),
        at=_parse_time(found["at"], url),
        memo=str(found["memo"]),
        price=_parse_decimal(found["price"], url) if found.get("price") is not None else None,
    )
