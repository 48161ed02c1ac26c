"""The simulator of AutoDL, a client that speaks its API over HTTP, and a user of the plugin with an account there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
from attrs import define, evolve, frozen

from gpurent.api import Known, Lease, Offer, Order, OrderKind, Payment, Requirements, Secret
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import refresh_as_core, release_as_core
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox_harness import SandboxUser, SimulatorHarness, sandbox_harness
from gpurent_plugin_autodl.billing import AutodlBilling
from gpurent_plugin_autodl.provider import AutodlProvider
from gpurent_plugin_autodl.simulator.instances import AutodlInstance
from gpurent_plugin_autodl.simulator.service import AutodlSimulator
from gpurent_plugin_autodl.simulator.state import AutodlAccount
from gpurent_plugin_autodl.specs import CNY

NAME = "autodl"
PRO = "/api/v1/dev/instance/pro"
RUNNING_AFTER, SSH_AFTER = timedelta(seconds=13), timedelta(seconds=16)
SPEC = "v-48g"


@frozen
class Answer:
    """A response; ``code`` and ``data`` are those of its envelope."""

    status: int
    code: str
    msg: str
    data: Any


@define
class AutodlApi(SimulatorHarness):
    """The simulator, and calls to it as the first account."""

    client: httpx2.AsyncClient

    @property
    def simulator(self) -> AutodlSimulator:
        return self.sandbox.simulator(NAME, AutodlSimulator)

    @property
    def account(self) -> AutodlAccount:
        return self.simulator.state.accounts[0]

    async def request(self, method: str, path: str, *, token: str | None = None, **fields: Any) -> Answer:
        """Send one request; ``token``: by default the first account's, alone in its header."""
        headers = {"Authorization": self.account.token if token is None else token}
        found = await self.client.request(method, path, headers=headers, **fields)
        body = json.loads(found.text)
        assert set(body) == {"code", "data", "msg", "request_id"}
        return Answer(found.status_code, body["code"], body["msg"], body["data"])

    async def post(self, path: str, **body: Any) -> Answer:
        return await self.request("POST", path, json=body)

    async def pro(self, name: str, ref: str, **body: Any) -> Answer:
        return await self.post(f"{PRO}/{name}", instance_uuid=ref, **body)

    async def look(self, name: str, ref: str) -> Answer:
        return await self.request("GET", f"{PRO}/{name}", params={"instance_uuid": ref})

    async def status(self, ref: str) -> str:
        found = await self.look("status", ref)
        return str(found.data if found.code == "Success" else found.code)

    async def create(self, **body: Any) -> Answer:
        wish = {
            "req_gpu_amount": 1,
            "expand_system_disk_by_gb": 0,
            "gpu_spec_uuid": SPEC,
            "image_uuid": "base-image-l2t43iu6uk",
            "cuda_v_from": 118,
            **body,
        }
        return await self.post(
            f"{PRO}/create", **{name: value for name, value in wish.items() if value != ...}
        )

    async def rent(self, **body: Any) -> str:
        found = await self.create(**body)
        assert found.code == "Success", found
        return str(found.data)

    async def rent_running(self, **body: Any) -> str:
        ref = await self.rent(**body)
        await self.sandbox.advance(SSH_AFTER)
        assert await self.status(ref) == "running"
        return ref

    async def rent_shut(self, **body: Any) -> str:
        ref = await self.rent_running(**body)
        assert (await self.pro("power_off", ref)).code == "Success"
        await self.advance(seconds=10)
        assert await self.status(ref) == "shutdown"
        return ref

    async def list_rows(self, size: int = 100) -> list[dict[str, Any]]:
        return list((await self.post(f"{PRO}/list", page_index=1, page_size=size)).data["list"])

    async def assets(self) -> int:
        return int((await self.post("/api/v1/dev/wallet/balance")).data["assets"])

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))


