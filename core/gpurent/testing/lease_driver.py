"""What core does with one lease, and what it does when an answer is lost: begin a new process and ask again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Generic, TypeVar

from attrs import define, evolve, field

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Bill, Known, Order, OrderKind, Payment
from gpurent.domain.receipt import ChargeKind
from gpurent.errors import UnavailableError
from gpurent.roles.account import BillingProvider
from gpurent.roles.lease import LeaseProvider, SupportsRenewal
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.sandbox_harness import SandboxUser

P = TypeVar("P", bound=LeaseProvider)
T = TypeVar("T")
MOST_LOST = 5


@define
class LeaseDriver(Generic[P]):
    """Moves one lease of ``user`` through its life; a step whose answer is lost is done again by a new process.

    `charges` only looks, and is not repeated. Of ``error=ProcessKilled`` the test itself makes a new process.

    ``pace`` is how long it waits between two looks, and before it asks again; ``faults`` are the first process's.
    """

    user: SandboxUser
    name: str
    kind: type[P]
    pace: timedelta = timedelta(seconds=6)
    faults: HttpFaults = field(factory=HttpFaults)
    lease: Lease | None = None
    restarts: int = 0
    """How many answers were lost so far."""
    provider: P = field(init=False)
    billing: BillingProvider = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.begin_process(self.faults)

    def begin_process(self, faults: HttpFaults | None = None) -> None:
        """Only what the user's vault and notes hold is what it was."""
        self.faults = faults or HttpFaults()
        self.provider = self.user.provider(self.name, self.kind, faults=self.faults)
        self.billing = self.user.billing(self.name, faults=self.faults)

    async def until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """``ask``, by a new process after each answer that was lost."""
        while True:
            try:
                return await ask()
            except UnavailableError:
                self.restarts += 1
                if self.restarts >= MOST_LOST:
                    raise
                self.begin_process()
                await self.user.clock.sleep(self.pace)

    @property
    def held(self) -> Lease:
        """The lease, which must be there."""
        if self.lease is None:
            raise AssertionError("nothing was reserved yet")
        return self.lease

    async def reserve(self, order: Order) -> None:
        onto = self.lease.ref if self.lease is not None else ""
        answer = await self.until_answered(lambda: self.provider.reserve(evolve(order, onto=onto)))
        if self.lease is None:
            self.lease = evolve(answer, id="lease", label=order.key, password_ref=order.password_ref)
        else:
            self.lease = evolve(self.lease, pending=answer.pending)

    async def refresh(self) -> Lease:
        self.lease = await self.until_answered(lambda: self.provider.refresh(self.held))
        return self.lease

    async def bill(self) -> Bill:
        """The bill of what is pending; waits until the provider has written it."""
        async for lease in self._looks("payable"):
            if lease.pending is None:
                raise AssertionError(f"nothing is pending: {lease.note}")
            if lease.pending.bill is not None:
                self.lease = evolve(lease, bills=(*lease.bills, lease.pending.bill))
                return lease.pending.bill
        raise AssertionError

    async def pay(self, bill: Bill) -> Payment:
        payment = await self.until_answered(lambda: self.billing.pay(bill))
        assert payment.key == bill.key
        assert payment.amount <= bill.amount
        return payment

    async def confirm(self, payment: Payment) -> None:
        """Until the provider has seen the payment."""
        while self.held.pending is not None:
            self.lease = await self.until_answered(lambda: self.provider.confirm(self.held, payment))
            if self.lease.pending is not None:
                await self.user.clock.sleep(self.pace)

    async def settle(self) -> Payment:
        """Pay the bill of what is pending, and show the payment until the provider has seen it."""
        payment = await self.pay(await self.bill())
        await self.confirm(payment)
        return payment

    async def ready(self) -> Lease:
        async for lease in self._looks("ready"):
            if lease.state is LeaseState.READY and lease.endpoint is not None:
                return lease
        raise AssertionError

    async def rent(self, order: Order) -> Lease:
        """The whole way of one order, to a machine that is ours."""
        await self.reserve(order)
        await self.settle()
        return self.held if order.kind is OrderKind.EXTEND else await self.ready()

    async def extend(self, term: timedelta, key: str) -> Lease:
        renewing: object = self.provider
        if not isinstance(renewing, SupportsRenewal):
            raise AssertionError(f"{self.name} has no renewal")
        return await self.rent(renewing.extension(self.held, term, key))

    async def release(self) -> Lease:
        """Until it is over and nothing is owed."""
        async for _lease in self._looks("over"):
            self.lease = await self.until_answered(lambda: self.provider.release(self.held))
            if self.lease.over and self.lease.pending is None:
                return self.lease
        raise AssertionError

    async def charges(self) -> Counter[ChargeKind]:
        """What the account lists for the lease, in minor units by kind."""
        found = await self.billing.charges(self.held)
        assert isinstance(found, Known)
        sums: Counter[ChargeKind] = Counter()
        for charge in found.items:
            sums[charge.kind] += charge.money.amount
        return sums

    async def _looks(self, wanted: str) -> AsyncIterator[Lease]:
        """The lease now, then after each pause; an `AssertionError` when it never comes to an end."""
        yield self.held
        for _look in range(200):
            await self.user.clock.sleep(self.pace)
            yield await self.refresh()
        raise AssertionError(f"never {wanted}: {self.held}")
