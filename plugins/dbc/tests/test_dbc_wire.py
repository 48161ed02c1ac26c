"""What the token ledger's JSON means, and that anything else is refused with the response's URL and text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gpurent.api import Money, UnexpectedResponse
from gpurent_plugin_dbc import wire

URL = "https://ledger.example/transfers"
TRANSFER = {
    "hash": "ab12",
    "from": "A-sender",
    "to": "A-receiver",
    "amount": "6000100000042",
    "at": "2020-03-01T08:00:00+08:00",
    "memo": "key 7",
    "price": "0.0021",
}


def check_refused(parse: Callable[[Any, str], object], raw: object, message: str, part: str) -> None:
    with pytest.raises(UnexpectedResponse, match=message) as caught:
        parse(raw, URL)
    assert caught.value.url == URL
    assert part in caught.value.detail


def test_what_is_signed_is_canonical() -> None:
    body = wire.make_transfer_body(
        sender="A-sender", to="A-receiver", amount=Money(42, wire.DBC), bill_key="k", public_key="02ab"
    )
    assert body == '{"amount":"42","from":"A-sender","key":"k","public":"02ab","to":"A-receiver"}'
    assert wire.hash_body(body) == hashlib.sha256(body.encode()).hexdigest()


def test_a_listed_transfer() -> None:
    (transfer,) = wire.parse_transfers({"transfers": [TRANSFER]}, URL)
    assert transfer == wire.ListedTransfer(
        hash="ab12",
        sender="A-sender",
        to="A-receiver",
        amount=Money(6_000_100_000_042, wire.DBC),
        at=datetime(2020, 3, 1, tzinfo=UTC),
        memo="key 7",
        price=Decimal("0.0021"),
    )
    for record in (
        {**TRANSFER, "price": None},
        {name: TRANSFER[name] for name in TRANSFER if name != "price"},
    ):
        (transfer,) = wire.parse_transfers({"transfers": [record]}, URL)
        assert transfer.price is None, "a transfer from before prices were recorded"
    assert wire.parse_transfers({"transfers": []}, URL) == []


def test_balance_and_price() -> None:
    assert wire.parse_balance({"balance": "150000000"}, URL) == wire.DBC.money("1.5")
    assert wire.parse_balance({"balance": "9" * 24}, URL).amount == 10**24 - 1
    at = datetime(2020, 3, 1, tzinfo=UTC)
    assert wire.parse_price({"price": "0.0021", "at": at.isoformat()}, URL) == (Decimal("0.0021"), at)


@pytest.mark.parametrize("amount", [5, None, True, "", "-1", "1.5", "9" * 25, "1 DBC", ["1"]])
def test_what_is_no_amount_is_refused(amount: object) -> None:
    check_refused(wire.parse_balance, {"balance": amount}, "no valid amount", repr(amount)[:20])
    record = {"transfers": [{**TRANSFER, "amount": amount}]}
    check_refused(wire.parse_transfers, record, "no valid amount", repr(amount)[:20])


@pytest.mark.parametrize("at", ["", "yesterday", None, 1_583_020_800])
def test_what_is_no_time_is_refused(at: object) -> None:
    check_refused(wire.parse_price, {"price": "1", "at": at}, "no valid time", repr(at))
    check_refused(wire.parse_transfers, {"transfers": [{**TRANSFER, "at": at}]}, "no valid time", repr(at))


def test_a_time_without_a_zone_is_refused() -> None:
    local = "2020-03-01T08:00:00"
    check_refused(
        wire.parse_price,
        {"price": "1", "at": local},
        "without a time zone",
        repr(datetime.fromisoformat(local).isoformat()),
    )


@pytest.mark.parametrize("price", ["", "cheap", None, True, "NaN"])
def test_what_is_no_price_is_refused(price: object) -> None:
    check_refused(
        wire.parse_price, {"price": price, "at": "2020-03-01T08:00:00Z"}, "no valid price", repr(price)
    )


@pytest.mark.parametrize("price", ["", "cheap", False])
def test_a_transfer_with_an_invalid_price_is_refused(price: object) -> None:
    record = {"transfers": [{**TRANSFER, "price": price}]}
    check_refused(wire.parse_transfers, record, "no valid price", repr(price))


@pytest.mark.parametrize("raw", [None, [], "text", {}, {"other": 1}])
def test_a_response_that_lacks_its_field_is_refused(raw: object) -> None:
    for parse in (wire.parse_balance, wire.parse_price, wire.parse_transfers):
        check_refused(parse, raw, "unexpected format", json.dumps(raw))


@pytest.mark.parametrize("name", ["hash", "from", "to", "amount", "at", "memo"])
def test_a_transfer_that_lacks_a_field_is_refused(name: str) -> None:
    record = {key: value for key, value in TRANSFER.items() if key != name}
    check_refused(wire.parse_transfers, {"transfers": [record]}, "unexpected format", json.dumps(record))


@pytest.mark.parametrize("name", ["price", "at"])
def test_a_price_needs_its_time(name: str) -> None:
    record = {key: value for key, value in TRANSFER.items() if key in {"price", "at"} - {name}}
    check_refused(wire.parse_price, record, "unexpected format", json.dumps(record))


@pytest.mark.parametrize("listed", [None, {}, "text"])
def test_a_list_that_is_none_is_refused(listed: object) -> None:
    check_refused(wire.parse_transfers, {"transfers": listed}, "no list", repr(listed))


def test_what_is_no_json_value_is_still_quoted() -> None:
    check_refused(
        wire.parse_balance, {"at": datetime(2020, 3, 1, tzinfo=UTC)}, "unexpected format", "2020-03-01"
    )
