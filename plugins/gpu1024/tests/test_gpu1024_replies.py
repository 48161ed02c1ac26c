"""What the web API's envelope, numbers, amounts and times mean, and that anything else is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gpurent.api import Spent, UnavailableError, UnexpectedResponse
from gpurent.infra.http import ReadHttpResponse
from gpurent_plugin_gpu1024 import wire
from plugins.gpu1024.tests.wire_samples import GIB, URL, check_refused, make_reply


def make_response(text: str, status: int = 200) -> ReadHttpResponse:
    return ReadHttpResponse(status=status, url=f"{URL}?code=1?2", text=text, headers={}, cookies={})


def test_a_reply_is_read_from_its_envelope() -> None:
    reply = wire.parse_reply(make_response('{"status": 2, "msg": "wait", "content": {"a": 1.5}}'))
    assert reply == wire.ApiReply(status=wire.WORKING, msg="wait", content={"a": Decimal("1.5")}, url=URL)
    bare = wire.parse_reply(make_response('{"status": -1, "msg": null}'))
    assert bare == wire.ApiReply(status=wire.FAILED, msg="", content=None, url=URL)


def test_a_long_message_is_cut() -> None:
    reply = wire.parse_reply(make_response(json.dumps({"status": 1, "msg": "x" * 301})))
    assert reply.msg == "x" * 300


@pytest.mark.parametrize("text", ["[]", "{}", '{"status": 0}', '{"status": "1"}', '{"content": 1}', "null"])
@pytest.mark.parametrize("spent", [Spent.NO, Spent.UNKNOWN])
def test_another_envelope_is_refused(text: str, spent: Spent) -> None:
    with pytest.raises(UnexpectedResponse, match="unexpected response format") as caught:
        wire.parse_reply(make_response(text), spent)
    assert (caught.value.url, caught.value.detail, caught.value.spent) == (URL, text, spent)


@pytest.mark.parametrize("status", [199, 201, 302, 404])
def test_another_status_is_refused(status: int) -> None:
    with pytest.raises(UnexpectedResponse, match=f"HTTP {status}") as caught:
        wire.parse_reply(make_response('{"status": 1}', status), Spent.UNKNOWN)
    assert (caught.value.url, caught.value.detail, caught.value.spent) == (
        URL,
        '{"status": 1}',
        Spent.UNKNOWN,
    )


def test_a_server_error_says_nothing_about_the_request() -> None:
    for spent in (Spent.NO, Spent.UNKNOWN):
        with pytest.raises(UnavailableError, match="1024GPU reported a server error") as caught:
            wire.parse_reply(make_response("", 502), spent)
        assert caught.value.spent is spent
    with pytest.raises(UnavailableError) as caught:
        wire.parse_reply(make_response("", 429))
    assert caught.value.spent is Spent.NO


def test_the_content_has_the_expected_kind() -> None:
    assert make_reply("text").get_text() == "text"
    assert make_reply([{"a": 1}]).get_rows() == [{"a": 1}]
    assert make_reply([]).get_rows() == []
    assert make_reply({"a": 1}).get_record() == {"a": 1}


@pytest.mark.parametrize("content", [None, "", 5, [], {}, ["text"]])
def test_content_that_is_no_text_is_refused(content: object) -> None:
    check_refused(make_reply(content).get_text, "text expected", json.dumps(content))


@pytest.mark.parametrize("content", [None, "", "text", {}, ["text"], [{}, None]])
def test_content_that_is_no_list_is_refused(content: object) -> None:
    check_refused(make_reply(content).get_rows, "list expected", json.dumps(content))


@pytest.mark.parametrize("content", [None, "", "text", [], [{}]])
def test_content_that_is_no_object_is_refused(content: object) -> None:
    check_refused(make_reply(content).get_record, "object expected", json.dumps(content))


def test_a_refused_content_is_quoted_as_it_is() -> None:
    check_refused(make_reply({"错误": Decimal("1.5")}).get_text, "text expected", '{"错误": "1.5"}')


# numbers, amounts and times


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, Decimal(0)),
        ("1,234.5", Decimal("1234.5")),
        (10**15, Decimal(10**15)),
        (Decimal("0.1"), Decimal("0.1")),
    ],
)
def test_numbers_are_exact(value: object, number: Decimal) -> None:
    assert wire.parse_number(value, make_reply("shown")) == number


@pytest.mark.parametrize("value", [None, True, "", "5 DBC", 0.5, "NaN", []])
def test_what_is_no_number_is_refused(value: object) -> None:
    check_refused(lambda: wire.parse_number(value, make_reply("shown")), "number expected", "shown")


@pytest.mark.parametrize("value", [-1, "-0.1", 10**15 + 1])
def test_a_number_out_of_range_is_refused(value: object) -> None:
    check_refused(lambda: wire.parse_number(value, make_reply("shown")), "a number out of range", "shown")


def test_amounts_are_in_the_token() -> None:
    assert wire.parse_money("60000.00000001", make_reply(None)) == wire.DBC.money("60000.00000001")
    check_refused(
        lambda: wire.parse_money("0.000000001", make_reply("shown")),
        "an amount with more decimal places than DBC has",
        "shown",
    )
    check_refused(lambda: wire.parse_money("x", make_reply("shown")), "number expected", "shown")


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (None, None),
        (0, None),
        ("0.5", None),
        (1, datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        ("1583020800000", datetime(2020, 3, 1, tzinfo=UTC)),
        (10**13, datetime(2286, 11, 20, 17, 46, 40, tzinfo=UTC)),
    ],
)
def test_times_are_milliseconds(value: object, time: datetime | None) -> None:
    assert wire.parse_time(value, make_reply(None)) == time


def test_a_time_out_of_range_is_refused() -> None:
    check_refused(lambda: wire.parse_time(10**13 + 1, make_reply("shown")), "a time out of range", "shown")
    check_refused(lambda: wire.parse_time("now", make_reply("shown")), "number expected", "shown")


def test_counts_are_whole() -> None:
    assert [wire.parse_count(value, make_reply(None)) for value in (None, 0, "7", Decimal("8.0"))] == [
        0,
        0,
        7,
        8,
    ]
    assert wire.parse_gib(3 * GIB - 1, make_reply(None)) == 2, "sizes are in KiB"


@pytest.mark.parametrize("value", [Decimal("0.5"), "7.9"])
def test_a_fraction_is_no_count(value: object) -> None:
    check_refused(lambda: wire.parse_count(value, make_reply("shown")), "whole number expected", "shown")
