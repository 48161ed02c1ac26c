"""A provider with many leases, in memory: each refresh is counted, and some never finish."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType

from attrs import define, evolve, field

from gpurent.cli.commands.top import make_lease_operations
from gpurent.cli.terminal import UserTerminal
from gpurent.cli.top.app import TopApp
from gpurent.cli.top.screen_terminal import ScreenTerminal
from gpurent.composition.application import Application
from gpurent.domain.access import MachineProfile
from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, Currency, Money, Rate, UnitPrice
from gpurent.domain.offer import Bill, Hardware, Offer, Order, Payment, Prepaid, Requirements
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import UnavailableError
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.ports.system import Clock
from gpurent.roles.account import Balance, BillingProvider, MoneyInstructions
from gpurent.roles.entries import BillingEntry, LeaseEntry
from gpurent.roles.hookspecs import hookimpl
from gpurent.roles.lease import LeaseProvider
from gpurent.workflow.reports.overview import LeaseOverview

PRICE = UnitPrice(Decimal("1.50"), CNY)


@define
class CountingProvider(LeaseProvider, BillingProvider):
    """Never answers for leases in ``hanging_leases``; raises an error for those in ``failing_leases``."""

    clock: Clock | None = None
    hanging_leases: set[str] = field(factory=set)
    failing_leases: set[str] = field(factory=set)
    refresh_counts: Counter[str] = field(factory=Counter)
    released_leases: list[str] = field(factory=list)

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(())

    async def reserve_lease(self, order: Order) -> Lease:
        raise UnavailableError("nothing is sold here")

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        raise UnavailableError("nothing is sold here")

    async def refresh_lease(self, lease: Lease) -> Lease:
        self.refresh_counts[lease.id] += 1
        if lease.id in self.hanging_leases:
            await asyncio.Event().wait()
        if lease.id in self.failing_leases:
            raise UnavailableError("the provider is under maintenance")
        return lease

    async def release_lease(self, lease: Lease) -> Lease:
        self.released_leases.append(lease.id)
        if lease.id in self.hanging_leases:
            await asyncio.Event().wait()
        return lease.with_state(LeaseState.RELEASED)

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Known(())

    async def get_balance(self) -> Balance:
        assert self.clock is not None
        return Balance(available=Money(0, CNY), at=self.clock.now())

    async def get_rate(self, quote: Currency) -> Rate:
        raise UnavailableError("no rate")

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        return MoneyInstructions(steps=())

    async def pay_bill(self, bill: Bill) -> Payment:
        raise UnavailableError("no payment")

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        at = lease.started_at
        assert at is not None
        return Known((Charge(at=at, kind=ChargeKind.USAGE, money=Money(150, CNY), ref=f"c-{lease.id}"),))


@define
class ManyLeases:
    application: Application
    terminal: ScreenTerminal
    provider: CountingProvider
    overview: LeaseOverview
    attached_leases: list[str] = field(factory=list)
    screens: ExitStack = field(factory=ExitStack)

    def make_screen(self, fresh: float = 3600.0) -> TopApp:
        """Return a screen that refreshes once and then only on request."""
        made = TopApp(self.overview, make_lease_operations(self.application), self._attach, fresh)
        self.screens.enter_context(self.terminal.redirect_to(made.show_status, made.confirm))
        return made

    def _attach(self, lease: str) -> int:
        self.attached_leases.append(lease)
        return 0


@asynccontextmanager
async def many_leases(home: Path, count: int, patience: float = 15.0) -> AsyncIterator[ManyLeases]:
    """Start with ``count`` leases in a journal of their own; later ones have less time left."""
    provider = CountingProvider()
    module = ModuleType("acme_plugin")

    def gpurent_register_lease() -> list[LeaseEntry]:
        profile = MachineProfile(user="root")
        entry = LeaseEntry(
            name="acme", summary="", build=lambda host: provider, auth="acme", billing="acme", profile=profile
        )
        return [entry]

    def gpurent_register_billing() -> list[BillingEntry]:
        return [BillingEntry(name="acme", summary="", build=lambda host: provider, currency="CNY")]

    module.gpurent_register_lease = hookimpl(gpurent_register_lease)  # type: ignore[attr-defined]
    module.gpurent_register_billing = hookimpl(gpurent_register_billing)  # type: ignore[attr-defined]
    registry = EntryPointRegistry.load(builtin=[builtin_entries, module], points=[])
    assert not registry.problems
    terminal = ScreenTerminal(UserTerminal(no_input=True))
    application = Application(registry, home / "state", {}, terminal)
    await application.start()
    provider.clock = application.clock
    now = application.clock.now()
    offer = Offer(
        key="m", provider="acme", hardware=Hardware(gpu="2080Ti", gpus=1), tariff=Prepaid(price=PRICE)
    )
    for number in range(count):
        ends = now + timedelta(hours=2 * count - number, minutes=30)
        lease = Lease(id=f"acme-{number:05}", provider="acme", offer=offer, ref=str(number))
        await application.store.save_lease(
            evolve(lease, state=LeaseState.READY, started_at=now - timedelta(hours=1), expires_at=ends)
        )
    overview = application.make_overview(timeout=patience)
    await overview.reload_leases()
    made = ManyLeases(application, terminal, provider, overview)
    try:
        yield made
    finally:
        made.screens.close()
        await overview.close()
        await application.aclose()
