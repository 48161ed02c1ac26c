"""`lai`, generated from Lambda Cloud's OpenAPI document, judges the simulator and what gpurent shows.

It fails with a message on stderr, and knows no balance and no charges.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncssh
import pytest
from attrs import define, evolve

from gpurent.api import Known, Lease, LeaseState, Offer, Order, OrderKind, Payment, Requirements, Secret
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser, sandbox_harness
from gpurent_plugin_lambda import wire
from gpurent_plugin_lambda.simulator.service import LambdaSimulator
from tests.vendor_client import VendorClient, VendorResult, make_vendor_client

pytestmark = pytest.mark.vendor
NAME = "lambda"
BOOTED = timedelta(minutes=1)


@define
class Both:
    """One account, seen by gpurent and by the client."""

    sandbox: SandboxHarness
    user: SandboxUser
    client: VendorClient

    async def run(self, *arguments: str) -> VendorResult:
        return await self.client.run("lai", *arguments)

    async def show(self, *arguments: str) -> Any:
        """Return the JSON that a command prints."""
        done = await self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def list_offers(self) -> list[Offer]:
        found = await self.user.provider(NAME).list_offers(Requirements())
        assert isinstance(found, Known)
        return [offer for offer in found.items if offer.available]

    async def list_leases(self) -> list[Lease]:
        found = await self.user.provider(NAME).list_leases()
        assert isinstance(found, Known)
        return [lease for lease in found.items if not lease.is_over]

    async def rent(self, key: str) -> Lease:
        provider = self.user.provider(NAME)
        line = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
        offer = (await self.list_offers())[0]
        order = Order(key=key, kind=OrderKind.NEW, offer=offer, public_key=line)
        lease = evolve(await provider.reserve_lease(order), id=key, label=key)
        payment = Payment(key=key, proof="", amount=wire.USD.zero, at=self.sandbox.clock.now())
        return await provider.confirm_lease(lease, payment)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    async with sandbox_harness(NAME, machines=4) as sandbox:
        key = sandbox.simulator(NAME, LambdaSimulator).state.accounts[0].api_key
        user = sandbox.user()
        user.credentials[NAME] = {"api_key": Secret(key)}
        await user.login(NAME)
        client = make_vendor_client(
            NAME, LAMBDA_CLOUD_BASE_URL=sandbox.simulators.urls[NAME], LAMBDA_CLOUD_TOKEN=key, COLUMNS="300"
        )
        yield Both(sandbox, user, client)


async def test_both_list_the_same_types_at_the_same_price(both: Both) -> None:
    listed = await both.show("types", "--json")
    theirs = {
        f"{item['instance_type']['name']}@{region['name']}": item["instance_type"]["price_cents_per_hour"]
        for item in listed
        for region in item["regions_with_capacity_available"]
        if item["instance_type"]["specs"]["gpus"]
    }
    ours = {offer.key: int(offer.tariff.price.value * 100) for offer in await both.list_offers()}
    assert theirs == ours
    table = (await both.run("types", "--available", "--gpu", "A10")).stdout
    assert "0.75" in table
    assert "us-west-1" in table


async def test_a_machine_of_gpurent_is_seen_and_ended_by_the_client(both: Both) -> None:
    lease = await both.rent("t-1")
    (shown,) = await both.show("ls", "--json")
    assert (shown["id"], shown["name"], shown["status"]) == (lease.ref, "t-1", "booting")
    assert shown["ssh_key_names"] == ["t-1"]
    await both.sandbox.advance(BOOTED)
    shown = await both.show("get", "t-1")
    seen = await both.user.provider(NAME).refresh_lease(lease)
    assert isinstance(seen, Lease)
    assert (shown["status"], seen.state) == ("active", LeaseState.READY)
    assert seen.endpoint is not None
    assert shown["ip"] == f"{seen.endpoint.host}:{seen.endpoint.port}"
    assert [key["name"] for key in await both.show("keys", "--json")] == ["t-1"]
    done = await both.run("stop", "t-1")
    assert done.returncode == 0, done.stderr
    await both.sandbox.advance(BOOTED)
    ended = await both.user.provider(NAME).refresh_lease(lease)
    assert isinstance(ended, Lease)
    assert ended.state is LeaseState.RELEASED
    assert await both.show("keys", "--json") == [], "gpurent deleted its key"


async def test_a_machine_of_the_client_is_seen_and_ended_by_gpurent(both: Both) -> None:
    simulator = both.sandbox.simulator(NAME, LambdaSimulator)
    line = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    simulator.state.add_key(simulator.state.accounts[0], "mine", line)
    started = await both.run(
        "start", "--instance-type", "gpu_1x_a10", "--ssh-key", "mine", "--name", "theirs"
    )
    assert started.returncode == 0, started.stderr
    await both.sandbox.advance(BOOTED)
    (lease,) = await both.list_leases()
    assert (lease.label, lease.state, lease.offer.key) == ("theirs", LeaseState.READY, "gpu_1x_a10@us-west-1")
    ended = await both.user.provider(NAME).release_lease(evolve(lease, id="adopted"))
    assert isinstance(ended, Lease)
    assert ended.state is LeaseState.RELEASED
    (shown,) = await both.show("ls", "--json")
    assert shown["status"] == "terminating"
    assert [key["name"] for key in await both.show("keys", "--json")] == ["mine"], "it is not ours to delete"


async def test_refusals_are_told_by_both(both: Both) -> None:
    sold_out = await both.run("start", "--instance-type", "gpu_1x_rtx6000", "--ssh-key", "mine")
    assert sold_out.returncode != 0
    no_key = await both.run("start", "--instance-type", "gpu_1x_a10", "--ssh-key", "mine")
    assert "404" in no_key.stderr or "does not exist" in no_key.stderr
    unknown = await both.run("stop", "nobody")
    assert unknown.returncode != 0
    assert "nobody" in unknown.stderr
    stranger = make_vendor_client(
        NAME, LAMBDA_CLOUD_BASE_URL=both.sandbox.simulators.urls[NAME], LAMBDA_CLOUD_TOKEN="wrong"
    )
    refused = await stranger.run("lai", "ls")
    assert "401" in refused.stderr or "invalid" in refused.stderr
