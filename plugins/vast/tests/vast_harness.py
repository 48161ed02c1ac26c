"""The simulator of vast.ai, and a user of the plugin who has an account there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from attrs import define, evolve

from gpurent.api import Known, Lease, Offer, Order, OrderKind, Payment, Requirements, Secret
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import make_public_key, refresh_as_core, release_as_core
from gpurent.testing.sandbox_harness import SandboxUser
from gpurent_plugin_vast import wire
from gpurent_plugin_vast.billing import VastBilling
from gpurent_plugin_vast.provider import VastProvider
from gpurent_plugin_vast.simulator.instances import VastInstance
from plugins.vast.tests.vast_simulator_harness import (
    NAME,
    SSH_AFTER,
    VastApi,
    vast_api,
)

GPU_FREE, TAKEN_AGAIN = timedelta(seconds=5), timedelta(minutes=10)


@define
class VastHarness:
    """``api``: the same account without the plugin. ``provider`` is built anew each time, as by a new process."""

    api: VastApi
    user: SandboxUser
    public_key: str

    @property
    def provider(self) -> VastProvider:
        return self.user.provider(NAME, VastProvider)

    def provider_with(self, faults: HttpFaults) -> VastProvider:
        return self.user.provider(NAME, VastProvider, faults=faults)

    @property
    def billing(self) -> VastBilling:
        return self.user.billing(NAME, VastBilling)

    @property
    def instance(self) -> VastInstance:
        """The account's only machine."""
        (found,) = self.api.account.instances
        return found

    async def list_offers(self, requirements: Requirements | None = None) -> list[Offer]:
        found = await self.provider.list_offers(requirements or Requirements())
        assert isinstance(found, Known)
        return list(found.items)

    async def reserve(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        """Reserve the cheapest machine, or ``offer``."""
        offer = offer or (await self.list_offers())[0]
        wanted = Order(key=key, kind=OrderKind.NEW, offer=offer, public_key=self.public_key)
        lease = await self.provider.reserve_lease(evolve(wanted, **order))
        return evolve(lease, id=f"vast-{key}", label=key)

    async def confirm(self, lease: Lease, provider: VastProvider | None = None) -> Lease:
        """Report the payment of nothing, as core does: the lease is noted as sent for a later call."""
        return await (provider or self.provider).confirm_lease(lease, self.make_payment(lease.label))

    def make_payment(self, key: str) -> Payment:
        return Payment(key=key, proof="", amount=wire.USD.zero, at=self.api.sandbox.clock.now())

    async def rent(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        return await self.confirm(await self.reserve(key, offer, **order))

    async def rent_running(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        lease = await self.rent(key, offer, **order)
        await self.api.sandbox.advance(SSH_AFTER)
        return await self.refresh(lease)

    async def refresh(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.api.sandbox.clock.now())

    async def release(self, lease: Lease) -> Lease:
        return await release_as_core(self.provider, lease, self.api.sandbox.clock.now())

    def mark_sent(self, lease: Lease) -> Lease:
        assert lease.pending is not None
        return evolve(lease, pending=evolve(lease.pending, sent_at=self.api.sandbox.clock.now()))


@asynccontextmanager
async def vast_harness(credit: str = "10", machines: int = 4, **settings: str) -> AsyncIterator[VastHarness]:
    """Run the simulator with a user who is logged in; ``settings`` are the simulator's."""
    async with vast_api(credit, machines, **settings) as api:
        user = api.sandbox.user()
        user.credentials[NAME] = {"api_key": Secret(api.account.api_key)}
        await user.login(NAME)
        yield VastHarness(api, user, make_public_key())