@asynccontextmanager
async def autodl_api(yuan: int = 50, machines: int = 4, **settings: str) -> AsyncIterator[AutodlApi]:
    """Run the simulator, with an account that has ``yuan``; ``settings`` are the simulator's."""
    named = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with (
        sandbox_harness(NAME, machines=machines, settings=named) as sandbox,
        httpx2.AsyncClient(base_url=sandbox.simulators.urls[NAME], trust_env=False) as client,
    ):
        made = AutodlApi(sandbox, client)
        if yuan:
            paid = await client.post(f"/sandbox/pay/{made.account.uid}/{yuan}/settle")
            assert paid.status_code == 200
        yield made


@define
class AutodlHarness:
    """``api``: the same account without the plugin. ``provider`` is built anew each time, as by a new process."""

    api: AutodlApi
    user: SandboxUser

    @property
    def provider(self) -> AutodlProvider:
        return self.user.provider(NAME, AutodlProvider)

    def provider_with(self, faults: HttpFaults) -> AutodlProvider:
        return self.user.provider(NAME, AutodlProvider, faults=faults)

    @property
    def faults(self) -> ServiceFaults:
        return self.api.sandbox.simulators.faults

    @property
    def billing(self) -> AutodlBilling:
        return self.user.billing(NAME, AutodlBilling)

    @property
    def instance(self) -> AutodlInstance:
        """The account's only machine."""
        (found,) = self.api.account.instances
        return found

    async def list_offers(self, requirements: Requirements | None = None) -> list[Offer]:
        found = await self.provider.list_offers(requirements or Requirements())
        assert isinstance(found, Known)
        return list(found.items)

    async def reserve(self, key: str = "k", machine: str = SPEC, **order: Any) -> Lease:
        (offer,) = await self.list_offers(Requirements(machine=machine))
        wanted = Order(key=key, kind=OrderKind.NEW, offer=offer, password_ref=f"password-{key}")
        lease = await self.provider.reserve_lease(evolve(wanted, **order))
        return evolve(lease, id=f"autodl-{key}", label=key)

    async def confirm(self, lease: Lease, provider: AutodlProvider | None = None) -> Lease:
        payment = Payment(key=lease.label, proof="", amount=CNY.zero, at=self.api.sandbox.clock.now())
        return await (provider or self.provider).confirm_lease(lease, payment)

    async def rent_running(self, key: str = "k", machine: str = SPEC) -> Lease:
        lease = await self.confirm(await self.reserve(key, machine))
        await self.api.sandbox.advance(SSH_AFTER)
        return await self.refresh(lease)

    async def stop(self, lease: Lease) -> Lease:
        found = await self.provider.stop_lease(lease)
        assert isinstance(found, Lease)
        await self.api.advance(seconds=10)
        return await self.refresh(found)

    async def refresh(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.api.sandbox.clock.now())

    async def release(self, lease: Lease) -> Lease:
        """Release until the lease is over, as core does."""
        for _call in range(20):
            lease = await release_as_core(self.provider, lease, self.api.sandbox.clock.now())
            if lease.is_over:
                return lease
            await self.api.advance(seconds=6)
            lease = await self.refresh(lease)
        raise AssertionError(f"never released: {lease}")

    async def sum_charges(self, lease: Lease) -> int:
        found = await self.billing.list_charges(lease)
        assert isinstance(found, Known)
        return sum(charge.money.amount for charge in found.items)

    def mark_sent(self, lease: Lease) -> Lease:
        assert lease.pending is not None
        return evolve(lease, pending=evolve(lease.pending, sent_at=self.api.sandbox.clock.now()))


@asynccontextmanager
async def autodl_harness(
    yuan: int = 50, machines: int = 4, *, prices: str | None = None, **settings: str
) -> AsyncIterator[AutodlHarness]:
    """Run the simulator with a user who is logged in; ``prices``: what he declared, by default all of them."""
    async with autodl_api(yuan, machines, **settings) as api:
        user = api.sandbox.user()
        if prices is not None:
            user.config[NAME] = {**user.config.get(NAME, {}), "prices": prices}
        user.credentials[NAME] = {"api_key": Secret(api.account.token)}
        await user.login(NAME)
        yield AutodlHarness(api, user)
