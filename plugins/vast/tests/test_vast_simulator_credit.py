"""Credit in the simulator of vast.ai: its end, its page, prepayments, and the audit of the books."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from fractions import Fraction
from math import floor

import pytest

from gpurent.api import DiscrepancyKind, UsageError
from plugins.vast.tests.vast_simulator_books import check_books, disk_cost, gpu_cost
from plugins.vast.tests.vast_simulator_harness import MICROS, VastApi, to_micros, vast_api


@pytest.fixture
async def api() -> AsyncIterator[VastApi]:
    async with vast_api() as made:
        yield made


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
