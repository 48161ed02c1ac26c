"""What the web API's JSON means, and that anything else is refused with the response's URL and text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import (
    Deposit,
    Hardware,
    Offer,
    Prepaid,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    UnitPrice,
)
from gpurent.infra.http import ReadHttpResponse
from gpurent_plugin_gpu1024 import wire

URL = "https://1024gpu.example/rent/list"
MINUTE = timedelta(minutes=1)
GIB = 1024 * 1024
MACHINE = {
    "machine_id": "m-7",
    "gpu_type": "2080Ti",
    "gpu_count": 4,
    "gpu_be_used": 1,
    "gpu_ram_size": 11 * GIB,
    "cpu_numbers": 16,
    "ram_size": 64 * GIB + GIB - 1,
    "disk_space": 500 * GIB,
    "length_of_available_time": 600,
    "gpu_price_dollar": Decimal("0.35"),
    "country": "China",
    "evaluation_score_average": "4.85",
    "can_create_cpu_container": True,
    "online_status": 1,
}
ORDER = {
    "order_id": "o-1",
    "machine_id": "m-7",
    "gpu_count": 2,
    "dbc_total_count": 1200,
    "code": "0.00000042",
    "real_rent_time": 90,
    "rest_time_rent": 30,
    "remaining_time_length": 1440,
    "milli_rent_success_time": 1_583_020_800_000,
    "milli_create_order_time": 1_583_020_500_000,
}
FLAGS = {
    "container_is_exist": "has_container",
    "creating_container": "is_creating",
    "rent_success": "rented",
    "order_is_over": "over",
    "order_isnormal_over": "ended_normally",
    "order_is_cancer": "cancelled",
    "pay_error": "pay_error",
    "return_dbc": "returned",
}
RENEWAL = {"continue_pay_order_id": "r-1", "dbc_total_count": "300", "code": 0}


def make_reply(content: object, status: int = wire.DONE) -> wire.ApiReply:
    return wire.ApiReply(status=status, msg="", content=content, url=URL)


def make_response(text: str, status: int = 200) -> ReadHttpResponse:
    return ReadHttpResponse(status=status, url=f"{URL}?code=1?2", text=text, headers={}, cookies={})


def check_refused(read: Callable[[], object], what: str, body: str = "") -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        read()
    assert caught.value.message == f"unexpected response from 1024GPU: {what}"
    assert caught.value.url == URL
    assert body in caught.value.detail


def parse_machine(**changes: object) -> Offer:
    (offer,) = wire.parse_offers(make_reply([{**MACHINE, **changes}]))
    return offer


def parse_order(**changes: object) -> wire.ListedOrder:
    (order,) = wire.parse_orders(make_reply([{"orderData": {**ORDER, **changes}}]))
    return order


# the envelope


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


# machines


def test_a_machine_of_the_list() -> None:
    assert parse_machine() == Offer(
        key="m-7",
        provider="1024gpu",
        hardware=Hardware(gpu="2080Ti", gpus=3, gpu_memory=11, cpus=16, memory=64, disk=500),
        tariff=Prepaid(price=UnitPrice(Decimal("0.35"), wire.DOLLAR), maximum=600 * MINUTE),
        disk=wire.DISK_PRICE,
        available=True,
        location="China",
        score="4.85",
        provider_data={"cpu_container": "yes"},
    )


def test_a_machine_in_use_is_listed_with_all_its_gpus() -> None:
    for used in (4, 5):
        offer = parse_machine(gpu_be_used=used)
        assert (offer.available, offer.hardware.gpus) == (False, 4)


def test_what_a_machine_does_not_state_is_empty() -> None:
    (offer,) = wire.parse_offers(
        make_reply([{"machine_id": "m", "gpu_type": "P100", "gpu_price_dollar": "0.2", "gpu_count": 1}])
    )
    assert offer == Offer(
        key="m",
        provider="1024gpu",
        hardware=Hardware(gpu="P100", gpus=1),
        tariff=Prepaid(price=UnitPrice(Decimal("0.2"), wire.DOLLAR)),
        disk=wire.DISK_PRICE,
        provider_data={"cpu_container": "no"},
    )


def test_long_descriptions_are_cut() -> None:
    offer = parse_machine(country="c" * 41, evaluation_score_average="4" * 9)
    assert (offer.location, offer.score) == ("c" * 40, "4" * 8)


@pytest.mark.parametrize(
    ("online", "listed"), [(1, 1), (True, 1), (None, 1), (0, 0), (False, 0), ("1", 0), (2, 0)]
)
def test_only_machines_that_are_online_are_listed(online: object, listed: int) -> None:
    assert len(wire.parse_offers(make_reply([{**MACHINE, "online_status": online}]))) == listed


@pytest.mark.parametrize("value", [None, 7])
@pytest.mark.parametrize(("name", "other"), [("machine_id", "2080Ti"), ("gpu_type", "m-7")])
def test_a_machine_without_a_name_is_refused(name: str, other: str, value: object) -> None:
    check_refused(lambda: parse_machine(**{name: value}), "a machine without a name", other)


@pytest.mark.parametrize(
    "name",
    [
        "gpu_count",
        "gpu_be_used",
        "gpu_ram_size",
        "cpu_numbers",
        "ram_size",
        "disk_space",
        "length_of_available_time",
        "gpu_price_dollar",
    ],
)
def test_a_machine_with_an_invalid_number_is_refused(name: str) -> None:
    check_refused(lambda: parse_machine(**{name: "many"}), "number expected", "many")


def test_a_machine_without_a_price_is_refused() -> None:
    check_refused(lambda: parse_machine(gpu_price_dollar=None), "number expected", "m-7")


def test_the_cpu_container_of_a_machine_is_free_while_its_deposit_is_held() -> None:
    gpu = parse_machine(gpu_be_used=4)
    cpu = wire.make_cpu_offer(gpu)
    assert isinstance(cpu.deposit, Deposit)
    assert cpu.deposit.money == wire.DBC.money(60_001)
    assert "switched to its GPU" in cpu.deposit.returned_on
    assert evolve(cpu, deposit=None) == Offer(
        key="m-7",
        provider="1024gpu",
        hardware=Hardware(cpus=16, memory=5, disk=30),
        tariff=Prepaid(price=UnitPrice(Decimal(0), wire.DOLLAR)),
        available=False,
        location="China",
        score="4.85",
        provider_data={"cpu_container": "yes"},
    )


def test_a_rented_machine_that_is_offline_has_no_known_price() -> None:
    offer = wire.make_unlisted_offer("m-9", 2)
    assert offer == Offer(
        key="m-9",
        provider="1024gpu",
        hardware=Hardware(gpus=2),
        tariff=Prepaid(price=UnitPrice.make_unknown(wire.DOLLAR)),
        available=False,
        note="the price is not known",
    )


# orders and renewals


def test_an_order_of_the_list() -> None:
    order = parse_order()
    assert order == wire.ListedOrder(
        id="o-1",
        bill=wire.DBC.money("1200.00000042"),
        machine="m-7",
        gpus=2,
        used_minutes=90,
        remaining_minutes=30,
        files_kept_for=timedelta(days=1),
        rented_at=datetime(2020, 3, 1, tzinfo=UTC),
        created_at=datetime(2020, 2, 29, 23, 55, tzinfo=UTC),
        **dict.fromkeys(FLAGS.values(), False),
    )
    assert order.expires_at == datetime(2020, 3, 1, 2, tzinfo=UTC)
    assert order.ended_at is None
    assert parse_order(order_is_over=True).ended_at == datetime(2020, 3, 1, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("flag", FLAGS)
def test_each_state_of_an_order_has_its_own_field(flag: str) -> None:
    order = parse_order(**{flag: True})
    assert [name for name in FLAGS.values() if getattr(order, name)] == [FLAGS[flag]]


def test_an_order_that_never_began() -> None:
    order = parse_order(milli_rent_success_time=0, remaining_time_length=None, order_is_over=True)
    assert (order.rented_at, order.expires_at, order.ended_at, order.files_kept_for) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("bill", "amount"),
    [
        ({"dbc_total_count": 60_000, "code": "0.1234"}, "60000.1234"),
        ({"dbc_total_count": None, "code": "0.99999999"}, None),
        ({"dbc_total_count": "5", "code": 0}, "5"),
    ],
)
def test_the_code_that_marks_the_payment_is_part_of_the_bill(
    bill: Mapping[str, object], amount: str | None
) -> None:
    if amount is None:
        check_refused(lambda: parse_order(**bill), "number expected")
    else:
        assert parse_order(**bill).bill == wire.DBC.money(amount)


def test_an_order_that_has_no_bill_yet_costs_nothing() -> None:
    row: dict[str, Any] = {name: ORDER[name] for name in ("order_id", "machine_id")}
    (order,) = wire.parse_orders(make_reply([{"orderData": row}]))
    assert order.bill == wire.DBC.zero


@pytest.mark.parametrize("code", [1, "1.5"])
def test_a_code_of_a_whole_coin_is_refused(code: object) -> None:
    check_refused(lambda: parse_order(code=code), "an order code of 1 DBC or more", "o-1")


@pytest.mark.parametrize("row", [{}, {"orderData": None}, {"orderData": []}, {"order": ORDER}])
def test_a_row_without_an_order_is_refused(row: Mapping[str, object]) -> None:
    check_refused(lambda: wire.parse_orders(make_reply([row])), "a row without an order", json.dumps(row))


@pytest.mark.parametrize("value", [None, 7])
@pytest.mark.parametrize("name", ["order_id", "machine_id"])
def test_an_order_without_a_number_is_refused(name: str, value: object) -> None:
    check_refused(lambda: parse_order(**{name: value}), "an order without a number", "1200")


@pytest.mark.parametrize(
    "name",
    [
        "gpu_count",
        "real_rent_time",
        "rest_time_rent",
        "remaining_time_length",
        "milli_rent_success_time",
        "milli_create_order_time",
        "dbc_total_count",
        "code",
    ],
)
def test_an_order_with_an_invalid_number_is_refused(name: str) -> None:
    check_refused(lambda: parse_order(**{name: "many"}), "number expected", "many")


def test_a_renewal_of_the_list() -> None:
    (renewal,) = wire.parse_renewals(make_reply([RENEWAL]))
    assert renewal == wire.ListedRenewal(
        id="r-1", bill=wire.DBC.money(300), cancelled=False, pay_error=False, returned=False
    )
    states = [
        [changed.cancelled, changed.pay_error, changed.returned]
        for flag in ("order_is_cancer", "pay_error", "return_dbc")
        for changed in wire.parse_renewals(make_reply([{**RENEWAL, flag: 1}]))
    ]
    assert states == [[True, False, False], [False, True, False], [False, False, True]]


@pytest.mark.parametrize("value", [None, 7])
def test_a_renewal_without_a_number_is_refused(value: object) -> None:
    row = {**RENEWAL, "continue_pay_order_id": value}
    check_refused(lambda: wire.parse_renewals(make_reply([row])), "a renewal without a number", "300")


def test_a_renewal_with_an_invalid_code_is_refused() -> None:
    rows = make_reply([{**RENEWAL, "code": "x"}])
    check_refused(lambda: wire.parse_renewals(rows), "number expected", "r-1")
