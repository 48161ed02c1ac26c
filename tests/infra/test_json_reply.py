"""Answers of a REST API: one without content, times as text, and the token of the next page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gpurent.api import Currency, Endpoint, JsonReply, Money, UnexpectedResponse
from gpurent.infra.http import ReadHttpResponse

TIMES = {
    "2026-06-01T12:02:00Z": datetime(2026, 6, 1, 12, 2, tzinfo=UTC),
    "2026-06-01T14:02:00.125+02:00": datetime(2026, 6, 1, 12, 2, 0, 125000, tzinfo=UTC),
    "2026-06-01T20:02:00.137127391+08:00": datetime(2026, 6, 1, 12, 2, 0, 137127, tzinfo=UTC),
}


def make_reply(**body: Any) -> JsonReply:
    return JsonReply(service="acme", status=200, url="https://acme.example/", body=body)


def make_answer(status: int, text: str) -> ReadHttpResponse:
    return ReadHttpResponse(status=status, url="https://acme.example/", text=text, headers={}, cookies={})


def test_an_answer_without_content_has_no_fields() -> None:
    assert JsonReply.parse(make_answer(204, ""), "acme").body == {}
    with pytest.raises(UnexpectedResponse):
        JsonReply.parse(make_answer(200, ""), "acme")


@pytest.mark.parametrize("text", TIMES)
def test_a_time_has_its_zone(text: str) -> None:
    reply = make_reply(at=text, none=None, empty="")
    assert reply.get_iso_time(reply.body, "at") == TIMES[text]
    assert reply.get_iso_time(reply.body, "none") is reply.get_iso_time(reply.body, "empty") is None


@pytest.mark.parametrize("value", ["2026-06-01T12:02:00", "soon", "20260601", 7])
def test_what_is_no_time_is_refused(value: object) -> None:
    reply = make_reply(at=value)
    with pytest.raises(UnexpectedResponse):
        reply.get_iso_time(reply.body, "at")


def test_a_reply_says_where_its_next_page_is() -> None:
    assert make_reply(next="abc").get_page_token("next") == "abc"
    assert make_reply(next=None).get_page_token("next") == ""


@pytest.mark.parametrize(
    ("value", "cents"), [("1.5", 150), (-2, -200), (Decimal("0.001"), 1), (Decimal("-0.001"), -1), (0, 0)]
)
def test_an_amount_is_rounded_away_from_zero(value: object, cents: int) -> None:
    reply = make_reply(amount=value)
    assert reply.get_money(reply.body, "amount", Currency("USD", 2)).amount == cents


@pytest.mark.parametrize("value", [None, True, "much", 10**16, Decimal("1e20")])
def test_what_is_no_amount_is_refused(value: object) -> None:
    reply = make_reply(amount=value)
    with pytest.raises(UnexpectedResponse):
        reply.get_money(reply.body, "amount", Currency("USD", 2))


@pytest.mark.parametrize(("value", "cents"), [(360, 360), (-2, -2), ("12.0", 12), (0, 0)])
def test_whole_minor_units_are_taken_as_they_are(value: object, cents: int) -> None:
    reply = make_reply(cents=value)
    assert reply.get_minor_units(reply.body, "cents", Currency("USD", 2)) == Money(cents, Currency("USD", 2))


@pytest.mark.parametrize("value", [None, "3.6", Decimal("0.5"), True, 10**16, Decimal("1e20")])
def test_what_are_no_minor_units_is_refused(value: object) -> None:
    reply = make_reply(cents=value)
    with pytest.raises(UnexpectedResponse):
        reply.get_minor_units(reply.body, "cents", Currency("USD", 2))


def test_a_time_that_has_to_be_there_is_there_or_refused() -> None:
    reply = make_reply(at="2026-06-01T12:02:00Z", seconds=0, none=None)
    assert reply.require_iso_time(reply.body, "at") == TIMES["2026-06-01T12:02:00Z"]
    assert reply.require_time(reply.body, "seconds") == datetime(1970, 1, 1, tzinfo=UTC)
    for name in ("none", "missing"):
        with pytest.raises(UnexpectedResponse, match=f"{name} is no time"):
            reply.require_iso_time(reply.body, name)
        with pytest.raises(UnexpectedResponse, match=f"{name} is no time"):
            reply.require_time(reply.body, name)


def test_objects_within_objects_are_read_strictly() -> None:
    reply = make_reply(one={"a": 1}, many=[{"a": 1}], none=None, text="x", mixed=[{}, 1])
    assert reply.get_object(reply.body, "one") == {"a": 1}
    assert reply.find_objects(reply.body, "many") == [{"a": 1}]
    assert reply.find_objects(reply.body, "none") == reply.find_objects(reply.body, "missing") == ()
    for name in ("none", "many", "text", "missing"):
        with pytest.raises(UnexpectedResponse):
            reply.get_object(reply.body, name)
    for name in ("one", "text", "mixed"):
        with pytest.raises(UnexpectedResponse):
            reply.find_objects(reply.body, name)


def test_an_address_is_one_or_is_refused() -> None:
    reply = make_reply()
    assert reply.make_endpoint("root", " 203.0.113.7 ", "22") == Endpoint("root", "203.0.113.7", 22)
    assert (
        reply.make_endpoint("root", "2001:db8::1", 2222).host == Endpoint("root", "[2001:db8::1]", 2222).host
    )
    for host, port in (("", 22), ("a b", 22), ("203.0.113.7", None), ("203.0.113.7", 70_000), ("-oX", 22)):
        with pytest.raises(UnexpectedResponse):
            reply.make_endpoint("root", host, port)


def test_an_ssh_command_has_an_address_or_is_refused() -> None:
    reply = make_reply()
    assert reply.parse_endpoint(" ssh root@203.0.113.7 -p 22") == Endpoint("root", "203.0.113.7", 22)
    assert reply.parse_endpoint(" ") is None
    with pytest.raises(UnexpectedResponse):
        reply.parse_endpoint("ssh -oProxyCommand=x root@203.0.113.7")
