"""The simulator of RunPod, a client of its APIs, and a user of the plugin who has an account there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
from attrs import define, evolve, frozen

from gpurent.api import Known, Lease, Offer, Order, OrderKind, Payment, Requirements, Secret
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import make_public_key, refresh_as_core, release_as_core
from gpurent.testing.sandbox_harness import SandboxUser, SimulatorHarness, sandbox_harness
from gpurent_plugin_runpod import wire
from gpurent_plugin_runpod.billing import RunpodBilling
from gpurent_plugin_runpod.provider import RunpodProvider
from gpurent_plugin_runpod.simulator.pods import RunpodPod
from gpurent_plugin_runpod.simulator.service import RunpodSimulator
from gpurent_plugin_runpod.simulator.state import RunpodAccount, RunpodState

NAME = "runpod"
MICROS = 10**6
RUNNING_AFTER, MAPPED_AFTER, SSH_AFTER = (timedelta(seconds=seconds) for seconds in (20, 25, 28))
GPU = "NVIDIA GeForce RTX 4090"


@frozen
class Answer:
    """A response; ``data`` is its JSON with exact numbers, None if it is none."""

    status: int
    text: str
    headers: dict[str, str]
    data: Any

    @property
    def problem(self) -> tuple[int, str]:
        """Status and text of a refusal, as the REST API writes one."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.data["status"] == self.status
        assert isinstance(self.data["title"], str)
        return self.status, self.data["detail"]


@define
class RunpodApi(SimulatorHarness):
    """The simulator, and calls to it as the first account."""

    client: httpx2.AsyncClient

    @property
    def simulator(self) -> RunpodSimulator:
        return self.sandbox.simulator(NAME, RunpodSimulator)

    @property
    def state(self) -> RunpodState:
        return self.simulator.state

    @property
    def account(self) -> RunpodAccount:
        return self.state.accounts[0]

    @property
    def pod(self) -> RunpodPod:
        """The account's only pod, terminated or not."""
        (found,) = self.account.pods
        return found

    async def request(self, method: str, path: str, *, key: str | None = None, **fields: Any) -> Answer:
        """Send one request; ``key``: empty for none, by default the first account's."""
        given = self.account.api_key if key is None else key
        headers = {"Authorization": f"Bearer {given}"} if given else {}
        found = await self.client.request(method, path, headers=headers, **fields)
        try:
            data = json.loads(found.text, parse_float=Decimal)
        except ValueError:
            data = None
        return Answer(found.status_code, found.text, dict(found.headers), data)

    async def get(self, path: str, **params: str) -> Answer:
        return await self.request("GET", path, params=params)

    async def post(self, path: str, **body: Any) -> Answer:
        return await self.request("POST", path, json=body)

    async def query(self, text: str) -> Any:
        """Return the data of a GraphQL query."""
        answer = await self.post("/graphql", query=text)
        assert answer.status == 200, answer.text
        assert "errors" not in answer.data, answer.text
        return answer.data["data"]

    async def pay(self, usd: str) -> None:
        answer = await self.client.post(f"/sandbox/pay/{self.account.id}/{usd}/settle")
        assert answer.status_code == 200, answer.text

    async def create(self, **fields: Any) -> Answer:
        """Create a pod that is reached by SSH, by default of one RTX 4090."""
        body = {
            "name": "pod",
            "image": "runpod/pytorch",
            "ports": ["22/tcp"],
            "startSsh": True,
            **({} if "cpu" in fields else {"gpu": {"id": GPU}}),
            **fields,
        }
        return await self.request("POST", "/v2/pods", json=body)

    async def rent(self, **fields: Any) -> str:
        answer = await self.create(**fields)
        assert answer.status == 201, answer.text
        return str(answer.data["id"])

    async def show(self, pod: str) -> dict[str, Any]:
        answer = await self.get(f"/v2/pods/{pod}")
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.data
        return found

    async def act(self, pod: str, action: str) -> Answer:
        return await self.post(f"/v2/pods/{pod}/action", action=action)

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))

    async def check_books(self) -> None:
        """Check that balance, billing history and ledger say the same, and that nothing is left over."""
        entries = self.simulator.list_ledger_entries()
        account = (await self.query("{ myself { clientBalance } }"))["myself"]
        assert sum(entry.amount.amount for entry in entries) == account["clientBalance"] * MICROS
        usage = -sum(entry.amount.amount for entry in entries if entry.kind == "usage")
        for bucket in ("hour", "day", "week"):
            found = (await self.get("/v2/billing", bucketSize=bucket, lastN="400")).data
            assert found["metadata"]["totals"]["totalAmount"] * MICROS == usage
            parts = [value for name, value in found["metadata"]["totals"].items() if name != "totalAmount"]
            assert sum(parts) * MICROS == usage
            assert sum(row["totalAmount"] for row in found["records"]) * MICROS == usage
        assert await self.simulator.list_discrepancies() == []


