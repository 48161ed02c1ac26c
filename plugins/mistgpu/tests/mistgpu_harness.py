"""The MISTGPU simulator, and a user who has an account there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from attrs import define, evolve

from gpurent.api import CNY, Known, Lease, Offer, Order, OrderKind, Payment, Requirements, Secret
from gpurent.testing.lease_driver import refresh_as_core, release_as_core
from gpurent.testing.sandbox_harness import SandboxUser, SimulatorHarness, sandbox_harness
from gpurent_plugin_mistgpu.billing import MistgpuBilling
from gpurent_plugin_mistgpu.provider import MistgpuProvider
from gpurent_plugin_mistgpu.simulator.service import MistgpuSimulator
from gpurent_plugin_mistgpu.simulator.state import MistgpuState

NAME = "mistgpu"
USER = "student@example.com"


@define
class MistgpuHarness(SimulatorHarness):
    """The simulator and one user; ``provider`` and ``billing`` are built anew each time, as by a new process."""

    user: SandboxUser

    @property
    def simulator(self) -> MistgpuSimulator:
        return self.sandbox.simulator(NAME, MistgpuSimulator)

    @property
    def state(self) -> MistgpuState:
        return self.simulator.state

    @property
    def url(self) -> str:
        return self.sandbox.simulators.urls[NAME]

    @property
    def provider(self) -> MistgpuProvider:
        return self.user.provider(NAME, MistgpuProvider)

    @property
    def billing(self) -> MistgpuBilling:
        return self.user.billing(NAME, MistgpuBilling)

    async def top_up(self, yuan: str) -> None:
        """Top up as the user does: submit the form; then the sandbox pays."""
        await self.settle_payment((await self.billing.create_top_up(CNY.money(yuan))).url)

    async def settle_payment(self, payment_page: str) -> None:
        path = payment_page.removeprefix(self.url)
        answer = await self.sandbox.request(NAME, "POST", f"{path}/settle")
        assert answer.status == 200

    async def list_free_offers(self) -> list[Offer]:
        found = await self.provider.list_offers(Requirements())
        assert isinstance(found, Known)
        return [offer for offer in found.items if offer.available]

    async def reserve_lease(self, key: str = "k", offer: Offer | None = None) -> Lease:
        """Reserve the first free machine, or ``offer``."""
        self.user.vault(NAME).put(key, Secret("Good-password-1"))
        offer = offer or (await self.list_free_offers())[0]
        return await self.provider.reserve_lease(
            Order(key=key, kind=OrderKind.NEW, offer=offer, password_ref=key)
        )

    async def rent_lease(self, key: str = "k", offer: Offer | None = None) -> Lease:
        return await self.provider.confirm_lease(
            await self.reserve_lease(key, offer), self.make_zero_payment(key)
        )

    async def refresh_lease(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.clock.now())

    async def release_lease(self, lease: Lease) -> Lease:
        return await release_as_core(self.provider, lease, self.clock.now())

    async def confirm_after_lost_response(self, lease: Lease) -> Lease:
        """Confirm as a new process does, which finds on record that a request may have been sent."""
        assert lease.pending is not None
        sent = evolve(lease, pending=evolve(lease.pending, sent_at=self.clock.now()))
        return await self.provider.confirm_lease(sent, self.make_zero_payment())

    def make_zero_payment(self, key: str = "k") -> Payment:
        """Return the payment of a metered provider's bill, which is zero."""
        return Payment(key=key, proof="", amount=CNY.zero, at=self.clock.now())

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))


@asynccontextmanager
async def mistgpu_harness(**settings: str) -> AsyncIterator[MistgpuHarness]:
    """Run a simulator with one registered user; ``settings`` are the simulator's."""
    sandbox_settings = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with sandbox_harness(NAME, settings=sandbox_settings) as sandbox:
        form = {"username": Secret(USER), "password": Secret("student-pass")}
        assert (await sandbox.request(NAME, "POST", "/signup/", form=form)).status == 302
        user = sandbox.user()
        user.credentials[NAME] = form
        yield MistgpuHarness(sandbox, user)
