"""The money of the simulator of vast.ai, to the micro-USD, against a sum that is made here from prices and times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from gpurent.api import DiscrepancyKind
from plugins.vast.tests.vast_simulator_books import DAY_SECONDS, check_books, disk_cost, gpu_cost
from plugins.vast.tests.vast_simulator_harness import MICROS, VastApi, to_micros, vast_api


@pytest.fixture
async def api() -> AsyncIterator[VastApi]:
    async with vast_api() as made:
        yield made


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
