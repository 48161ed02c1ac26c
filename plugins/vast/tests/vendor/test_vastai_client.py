"""The simulator judged by vast.ai's own client, `vastai` 1.9.1: what it prints and what gpurent shows must agree.

It exits 0 when the service refused: only its output counts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import define

from gpurent.api import Known, Lease, LeaseState
from plugins.vast.tests.vast_harness import VastHarness, vast_harness
from tests.vendor_client import VendorClient, make_vendor_client

pytestmark = pytest.mark.vendor


@define
class VastaiUser:
    """The same account through both."""

    harness: VastHarness
    client: VendorClient

    async def ask(self, *arguments: str) -> Any:
        done = await self.client.run("vastai", *arguments, "--raw")
        assert not done.stderr.strip(), done.stderr
        return json.loads(done.stdout)

    async def show(self, lease: Lease) -> Any:
        return await self.ask("show", "instance", lease.ref)


@pytest.fixture
async def both() -> AsyncIterator[VastaiUser]:
    async with vast_harness() as harness:
        environment = {
            "VAST_URL": harness.api.sandbox.simulators.urls["vast"],
            "VAST_API_KEY": harness.api.account.api_key,
            "VASTAI_NO_UPDATE_CHECK": "1",
        }
        yield VastaiUser(harness, make_vendor_client("vast", **environment))


async def test_both_find_the_same_offers_at_the_same_price(both: VastaiUser) -> None:
    offers = [offer for offer in await both.harness.list_offers() if offer.available]
    listed = await both.ask(
        "search",
        "offers",
        "-n",
        "num_gpus>=1 rentable=true rented=false",
        "--storage",
        "16",
        "-o",
        "dph_total",
    )
    shown = {offer.key: offer.tariff.price for offer in offers}
    listed_prices = {str(row["id"]): Decimal(str(row["dph_total"])) for row in listed}
    assert shown.keys() <= listed_prices.keys()
    for key, price in shown.items():
        assert abs(price.cost(timedelta(hours=1)).decimal - listed_prices[key]) <= Decimal("0.0001"), key


async def test_a_machine_of_gpurent_is_the_clients_own(both: VastaiUser) -> None:
    lease = await both.harness.rent_running()
    (row,) = await both.ask("show", "instances")
    assert (str(row["id"]), row["label"], row["actual_status"]) == (lease.ref, lease.label, "running")
    assert lease.endpoint is not None
    url = await both.client.run("vastai", "ssh-url", lease.ref)
    assert url.stdout.strip() == f"ssh://{lease.endpoint.user}@{lease.endpoint.host}:{lease.endpoint.port}"


async def test_stopped_and_started_by_either_is_seen_by_the_other(both: VastaiUser) -> None:
    lease = await both.harness.rent_running()
    stopped = await both.client.run("vastai", "stop", "instance", lease.ref)
    assert stopped.stdout.strip() == f"stopping instance {lease.ref}."
    await both.harness.api.advance(seconds=60)
    lease = await both.harness.refresh(lease)
    assert lease.state is LeaseState.STOPPED
    await both.client.run("vastai", "start", "instance", lease.ref)
    await both.harness.api.advance(seconds=60)
    lease = await both.harness.refresh(lease)
    assert lease.state is LeaseState.READY
    assert (await both.show(lease))["actual_status"] == "running"


async def test_a_machine_that_either_destroyed_is_gone_for_the_other(both: VastaiUser) -> None:
    one, other = await both.harness.rent_running("one"), await both.harness.rent_running("other")
    await both.client.run("vastai", "destroy", "instance", one.ref, "-y")
    # Not over: a machine that gpurent did not destroy may be absent from one answer only.
    assert (await both.harness.refresh(one)).state is LeaseState.MISSING
    assert [str(row["id"]) for row in await both.ask("show", "instances")] == [other.ref]
    await both.harness.release(other)
    assert await both.ask("show", "instances") == []
    again = await both.client.run("vastai", "destroy", "instance", other.ref, "-y")
    assert again.stderr.strip() == f"Failed with error 404: Instance {other.ref} not found."


async def test_gpurent_finds_a_machine_that_the_client_created(both: VastaiUser) -> None:
    offer = (await both.harness.list_offers())[0]
    wishes = ("--image", "pytorch/pytorch", "--disk", "16", "--ssh", "--direct")
    made = await both.ask("create", "instance", offer.key, *wishes)
    found = await both.harness.provider.list_leases()
    assert isinstance(found, Known)
    assert [machine.ref for machine in found.items] == [str(made["new_contract"])]


async def test_credit_and_charges_agree(both: VastaiUser) -> None:
    lease = await both.harness.rent_running()
    await both.harness.api.advance(hours=2)
    await both.harness.release(lease)
    credit = Decimal(str((await both.ask("show", "user"))["credit"]))
    assert (await both.harness.billing.get_balance()).available.decimal == credit
    span = ("--start-date", "2025-12-30", "--end-date", "2026-01-03")
    rows = (await both.ask("show", "invoices-v1", "--charges", *span, "--latest-first"))["results"]
    charged = sum(Decimal(str(row["amount"])) for row in rows if row["source"] == f"instance-{lease.ref}")
    assert charged == Decimal(10) - credit > 0
    paid = (await both.ask("show", "invoices-v1", "--invoices", *span))["results"]
    # Below zero, as documented.
    assert [Decimal(str(row["amount"])) for row in paid] == [Decimal(-10)]


async def test_the_client_prepays_and_shows_the_deposit(both: VastaiUser) -> None:
    lease = await both.harness.rent_running()
    prepaid = await both.client.run("vastai", "prepay", "instance", lease.ref, "1")
    assert "applying $1.0 credits" in prepaid.stdout
    deposit = await both.ask("show", "deposit", lease.ref)
    assert 0 < deposit["refundable_deposit"] <= 1
    assert (await both.harness.refresh(lease)).state is LeaseState.READY


async def test_the_client_names_what_the_service_refuses(both: VastaiUser) -> None:
    create = ("create", "instance", "999999999", "--image", "x", "--disk", "16", "--raw")
    refused = json.loads((await both.client.run("vastai", *create)).stderr)
    assert refused == {"error": True, "status_code": 404, "msg": "Offer 999999999 does not exist."}
    stranger = make_vendor_client("vast", **{**both.client.environment, "VAST_API_KEY": "wrong"})
    assert "401" in (await stranger.run("vastai", "show", "user")).stderr
