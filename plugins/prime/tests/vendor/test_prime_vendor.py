"""`prime`, Prime Intellect's own client, judges the simulator and what gpurent shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import define, evolve

from gpurent.api import Known, Lease, LeaseState, Money, Volume
from gpurent_plugin_prime import wire
from plugins.prime.tests.prime_harness import NAME, PrimeHarness, prime_harness
from tests.vendor_client import VendorClient, VendorResult, make_vendor_client

pytestmark = pytest.mark.vendor
READY = timedelta(minutes=1)


@define
class Both:
    """One account, seen by gpurent (``user``) and by the client."""

    user: PrimeHarness
    client: VendorClient

    async def run(self, *arguments: str) -> VendorResult:
        return await self.client.run("prime", *arguments)

    async def show(self, *arguments: str) -> Any:
        """Return the JSON that a command prints, with exact numbers."""
        done = await self.run(*arguments, "--output", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout, parse_float=Decimal)

    async def list_pods(self) -> Any:
        return (await self.show("pods", "list"))["pods"]


def make_client(user: PrimeHarness, key: str) -> VendorClient:
    return make_vendor_client(
        NAME,
        PRIME_API_BASE_URL=user.sandbox.simulators.urls[NAME],
        PRIME_API_KEY=key,
        PRIME_DISABLE_VERSION_CHECK="1",
        COLUMNS="300",
    )


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    async with prime_harness() as user:
        yield Both(user, make_client(user, user.account.api_key))


async def test_both_list_the_same_machines_at_the_same_price(both: Both) -> None:
    shown = (await both.show("availability", "list", "--no-group-similar"))["gpu_resources"]
    theirs = {
        (item["cloud_id"], item["provider"]): Decimal(str(item["price_value"]))
        for item in shown
        if not item["is_spot"] and item["gpu_type"] != "CPU_NODE" and item["cloud_id"] != "prepaid"
    }
    ours = {
        (offer.provider_data[wire.CLOUD], offer.provider_data[wire.OWNER]): offer.tariff.price.value
        for offer in await both.user.list_offers()
        if offer.available and offer.disk is not None and not offer.disk.price.value
    }
    assert ours
    for key, price in ours.items():
        assert theirs[key] == price


async def test_wallet_and_charges_agree(both: Both) -> None:
    lease = await both.user.rent_running("t-1")
    await both.user.advance(hours=2)
    await both.user.release(lease)
    shown = await both.show("wallet")
    balance = (await both.user.billing.get_balance()).available
    assert wire.USD.money(str(shown["balance_usd"])) == balance
    charges = await both.user.billing.list_charges(evolve(lease, state=LeaseState.RELEASED))
    assert isinstance(charges, Known)
    (row,), (charge,) = shown["recent_billings"], charges.items
    assert (row["id"], row["resource_id"]) == (charge.ref, lease.ref)
    assert wire.USD.money(str(row["amount_usd"])) == charge.money > Money(0, wire.USD)
    (history,) = (await both.show("pods", "history"))["history"]
    assert wire.USD.money(str(history["total_cost"])) == charge.money


async def test_a_pod_of_gpurent_is_seen_and_ended_by_the_client(both: Both) -> None:
    lease = await both.user.rent("t-1")
    (shown,) = await both.list_pods()
    assert (shown["id"], shown["name"], shown["status"]) == (lease.ref, "t-1", "PROVISIONING")
    await both.user.sandbox.advance(READY)
    seen = await both.user.refresh(lease)
    status = await both.show("pods", "status", lease.ref)
    assert (status["status"], seen.state) == ("ACTIVE", LeaseState.READY)
    assert seen.endpoint is not None
    assert f"root@{seen.endpoint.host} -p {seen.endpoint.port}" in str(status["ssh"])
    done = await both.run("pods", "terminate", lease.ref, "--yes")
    assert "Successfully terminated" in done.stdout, done.stdout + done.stderr
    assert (await both.user.refresh(seen)).state is LeaseState.RELEASED
    assert both.user.key_names == [], "gpurent deleted its key"


async def test_a_pod_of_the_client_is_seen_and_ended_by_gpurent(both: Both) -> None:
    offer = next(one for one in await both.user.list_offers() if one.available)
    chosen = offer.provider_data
    wanted = ("--cloud-id", chosen[wire.CLOUD], "--gpu-type", chosen[wire.GPU], "--gpu-count", "1")
    made = await both.run(
        *("pods", "create", *wanted, "--name", "theirs", "--disk-size", "100"),
        *("--image", "ubuntu_22_cuda_12", "--yes"),
    )
    assert "Successfully created pod" in made.stdout, made.stdout + made.stderr
    await both.user.sandbox.advance(READY)
    (lease,) = await both.user.list_leases()
    assert (lease.label, lease.state) == ("theirs", LeaseState.READY)
    assert lease.offer.tariff.price.value == offer.tariff.price.value
    ended = await both.user.provider.release_lease(evolve(lease, id="adopted"))
    assert isinstance(ended, Lease)
    assert ended.state is LeaseState.RELEASED
    assert await both.list_pods() == []


async def test_disks_are_those_of_the_client(both: Both) -> None:
    """What each creates, the other sees, and deletes."""
    volumes = both.user.provider
    places = await volumes.list_volume_offers()
    assert isinstance(places, Known)
    theirs = (await both.show("availability", "disks"))["disks"]
    ours = {(one.provider_data[wire.OWNER], one.provider_data["dataCenterId"]) for one in places.items}
    assert len(theirs) == len(ours)
    for one in theirs:
        assert any(one["provider"] == cloud and center in one["location"] for cloud, center in ours), one
    place = places.items[0]
    mine = Volume(provider=NAME, label="ours", place=place.place, size=50, provider_data=place.provider_data)
    made = await volumes.create_volume(mine)
    created = await both.run(
        *("disks", "create", "--size", "70", "--name", "theirs", "--yes"),
        *("--provider-type", place.provider_data[wire.OWNER]),
        *("--data-center-id", place.provider_data["dataCenterId"]),
    )
    assert created.returncode == 0, created.stdout + created.stderr
    shown = {one["name"]: one for one in (await both.show("disks", "list"))["disks"]}
    listed = await both.user.provider.list_volumes()
    assert isinstance(listed, Known)
    assert {one.label: (one.ref, one.size) for one in listed.items} == {
        name: (one["id"], one["size"]) for name, one in shown.items()
    }
    assert set(shown) == {"ours", "theirs"}
    done = await both.run("disks", "terminate", made.ref, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    other = next(one for one in listed.items if one.label == "theirs")
    await both.user.provider.delete_volume(other)
    assert (await both.show("disks", "list"))["disks"] == []


async def test_refusals_are_told_by_both(both: Both) -> None:
    stranger = await make_client(both.user, "wrong").run("prime", "wallet")
    assert "unauthorized" in (stranger.stdout + stranger.stderr).lower()
    missing = await both.run("pods", "terminate", "0" * 32, "--yes")
    assert "Pod not found" in missing.stdout + missing.stderr
    both.user.account.payments.clear()
    offer = next(one for one in await both.user.list_offers() if one.available)
    chosen = offer.provider_data
    poor = await both.run(
        *("pods", "create", "--cloud-id", chosen[wire.CLOUD], "--gpu-type", chosen[wire.GPU]),
        *(
            "--gpu-count",
            "1",
            "--name",
            "poor",
            "--disk-size",
            "100",
            "--image",
            "ubuntu_22_cuda_12",
            "--yes",
        ),
    )
    assert "Payment required" in poor.stdout + poor.stderr
