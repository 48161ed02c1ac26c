"""A provider with its simulators, and a user whose account has money: what a contract's test works with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import TypeVar

from attrs import define, evolve, field

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Bill, Metered, Offer, Order, OrderKind, Prepaid
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError, UnexpectedResponse
from gpurent.roles.account import Authenticator, Balance, BillingProvider, Login, PostpaidBilling
from gpurent.roles.lease import LeaseProvider, SupportsMailBinding
from gpurent.roles.simulator import ProviderSimulator, SupportsAudit, SupportsFunding
from gpurent.testing.contracts.provider.bad_answers import list_plugin_calls
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.fakes import HttpFaults, ManualClock
from gpurent.testing.lease_driver import LeaseDriver, make_public_key
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser

Driver = LeaseDriver[LeaseProvider]
T = TypeVar("T")
PASSWORD = "Contract-pass-7"
PASSWORD_REF = "contract-password"
RETRIED_ERRORS = (UnavailableError, UnexpectedResponse)
"""After these, core calls again later; anything else tells the user that the order failed."""
COMPUTED_LATE_POLLS = 4
"""Polls after which a computed start and end of billing are known, also if an answer was lost."""
_INCOMING = (ChargeKind.REFUND, ChargeKind.DEPOSIT_REFUND, ChargeKind.TOP_UP)


@define(kw_only=True)
class OpenProvider:
    """The sandbox of one test. ``provider``, ``billing`` and drivers are new processes of the one user each time."""

    setup: ProviderSetup
    sandbox: SandboxHarness
    user: SandboxUser
    account: str
    funding: SupportsFunding
    public_key: str = field(init=False)
    _numbers: count[int] = field(factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.public_key = make_public_key()

    @property
    def name(self) -> str:
        return self.setup.name

    @property
    def clock(self) -> ManualClock:
        return self.sandbox.clock

    @property
    def faults(self) -> ServiceFaults:
        return self.sandbox.simulators.faults

    @property
    def provider(self) -> LeaseProvider:
        return self.user.provider(self.name)

    @property
    def billing(self) -> BillingProvider:
        return self.user.billing(self.name)

    @property
    def authenticator(self) -> Authenticator:
        return self.user.authenticator(self.name)

    @property
    def login(self) -> Login:
        return self.user.logins[self.setup.entry.auth]

    @property
    def ledger(self) -> ProviderSimulator:
        """The simulator that keeps the account's money."""
        found: object = self.funding
        assert isinstance(found, ProviderSimulator)
        return found

    @property
    def simulator(self) -> ProviderSimulator:
        """The simulator that has the machines."""
        return self.sandbox.simulators.simulators[self.name]

    def make_driver(self, faults: HttpFaults | None = None) -> Driver:
        """Return a driver that calls again after whatever core calls again after."""
        return LeaseDriver(
            self.user,
            self.name,
            LeaseProvider,  # type: ignore[type-abstract]
            self.setup.poll_interval,
            faults or HttpFaults(),
            retried_errors=RETRIED_ERRORS,
        )

    # what a new process answers

    async def list_leases(self) -> Known[Lease] | Unknown:
        return await self.provider.list_leases()

    async def get_balance(self) -> Balance:
        return await self.billing.get_balance()

    # offers and orders

    async def list_offers(self) -> Sequence[Offer]:
        """Return the offers that may be rented."""
        found = await self.provider.list_offers(self.setup.requirements)
        assert isinstance(found, Known), f"no offers: {found}"
        return [offer for offer in found.items if offer.available and self.setup.wants(offer)]

    async def make_order(self, key: str = "", offer: Offer | None = None) -> Order:
        """Return the order of a machine, by default the first, with what core adds to it."""
        if offer is None:
            offers = await self.list_offers()
            assert offers, "the simulator has no machine to rent"
            offer = offers[0]
        order = Order(
            key=key or f"contract-{next(self._numbers)}",
            kind=OrderKind.NEW,
            offer=offer,
            term=self.find_term(offer),
            gpus=1 if offer.hardware.gpu else 0,
        )
        return self.complete_order(order)

    def find_term(self, offer: Offer) -> timedelta | None:
        tariff = offer.tariff
        return (self.setup.term or tariff.minimum) if isinstance(tariff, Prepaid) else None

    def complete_order(self, order: Order) -> Order:
        """Return the order with the password or key that core gives to the machine."""
        if self.setup.entry.key_only:
            return evolve(order, public_key=self.public_key)
        reference = f"{PASSWORD_REF}-{order.key}"
        self.user.vault(self.name).put(reference, Secret(PASSWORD))
        return evolve(order, password_ref=reference)

    async def rent(self, order: Order | None = None) -> Driver:
        """Rent a machine and wait until it is ready."""
        driver = self.make_driver()
        await driver.rent_machine(order or await self.make_order())
        return driver

    async def bind_mail(self) -> None:
        """Bind the user's address to the account, if the provider needs that."""
        binder: object = self.provider
        if not isinstance(binder, SupportsMailBinding) or await binder.get_bound_email():
            return
        binding = await binder.request_binding(self.user.mail.address, f"bind-{self.account}")
        payment = None if binding.bill is None else await self.billing.pay_bill(binding.bill)
        for _attempt in range(20):
            binding = await binder.complete_binding(binding, payment)
            if binding.done:
                return
            await self.advance(self.setup.poll_interval)
        raise AssertionError("the binding of the address never ended")

    # time, money and calls

    async def advance(self, span: timedelta) -> None:
        await self.sandbox.advance(span)

    async def settle(self) -> None:
        """Let an hour pass, in which refunds and bookings arrive."""
        for _step in range(4):
            await self.advance(timedelta(minutes=15))

    def sum_ledger(self) -> int:
        """Return what the account has by the simulator's ledger, in minor units."""
        lines = self.ledger.list_ledger_entries()
        return sum(line.amount.amount for line in lines if line.account == self.account)

    @property
    def is_postpaid(self) -> bool:
        """Whether the service bills afterwards, and states neither balance nor charges."""
        return isinstance(self.billing, PostpaidBilling)

    def check_charges(self, charges: Sequence[Charge], lease: Lease, taken: int) -> None:
        """Check that the charges are what the lease took from the ledger; computed ones may be a little more."""
        total = -sum(sign_charge(charge) for charge in charges)
        if not self.is_postpaid:
            assert total == taken
            return
        tariff = lease.offer.tariff
        assert isinstance(tariff, Metered)
        slack = tariff.price.cost(COMPUTED_LATE_POLLS * self.setup.poll_interval + tariff.billing_increment)
        assert taken <= total <= taken + slack.amount, f"{total} computed, {taken} was taken"

    def list_billed_machines(self) -> list[str]:
        return list(self.simulator.list_billed_machines())

    async def list_discrepancies(self) -> list[str]:
        found = []
        for name, simulator in self.sandbox.simulators.simulators.items():
            audited: object = simulator
            if isinstance(audited, SupportsAudit):
                found += [
                    f"{name}: {one.kind.value} {one.ref} {one.amount}"
                    for one in await audited.list_discrepancies()
                ]
        return found

    def list_calls(self, since: int = 0) -> list[str]:
        """Return the plugin's calls after the first ``since`` of all calls, as ``service METHOD /path``."""
        found = list_plugin_calls(self.faults, since)
        return [f"{call.service} {call.method} {call.path}" for call in found]


def sign_charge(charge: Charge) -> int:
    """Return what a charge does to the balance, in minor units."""
    return charge.money.amount if charge.kind in _INCOMING else -charge.money.amount


def show_lease(lease: Lease) -> str:
    return f"{lease.state.value} ref={lease.ref!r} pending={lease.pending is not None} note={lease.note!r}"


def zero_bill(bill: Bill) -> Bill:
    return evolve(bill, key=f"{bill.key}-zero", amount=bill.amount.currency.zero)