@define
class RunpodHarness:
    """``api``: the same account without the plugin. ``provider`` is built anew each time, as by a new process."""

    api: RunpodApi
    user: SandboxUser
    public_key: str

    @property
    def provider(self) -> RunpodProvider:
        return self.user.provider(NAME, RunpodProvider)

    def provider_with(self, faults: HttpFaults) -> RunpodProvider:
        return self.user.provider(NAME, RunpodProvider, faults=faults)

    @property
    def billing(self) -> RunpodBilling:
        return self.user.billing(NAME, RunpodBilling)

    async def list_offers(self, **wishes: Any) -> list[Offer]:
        found = await self.provider.list_offers(Requirements(**wishes))
        assert isinstance(found, Known)
        return [offer for offer in found.items if offer.available]

    async def reserve(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        """Reserve the first machine, or ``offer``."""
        offer = offer or (await self.list_offers())[0]
        wanted = Order(key=key, kind=OrderKind.NEW, offer=offer, public_key=self.public_key)
        lease = await self.provider.reserve_lease(evolve(wanted, **order))
        return evolve(lease, id=f"runpod-{key}", label=key)

    async def confirm(self, lease: Lease, provider: RunpodProvider | None = None) -> Lease:
        """Report the payment of nothing, as core does: the lease is noted as sent for a later call."""
        payment = Payment(key=lease.label, proof="", amount=wire.USD.zero, at=self.api.clock.now())
        return await (provider or self.provider).confirm_lease(lease, payment)

    async def rent(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        return await self.confirm(await self.reserve(key, offer, **order))

    async def rent_running(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        lease = await self.rent(key, offer, **order)
        await self.api.sandbox.advance(SSH_AFTER)
        return await self.refresh(lease)

    async def refresh(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.api.clock.now())

    async def release(self, lease: Lease) -> Lease:
        return await release_as_core(self.provider, lease, self.api.clock.now())

    def mark_sent(self, lease: Lease) -> Lease:
        assert lease.pending is not None
        return evolve(lease, pending=evolve(lease.pending, sent_at=self.api.clock.now()))


@asynccontextmanager
async def runpod_api(credit: str = "10", machines: int = 4, **settings: str) -> AsyncIterator[RunpodApi]:
    """Run the simulator, with an account that has ``credit`` USD; ``settings`` are the simulator's."""
    named = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with (
        sandbox_harness(NAME, machines=machines, settings=named) as sandbox,
        httpx2.AsyncClient(base_url=sandbox.simulators.urls[NAME], trust_env=False) as client,
    ):
        made = RunpodApi(sandbox, client)
        if credit != "0":
            await made.pay(credit)
        yield made


@asynccontextmanager
async def runpod_harness(
    credit: str = "10", machines: int = 4, config: dict[str, str] | None = None, **settings: str
) -> AsyncIterator[RunpodHarness]:
    """Run the simulator with a user who is logged in; ``config``: the plugin's settings."""
    async with runpod_api(credit, machines, **settings) as api:
        user = api.sandbox.user({NAME: config or {}})
        user.credentials[NAME] = {"api_key": Secret(api.account.api_key)}
        await user.login(NAME)
        yield RunpodHarness(api, user, make_public_key())
