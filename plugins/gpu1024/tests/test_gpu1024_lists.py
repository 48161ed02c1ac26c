"""What the web API's machines, orders and renewals mean, and that anything else is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import Deposit, Hardware, Offer, Prepaid, UnitPrice
from gpurent_plugin_gpu1024 import wire
from plugins.gpu1024.tests.wire_samples import (
    FLAGS,
    GIB,
    MACHINE,
    MINUTE,
    ORDER,
    RENEWAL,
    check_refused,
    make_reply,
)


def parse_machine(**changes: object) -> Offer:
    (offer,) = wire.parse_offers(make_reply([{**MACHINE, **changes}]))
    return offer


def parse_order(**changes: object) -> wire.ListedOrder:
    (order,) = wire.parse_orders(make_reply([{"orderData": {**ORDER, **changes}}]))
    return order


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
    order = parse_order(diskspace=40 * GIB, diskspace_giving=30 * GIB, order_id_pre="o-0")
    assert order == wire.ListedOrder(
        id="o-1",
        bill=wire.DBC.money("1200.00000042"),
        machine="m-7",
        gpus=2,
        disk=100,
        previous="o-0",
        used_minutes=90,
        remaining_minutes=30,
        files_kept_for=timedelta(days=1),
        rented_at=datetime(2020, 3, 1, tzinfo=UTC),
        created_at=datetime(2020, 2, 29, 23, 55, tzinfo=UTC),
        refund=wire.DBC.money("1200.00000042"),
        **dict.fromkeys(FLAGS.values(), False),
    )
    assert order.expires_at == datetime(2020, 3, 1, 2, tzinfo=UTC)
    assert order.ended_at is None
    assert parse_order(dbc_real_need_count=900).refund == wire.DBC.money("300.00000042")
    assert parse_order(dbc_real_need_count=1300).refund == wire.DBC.zero
    assert parse_order(order_is_over=True).ended_at == datetime(2020, 3, 1, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("flag", FLAGS)
def test_each_state_of_an_order_has_its_own_field(flag: str) -> None:
    order = parse_order(**{flag: True})
    assert [name for name in FLAGS.values() if getattr(order, name)] == [FLAGS[flag]]


@pytest.mark.parametrize("value", ["false", "", 2, -1, [], {}, Decimal(1)])
def test_what_is_neither_yes_nor_no_is_refused(value: object) -> None:
    assert parse_order(order_is_over=1).over
    check_refused(lambda: parse_order(order_is_over=value), "yes or no expected")


@pytest.mark.parametrize("name", ["real_rent_time", "rest_time_rent", "remaining_time_length"])
def test_a_time_beyond_every_calendar_is_refused(name: str) -> None:
    assert parse_order(**{name: 10**8}).expires_at is not None
    check_refused(lambda: parse_order(**{name: 10**8 + 1}), "a time out of range")


@pytest.mark.parametrize("name", ["order_id", "machine_id"])
def test_a_name_that_no_command_can_repeat_is_refused(name: str) -> None:
    check_refused(lambda: parse_order(**{name: "-oProxyCommand=id"}), "an order without a number")


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
