"""The simulator of Prime Intellect, a client that speaks its API, and a user of the plugin who has an account there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
from attrs import define, evolve

from gpurent.api import Known, Lease, Offer, Order, OrderKind, Payment, Requirements, Secret
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import make_public_key, refresh_as_core, release_as_core
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser, sandbox_harness
from gpurent_plugin_prime import wire
from gpurent_plugin_prime.billing import PrimeBilling
from gpurent_plugin_prime.provider import PrimeProvider
from gpurent_plugin_prime.simulator.service import PrimeSimulator
from gpurent_plugin_prime.simulator.state import Pod, PrimeAccount, PrimeState

NAME = "prime"
READY_AFTER = timedelta(seconds=60)


@define
class PrimeHarness:
    """``client`` calls the API as the same account. ``provider`` is built anew each time, as by a new process."""

    sandbox: SandboxHarness
    client: httpx2.AsyncClient
    user: SandboxUser
    public_key: str

    @property
    def simulator(self) -> PrimeSimulator:
        return self.sandbox.simulator(NAME, PrimeSimulator)

    @property
    def state(self) -> PrimeState:
        return self.simulator.state

    @property
    def account(self) -> PrimeAccount:
        return self.state.accounts[0]

    @property
    def pod(self) -> Pod:
        """The account's only pod."""
        (found,) = self.account.pods
        return found

    @property
    def key_names(self) -> list[str]:
        return [key.name for key in self.account.keys.values()]

    @property
    def provider(self) -> PrimeProvider:
        return self.user.provider(NAME, PrimeProvider)

    def provider_with(self, faults: HttpFaults) -> PrimeProvider:
        return self.user.provider(NAME, PrimeProvider, faults=faults)

    @property
    def billing(self) -> PrimeBilling:
        return self.user.billing(NAME, PrimeBilling)

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        """Return status and JSON, with exact numbers, of a call below /api/v1."""
        answer = await self.client.request(method, f"/api/v1{path}", **fields)
        return answer.status_code, json.loads(answer.text, parse_float=Decimal)

    async def list_offers(self, **wishes: Any) -> list[Offer]:
        found = await self.provider.list_offers(evolve(Requirements(), **wishes))
        assert isinstance(found, Known)
        return list(found.items)

    async def list_leases(self) -> list[Lease]:
        found = await self.provider.list_leases()
        assert isinstance(found, Known)
        return list(found.items)

    async def reserve(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        """Reserve the first machine that is free, or ``offer``."""
        offer = offer or next(one for one in await self.list_offers() if one.available)
        wanted = Order(key=key, kind=OrderKind.NEW, offer=offer, public_key=self.public_key)
        lease = await self.provider.reserve_lease(evolve(wanted, **order))
        return evolve(lease, id=f"prime-{key}", label=key)

    async def confirm(self, lease: Lease, provider: PrimeProvider | None = None) -> Lease:
        payment = Payment(key=lease.label, proof="", amount=wire.USD.zero, at=self.sandbox.clock.now())
        return await (provider or self.provider).confirm_lease(lease, payment)

    async def rent(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        return await self.confirm(await self.reserve(key, offer, **order))

    async def rent_running(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        lease = await self.rent(key, offer, **order)
        await self.sandbox.advance(READY_AFTER)
        return await self.refresh(lease)

    async def refresh(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.sandbox.clock.now())

    async def release(self, lease: Lease) -> Lease:
        return await release_as_core(self.provider, lease, self.sandbox.clock.now())

    def mark_sent(self, lease: Lease) -> Lease:
        assert lease.pending is not None
        return evolve(lease, pending=evolve(lease.pending, sent_at=self.sandbox.clock.now()))

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))


@asynccontextmanager
async def prime_harness(usd: str = "50", machines: int = 6, **settings: str) -> AsyncIterator[PrimeHarness]:
    """Run the simulator with a user who is logged in and has paid in ``usd``; ``settings`` are the simulator's."""
    named = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with sandbox_harness(NAME, machines=machines, settings=named) as sandbox:
        account = sandbox.simulator(NAME, PrimeSimulator).state.accounts[0]
        async with httpx2.AsyncClient(
            base_url=sandbox.simulators.urls[NAME],
            headers={"Authorization": f"Bearer {account.api_key}"},
            trust_env=False,
        ) as client:
            user = sandbox.user()
            user.credentials[NAME] = {"api_key": Secret(account.api_key)}
            await user.login(NAME)
            if usd != "0":
                paid = await client.post(f"/sandbox/pay/{account.wallet_id}/{usd}/settle")
                assert paid.status_code == 200, paid.text
            yield PrimeHarness(sandbox, client, user, make_public_key())
