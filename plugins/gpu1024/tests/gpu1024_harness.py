"""The provider's simulator with its ledger, and renters with a wallet and a mailbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

from attrs import define

from gpurent.api import (
    Known,
    Offer,
    Order,
    OrderKind,
    ProviderSimulator,
    Requirements,
)
from gpurent.testing.fakes import HttpFaults, MemoryVault
from gpurent.testing.lease_driver import LeaseDriver
from gpurent.testing.sandbox_harness import SandboxUser, SimulatorHarness, sandbox_harness
from gpurent_plugin_gpu1024.plugin import NAME
from gpurent_plugin_gpu1024.provider import Gpu1024Provider
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder
from gpurent_plugin_gpu1024.simulator.service import Gpu1024Simulator
from gpurent_plugin_gpu1024.simulator.state import Gpu1024State

LEDGER = "dbc"
UNITS = 10**8
DAY = timedelta(days=1)
POLL_INTERVAL = timedelta(seconds=30)
Driver = LeaseDriver[Gpu1024Provider]
_numbers = count(1)


@define
class Gpu1024Renter:
    """One wallet's user. `make_driver` and `provider` act as new processes of theirs."""

    harness: Gpu1024Harness
    user: SandboxUser
    address: str

    @property
    def balance_units(self) -> int:
        """The balance according to the ledger."""
        lines = self.harness.ledger.list_ledger_entries()
        return sum(line.amount.amount for line in lines if line.account == self.address)

    @property
    def email(self) -> str:
        return self.user.mail.address

    @property
    def vault(self) -> MemoryVault:
        return self.user.vault(NAME)

    @property
    def provider(self) -> Gpu1024Provider:
        return self.user.provider(NAME, Gpu1024Provider)

    def make_driver(self, **faults: Any) -> Driver:
        """Return a driver; ``faults``: see `HttpFaults`. It polls rarely, so that most of its calls differ."""
        return LeaseDriver(self.user, NAME, Gpu1024Provider, POLL_INTERVAL, HttpFaults(**faults))

    async def top_up(self, amount: str = "100000") -> None:
        await self.harness.sandbox.post(LEDGER, "/sandbox/faucet", address=self.address, amount=amount)

    async def bind_email(self) -> None:
        binding = await self.provider.request_binding(self.email, f"bind-{self.address}")
        assert binding.bill is not None
        payment = await self.user.billing(NAME).pay_bill(binding.bill)
        while not (binding := await self.provider.complete_binding(binding, payment)).done:
            self.harness.clock.advance(timedelta(seconds=15))

    async def find_offer(self, gpu: str = "2080Ti", provider: Gpu1024Provider | None = None) -> Offer:
        """Return the first free machine with that GPU, listed by ``provider`` or by a new process."""
        found = await (provider or self.provider).list_offers(Requirements(gpu=gpu))
        assert isinstance(found, Known)
        return next(o for o in found.items if o.available and o.hardware.gpu == gpu)

    async def make_order(
        self, kind: OrderKind = OrderKind.NEW, provider: Gpu1024Provider | None = None, **more: Any
    ) -> Order:
        order_fields = {"term": DAY, "password_ref": "password", **more}
        if "offer" not in order_fields:
            order_fields["offer"] = await self.find_offer(provider=provider)
        return Order(key=f"trip-{next(_numbers)}", kind=kind, **order_fields)

    def list_orders(self) -> list[ContainerOrder]:
        """Return the wallet's created orders, according to the simulator."""
        orders = self.harness.state.orders.values()
        return [order for order in orders if order.wallet == self.address and order.created]


@define
class Gpu1024Harness(SimulatorHarness):
    """Everything outside a renter's computer."""

    @property
    def simulator(self) -> Gpu1024Simulator:
        return self.sandbox.simulator(NAME, Gpu1024Simulator)

    @property
    def state(self) -> Gpu1024State:
        return self.simulator.state

    @property
    def ledger(self) -> ProviderSimulator:
        return self.sandbox.simulators.simulators[LEDGER]

    async def make_unfunded_renter(self) -> Gpu1024Renter:
        """Return a renter with a new key and nothing else."""
        user = self.sandbox.user()
        return Gpu1024Renter(self, user, (await user.login(NAME)).account)

    async def make_renter(self) -> Gpu1024Renter:
        """Return a renter with money and a bound e-mail address."""
        made = await self.make_unfunded_renter()
        await made.top_up()
        await made.bind_email()
        return made

    def check_ledgers_agree(self) -> None:
        """Check that simulator and ledger agree to the last unit, for every wallet that the simulator knows."""
        billed = Counter((line.account, line.amount.amount) for line in self.simulator.list_ledger_entries())
        wallets = {account for account, _amount in billed}
        assert billed == Counter(
            (line.account, line.amount.amount)
            for line in self.ledger.list_ledger_entries()
            if line.account in wallets and line.kind != "bought"
        )


@asynccontextmanager
async def gpu1024_harness(machines: int = 4) -> AsyncIterator[Gpu1024Harness]:
    async with sandbox_harness(LEDGER, NAME, machines=machines) as sandbox:
        yield Gpu1024Harness(sandbox)
