"""Answers of a REST API: one without content, times as text, and the token of the next page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gpurent.api import Currency, JsonReply, UnexpectedResponse
from gpurent.infra.http import ReadHttpResponse

TIMES = {
    "2026-06-01T12:02:00Z": datetime(2026, 6, 1, 12, 2, tzinfo=UTC),
    "2026-06-01T14:02:00.125+02:00": datetime(2026, 6, 1, 12, 2, 0, 125000, tzinfo=UTC),
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
    reply = make_reply(at=text, none=None)
    assert reply.get_iso_time(reply.body, "at") == TIMES[text]
    assert reply.get_iso_time(reply.body, "none") is None


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
