"""The simulator of CompShare, a client that signs its own requests, and a user of the plugin with the same account."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from hashlib import sha1
from typing import Any

import httpx2
from attrs import define, evolve

from gpurent.api import Known, Lease, LeaseState, Offer, Order, OrderKind, Requirements, Secret
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import LeaseDriver, refresh_as_core, release_as_core
from gpurent.testing.sandbox_harness import SandboxUser, SimulatorHarness, sandbox_harness
from gpurent_plugin_compshare.billing import CompShareBilling
from gpurent_plugin_compshare.provider import CompShareProvider
from gpurent_plugin_compshare.simulator.accounts import CompShareAccount
from gpurent_plugin_compshare.simulator.instances import CompShareInstance
from gpurent_plugin_compshare.simulator.service import IMAGE, CompShareSimulator
from gpurent_plugin_compshare.simulator.state import CompShareState

NAME = "compshare"
UNITS = 10_000
PLACE = {"Region": "cn-wlcb", "Zone": "cn-wlcb-01"}
DISK = {"Disks.0.IsBoot": "true", "Disks.0.Type": "CLOUD_SSD", "Disks.0.Size": "100"}
CREATE = {
    **PLACE,
    **DISK,
    "GpuType": "4090",
    "GPU": "1",
    "CPU": "16",
    "Memory": "65536",
    "CompShareImageId": IMAGE,
    "ChargeType": "Postpay",
    "Name": "by-hand",
}
RUNNING_AFTER = timedelta(seconds=21)


@define
class CompShareHarness(SimulatorHarness):
    """``provider`` and ``billing`` are built anew each time, as by a new process."""

    client: httpx2.AsyncClient
    user: SandboxUser

    @property
    def simulator(self) -> CompShareSimulator:
        return self.sandbox.simulator(NAME, CompShareSimulator)

    @property
    def state(self) -> CompShareState:
        return self.simulator.state

    @property
    def account(self) -> CompShareAccount:
        return self.state.accounts[0]

    @property
    def instance(self) -> CompShareInstance:
        """The newest machine, perhaps a deleted one."""
        return self.account.instances[-1]

    @property
    def provider(self) -> CompShareProvider:
        return self.user.provider(NAME, CompShareProvider)

    def provider_with(self, faults: HttpFaults) -> CompShareProvider:
        return self.user.provider(NAME, CompShareProvider, faults=faults)

    @property
    def billing(self) -> CompShareBilling:
        return self.user.billing(NAME, CompShareBilling)

    # without the plugin

    async def send(self, action: str, **fields: str) -> dict[str, Any]:
        """Send one signed action, and return its answer with exact numbers."""
        form = {**fields, "Action": action, "PublicKey": self.account.public_key}
        text = "".join(key + form[key] for key in sorted(form)) + self.account.private_key
        form["Signature"] = sha1(text.encode(), usedforsecurity=False).hexdigest()
        return await self.post(form)

    async def post(self, form: dict[str, str]) -> dict[str, Any]:
        found = await self.client.post("/", data=form)
        assert found.status_code == 200
        answer: dict[str, Any] = json.loads(found.text, parse_float=Decimal)
        return answer

    async def show(self, instance: str) -> dict[str, Any]:
        answer = await self.send("DescribeCompShareInstance", **{"UHostIds.0": instance})
        (row,) = answer["UHostSet"]
        return dict(row)

    async def create(self, **fields: str) -> str:
        answer = await self.send("CreateCompShareInstance", **{**CREATE, **fields})
        assert answer["RetCode"] == 0, answer
        (made,) = answer["UHostIds"]
        return str(made)

    async def act(self, action: str, instance: str, **fields: str) -> int:
        """Send an action for a machine, and return its code."""
        answer = await self.send(action, UHostId=instance, **PLACE, **fields)
        return int(answer["RetCode"])

    async def pay(self, yuan: int) -> None:
        answer = await self.client.post(f"/sandbox/pay/{self.account.project}/{yuan}/settle")
        assert answer.status_code == 200, answer.text

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))

    # with the plugin

    async def list_offers(self, **wanted: Any) -> list[Offer]:
        found = await self.provider.list_offers(Requirements(**wanted))
        assert isinstance(found, Known)
        return list(found.items)

    def make_driver(self) -> LeaseDriver[CompShareProvider]:
        return LeaseDriver(self.user, NAME, CompShareProvider)

    async def rent(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        """Rent the first offer, or another one, and wait until it runs."""
        offer = offer or (await self.list_offers())[0]
        wanted = Order(key=key, kind=OrderKind.NEW, offer=offer, password_ref=f"password-{key}", gpus=1)
        driver = self.make_driver()
        await driver.rent_machine(evolve(wanted, **order))
        return driver.current_lease

    async def refresh(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.clock.now())

    async def release(self, lease: Lease) -> Lease:
        """Release once, as core does: it calls again until the lease is over."""
        return await release_as_core(self.provider, lease, self.clock.now())

    async def release_fully(self, lease: Lease) -> Lease:
        for _attempt in range(60):
            lease = await self.release(lease)
            if lease.is_over:
                return lease
            await self.advance(seconds=30)
        raise AssertionError(f"never over: {lease.note}")

    async def stop(self, lease: Lease) -> Lease:
        stopping = await self.provider.stop_lease(lease)
        assert isinstance(stopping, Lease)
        await self.advance(seconds=10)
        stopped = await self.refresh(stopping)
        assert stopped.state is LeaseState.STOPPED
        return stopped

    def sum_bills(self, resource: str) -> int:
        return sum(bill.amount for bill in self.account.bills if bill.resource == resource)


@asynccontextmanager
async def compshare_harness(
    money: int = 100, machines: int = 6, plugin: dict[str, str] | None = None, **settings: str
) -> AsyncIterator[CompShareHarness]:
    """Run the simulator with a user who is logged in. ``settings``: the simulator's; ``plugin``: the plugin's."""
    named = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with (
        sandbox_harness(NAME, machines=machines, settings=named) as sandbox,
        httpx2.AsyncClient(base_url=sandbox.simulators.urls[NAME], trust_env=False) as client,
    ):
        user = sandbox.user({NAME: plugin or {}})
        made = CompShareHarness(sandbox, client, user)
        user.credentials[NAME] = {
            "public_key": Secret(made.account.public_key),
            "private_key": Secret(made.account.private_key),
        }
        if money:
            await made.pay(money)
        await user.login(NAME)
        yield made
