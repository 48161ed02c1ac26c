"""The money of the simulator of vast.ai, to the micro-USD, against a sum that is made here from prices and times."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Any

import pytest

from gpurent.api import DiscrepancyKind, UsageError
from plugins.vast.tests.vast_simulator_harness import MICROS, VastApi, to_micros, vast_api

DAY_SECONDS = 24 * 3600


@pytest.fixture
async def api() -> AsyncIterator[VastApi]:
    async with vast_api() as made:
        yield made


def gpu_cost(price: Any, seconds: int) -> int:
    """Return what the GPUs cost for whole seconds; ``price``: USD per hour."""
    return floor(Fraction(price) * MICROS * seconds / 3600)


def disk_cost(price: Any, gigabytes: int, seconds: int) -> int:
    """Return what storage costs; ``price``: USD per GB and month of 30 days."""
    return floor(Fraction(price) * MICROS * gigabytes * seconds / (30 * DAY_SECONDS))


async def check_books(api: VastApi) -> None:
    """Check that credit, charges, invoices and ledger say the same, and that nothing is left over."""
    credit = await api.credit()
    entries = api.simulator.list_ledger_entries()
    assert sum(entry.amount.amount for entry in entries) == credit
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    usage = -sum(entry.amount.amount for entry in entries if entry.kind == "usage")
    rows = await api.charges()
    assert sum(to_micros(row["amount"]) for row in rows) == usage
    for row in rows:
        assert sum(to_micros(item["amount"]) for item in row["items"]) == to_micros(row["amount"])
    paid = [row for row in (await api.get("/api/v1/invoices/")).data["results"] if row["type"] == "credit"]
    assert -sum(to_micros(row["amount"]) for row in paid) == sum(
        entry.amount.amount for entry in entries if entry.kind == "credit"
    )
    assert await api.simulator.list_discrepancies() == []


@pytest.mark.parametrize("ticks", [1, 7, 1000])
async def test_a_rental_to_the_micro(api: VastApi, ticks: int) -> None:
    offer = (await api.search(gpu_name={"eq": "RTX 3090"}))[0]
    made = await api.rent(offer["id"], disk=33)
    span = timedelta(hours=5, minutes=7, seconds=11, microseconds=123_000)
    for _tick in range(ticks):
        await api.advance(seconds=span.total_seconds() / ticks)
    total = int(span.total_seconds())
    cost = gpu_cost(offer["dph_base"], total - 20) + disk_cost(offer["storage_cost"], 33, total)
    assert await api.credit() == 10 * MICROS - cost
    await check_books(api)
    await api.request("DELETE", f"/api/v0/instances/{made}/")
    await api.advance(days=3)
    assert await api.credit() == 10 * MICROS - cost
    await check_books(api)


async def test_only_storage_is_billed_while_it_loads_or_is_stopped(api: VastApi) -> None:
    offer = (await api.search(gpu_name={"eq": "A100 SXM4"}))[0]
    made = await api.rent(offer["id"], disk=100)
    await api.advance(seconds=19)
    assert 10 * MICROS - await api.credit() == disk_cost(offer["storage_cost"], 100, 19)
    await api.advance(seconds=101)
    await api.put(f"/api/v0/instances/{made}/", state="stopped")
    await api.advance(hours=2)
    await api.put(f"/api/v0/instances/{made}/", state="running")
    await api.advance(seconds=65)
    expected = (
        gpu_cost(offer["dph_base"], 102)
        + gpu_cost(offer["dph_base"], 60)
        + disk_cost(offer["storage_cost"], 100, 120 + 7200 + 65)
    )
    assert 10 * MICROS - await api.credit() == expected
    assert api.simulator.list_billed_machines() == [str(made)]
    await check_books(api)


async def test_the_host_raises_its_price(api: VastApi) -> None:
    offer = (await api.search(gpu_name={"eq": "RTX 4090"}))[0]
    made = await api.rent(offer["id"])
    await api.advance(seconds=120)
    await api.state.set_price(offer["machine_id"], 1_000_001)
    await api.advance(seconds=50)
    await api.state.set_price(offer["machine_id"], 2_000_003, also_rented=True)
    assert to_micros((await api.show(made))["dph_base"]) == 2_000_003
    await api.advance(seconds=70)
    expected = gpu_cost(offer["dph_base"], 150) + gpu_cost(Fraction(2_000_003, MICROS), 70)
    expected += disk_cost(offer["storage_cost"], 16, 240)
    assert 10 * MICROS - await api.credit() == expected
    await check_books(api)


async def test_nothing_is_billed_while_the_host_is_offline(api: VastApi) -> None:
    offer = (await api.search(gpu_name={"eq": "RTX 4090"}))[0]
    await api.rent(offer["id"])
    await api.advance(seconds=120)
    await api.state.set_offline(offer["machine_id"], True)
    before = await api.credit()
    await api.advance(days=2)
    assert await api.credit() == before
    await check_books(api)


async def test_traffic(api: VastApi) -> None:
    made = await api.rent_running((await api.search(gpu_name={"eq": "RTX 4090"}))[0]["id"])
    instance = api.account.find_instance(made)
    assert instance is not None
    before = await api.credit()
    api.state.add_traffic(instance, sent=2_000_000_000, received=1_000_001_000)
    assert before - await api.credit() == 2 * 3_000 + 2_500
    (row,) = await api.charges()
    items = {item["type"]: to_micros(item["amount"]) for item in row["items"]}
    assert (items["bwu"], items["bwd"]) == (6_000, 2_500)
    await check_books(api)


async def test_charges_by_day(api: VastApi) -> None:
    await api.pay("100")
    made = await api.rent(label="trip-7")
    start = api.clock.now()
    await api.advance(days=2, hours=20)
    rows = await api.charges()
    midnight = int(start.replace(hour=0, minute=0, second=0).timestamp())
    assert [row["start"] for row in rows] == [midnight + day * DAY_SECONDS for day in range(4)]
    assert {row["source"] for row in rows} == {f"instance-{made}"}
    assert {row["metadata"]["label"] for row in rows} == {"trip-7"}
    assert [item["type"] for item in rows[0]["items"]] == ["disk", "gpu"]
    path = "/api/v0/charges/"
    day = {"gte": midnight + DAY_SECONDS, "lte": midnight + 2 * DAY_SECONDS - 1}
    one = (await api.get(path, select_filters={"day": day, "type": {"in": ["instance"]}})).data
    assert one["results"] == rows[1:2]
    assert (one["success"], one["count"], one["total"], one["next_token"]) == (True, 1, 1, None)
    assert (await api.get(path, select_filters={"day": day, "type": {"in": ["volume"]}})).data["total"] == 0
    assert await api.charges(limit="1") == rows
    assert await api.charges(limit="3", latest_first="true") == rows[::-1]
    await check_books(api)


@pytest.mark.parametrize(
    "filters",
    [{}, {"day": {"gte": 0}}, {"day": {"lte": 5}}, {"day": {"gte": 9, "lte": 5}}, {"day": "today"}, "["],
)
async def test_charges_need_both_days(api: VastApi, filters: Any) -> None:
    assert (await api.get("/api/v0/charges/", select_filters=filters)).error == (400, "invalid_args")


async def test_invoices(api: VastApi) -> None:
    await api.advance(hours=1)
    await api.pay("25.5")
    path, now = "/api/v1/invoices/", int(api.clock.now().timestamp())
    found = (await api.get(path)).data
    assert [(row["type"], to_micros(row["amount"])) for row in found["results"]] == [
        ("credit", -10 * MICROS),
        ("credit", -25_500_000),
    ]
    late = await api.get(path, select_filters={"when": {"gte": now - 60, "lte": now}}, limit="1")
    assert late.data["results"] == found["results"][1:]
    newest = await api.get(path, latest_first="true", limit="1")
    assert newest.data["results"] == found["results"][1:]
    rest = await api.get(path, latest_first="true", limit="1", after_token=newest.data["next_token"])
    assert rest.data["results"] == found["results"][:1]
    none = await api.get(path, select_filters={"service": {"eq": "transfer"}})
    assert none.data["results"] == []
    for when in ({"gte": now, "lte": 0}, {"gte": "soon"}, "today"):
        bad = await api.get(path, select_filters={"when": when})
        assert bad.error == (200, "invalid_args")


# bids


async def test_a_low_bid_fails_and_leaves_an_instance_that_costs(api: VastApi) -> None:
    (offer,) = await api.search(type="bid", gpu_name={"eq": "RTX 4090"})
    answer = await api.create(offer["id"], price=0.2, disk=50, label="bid")
    assert answer.error == (400, "bid_too_low")
    left = answer.data["new_contract"]
    shown = await api.show(left)
    assert (shown["actual_status"], shown["label"]) == ("stopped", "bid")
    await api.advance(hours=10)
    assert 10 * MICROS - await api.credit() == disk_cost(offer["storage_cost"], 50, 36_000)
    (found,) = await api.simulator.list_discrepancies()
    assert (found.kind, found.ref) == (DiscrepancyKind.UNUSED_PAYMENT, str(left))
    assert found.amount.amount == disk_cost(offer["storage_cost"], 50, 36_000)
    await api.request("DELETE", f"/api/v0/instances/{left}/")
    await check_books(api)


async def test_a_bid_runs_until_it_is_too_low(api: VastApi) -> None:
    (offer,) = await api.search(type="bid", gpu_name={"eq": "RTX 4090"})
    made = await api.rent_running(offer["id"], price="0.3")
    await api.state.set_price(offer["machine_id"], 600_000)
    shown = await api.show(made)
    assert (shown["actual_status"], shown["is_bid"]) == ("stopped", True)
    for price, status in (("0.31", "stopped"), ("0.33", "running")):
        assert (
            await api.put(f"/api/v0/instances/bid_price/{made}/", client_id="me", price=price)
        ).status == 200
        await api.advance(seconds=8)
        assert (await api.show(made))["actual_status"] == status
    expected = gpu_cost("0.3", 3) + gpu_cost("0.33", 3) + disk_cost(offer["storage_cost"], 16, 23 + 16)
    assert 10 * MICROS - await api.credit() == expected
    await check_books(api)


async def test_only_a_bid_has_a_bid_price(api: VastApi) -> None:
    made = await api.rent()
    answer = await api.put(f"/api/v0/instances/bid_price/{made}/", price=1)
    assert answer.error == (400, "invalid_args")


# out of credit


async def test_all_stops_when_the_credit_ends() -> None:
    async with vast_api(credit="1") as api:
        offer = (await api.search(gpu_name={"eq": "RTX 4090"}))[0]
        made = await api.rent(offer["id"], disk=64)
        waiting = await api.rent(offer["id"], disk=8)
        gone = 0  # the first second at which the credit is used up, found here one by one
        while True:
            spent = gpu_cost(offer["dph_base"], max(0, gone - 20))
            spent += sum(disk_cost(offer["storage_cost"], size, gone) for size in (64, 8))
            if spent >= MICROS:
                break
            gone += 1
        await api.advance(hours=40)
        shown = await api.show(made)
        assert shown["actual_status"] == "stopped"
        assert (await api.show(waiting))["intended_status"] == "stopped"
        assert not api.machines.alive_machines
        disks = sum(disk_cost(offer["storage_cost"], size, 40 * 3600) for size in (64, 8))
        assert await api.credit() == MICROS - gpu_cost(offer["dph_base"], gone - 20) - disks < 0
        refused = await api.put(f"/api/v0/instances/{made}/", state="running")
        assert refused.error == (400, "insufficient_credit")
        await check_books(api)
        await api.advance(hours=20)
        assert await api.show(made) is None
        assert set(api.machines.erased) == {f"vast-{made}", f"vast-{waiting}"}
        await check_books(api)


async def test_credit_in_time_keeps_the_files() -> None:
    async with vast_api(credit="1") as api:
        made = await api.rent()
        await api.advance(hours=40)
        await api.pay("5")
        await api.advance(days=4)
        assert (await api.show(made))["actual_status"] == "stopped"
        await api.put(f"/api/v0/instances/{made}/", state="running")
        await api.advance(seconds=8)
        assert (await api.show(made))["actual_status"] == "running"
        await check_books(api)


async def test_paying_on_the_page(api: VastApi) -> None:
    page = "/sandbox/pay"
    assert (await api.client.get(page)).status_code == 200
    form = {"account": api.account.email, "amount": "12.345678"}
    assert (await api.client.post(page, data=form)).status_code == 200
    assert await api.credit() == 22_345_678
    assert (await api.client.get(f"{page}/{api.account.id}/7")).status_code == 200
    assert await api.credit() == 22_345_678
    for amount, status in (("0.5", 400), ("-3", 400), ("much", 400), ("10001", 400), ("1", 200)):
        answer = await api.client.post(f"{page}/{api.account.email}/{amount}/settle")
        assert answer.status_code == status, amount
    assert (await api.client.post(f"{page}/nobody/5/settle")).status_code == 404
    assert (await api.simulator.add_money(str(api.account.id))).amount == 100 * MICROS
    assert await api.credit() == 123_345_678
    with pytest.raises(UsageError):
        await api.simulator.add_money("nobody")


# prepaid


async def test_prepaid_and_ended_early(api: VastApi) -> None:
    await api.pay("1000")
    offer = (await api.search(gpu_name={"eq": "RTX 4090"}))[0]
    made = await api.rent_running(offer["id"])
    price = Fraction(offer["dph_base"])
    month = str(float(price * 720))
    refused = await api.put(f"/api/v0/instances/prepay/{made}/", amount=5000)
    assert refused.error == (411, "insufficient_credit")
    answer = await api.put(f"/api/v0/instances/prepay/{made}/", amount=month)
    assert answer.data == {"success": True, "timescale": 1, "discount_rate": answer.data["discount_rate"]}
    assert Fraction(answer.data["discount_rate"]) == Fraction(1, 5)
    before = await api.credit()
    await api.advance(hours=100)
    storage = disk_cost(offer["storage_cost"], 16, 360_023) - disk_cost(offer["storage_cost"], 16, 23)
    assert before - await api.credit() == storage
    used, discount = gpu_cost(price * 4 / 5, 360_000), gpu_cost(price / 5, 360_000)
    rest = price * 720 * MICROS - used
    back = floor(rest - discount) - int(rest * Fraction(5, 100))
    shown = (await api.get(f"/api/v0/instances/balance/{made}/")).data
    assert to_micros(shown["refundable_deposit"]) == back
    assert (to_micros(shown["total_discount"]), shown["discount_months"]) == (discount, 1)
    await api.request("DELETE", f"/api/v0/instances/{made}/")
    assert before - await api.credit() == storage - back
    await check_books(api)


async def test_a_prepayment_that_is_used_up(api: VastApi) -> None:
    await api.pay("100")
    offer = (await api.search(gpu_name={"eq": "RTX 4090"}))[0]
    made = await api.rent_running(offer["id"])
    for _twice in range(2):
        await api.put(f"/api/v0/instances/prepay/{made}/", amount="1.5")
        await api.advance(hours=10)
    await check_books(api)
    expected = gpu_cost(offer["dph_base"], 3) + disk_cost(offer["storage_cost"], 16, 72_023)
    for amount in (Fraction("1.5"), Fraction("1.5")):
        months = amount / (Fraction(offer["dph_base"]) * 720)
        expected += gpu_cost(Fraction(offer["dph_base"]) * (1 - months / 5), 36_000)
    assert 110 * MICROS - await api.credit() == expected
    await api.request("DELETE", f"/api/v0/instances/{made}/")
    assert 110 * MICROS - await api.credit() == expected
    await check_books(api)


# the audit


async def test_two_instances_for_one_label(api: VastApi) -> None:
    first = await api.rent_running(label="trip-1")
    await api.rent_running(label="trip-2")
    assert await api.simulator.list_discrepancies() == []
    twin = await api.rent_running(label="trip-1")
    (found,) = await api.simulator.list_discrepancies()
    assert (found.kind, found.ref) == (DiscrepancyKind.DOUBLE_ORDER, str(twin))
    assert (found.account, found.amount.amount > 0) == (str(api.account.id), True)
    await api.request("DELETE", f"/api/v0/instances/{first}/")
    await api.request("DELETE", f"/api/v0/instances/{twin}/")
    await api.rent(label="trip-1")
    assert [found.ref for found in await api.simulator.list_discrepancies()] == [str(twin)]


async def test_charges_for_nothing_are_found(api: VastApi) -> None:
    made = await api.rent_running()
    instance = api.account.find_instance(made)
    assert instance is not None
    await api.request("DELETE", f"/api/v0/instances/{made}/")
    for meter in instance.meters:
        meter.ended_at = None
    await api.advance(hours=1)
    (found,) = await api.simulator.list_discrepancies()
    assert (found.kind, found.ref) == (DiscrepancyKind.UNUSED_PAYMENT, str(made))


async def test_books_agree_whatever_is_done() -> None:
    chance = random.Random(7)
    async with vast_api(credit="30", machines=3) as api:
        for _step in range(120):
            mine = [instance.id for instance in api.account.list_instances()]
            one = chance.choice(mine) if mine else 0
            act = chance.choice(
                ["rent", "stop", "start", "destroy", "reboot", "prepay", "pay", "wait", "wait"]
            )
            if act == "rent":
                await api.create(chance.choice(sorted(api.state.machines)), disk=chance.randint(8, 90))
            elif act in ("stop", "start"):
                state = "stopped" if act == "stop" else "running"
                await api.put(f"/api/v0/instances/{one}/", state=state)
            elif act == "destroy" and chance.random() < 0.4:
                await api.request("DELETE", f"/api/v0/instances/{one}/")
            elif act == "reboot":
                await api.put(f"/api/v0/instances/reboot/{one}/")
            elif act == "prepay":
                await api.put(f"/api/v0/instances/prepay/{one}/", amount="0.777777")
            elif act == "pay" and chance.random() < 0.3:
                await api.pay("3.000001")
            else:
                await api.advance(seconds=chance.uniform(0, 30_000))
        await check_books(api)
