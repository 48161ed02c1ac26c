"""Drives one lease through a provider as core does; after a lost response, it continues in a new process."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from attrs import define, evolve, field

from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.lease_evidence import (
    apply_answer,
    keep_sent_time,
    mark_order_sent,
    mark_release_requested,
    restore_last_seen,
)
from gpurent.domain.offer import Bill, Order, OrderKind, Payment
from gpurent.domain.receipt import ChargeKind
from gpurent.errors import GpurentError, UnavailableError
from gpurent.roles.account import BillingProvider
from gpurent.roles.lease import LeaseProvider, SupportsRenewal
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.sandbox_harness import SandboxUser

P = TypeVar("P", bound=LeaseProvider)
T = TypeVar("T")
MAX_LOST_RESPONSES = 5


def make_public_key(comment: str = "") -> str:
    """Return the line of a new key, for the order of a machine that is reached by keys alone."""
    import asyncssh  # takes long to import, and most drivers need none

    line = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    return f"{line} {comment}".strip()


async def refresh_as_core(provider: LeaseProvider, lease: Lease, now: datetime) -> Lease:
    """Refresh the lease once and apply the answer at ``now`` (provider time) as core does."""
    return apply_answer(lease, await provider.refresh_lease(restore_last_seen(lease)), now)


async def release_as_core(provider: LeaseProvider, lease: Lease, now: datetime) -> Lease:
    """Release the lease once and apply the answer at ``now`` (provider time) as core does."""
    asked = mark_release_requested(lease, now)
    return apply_answer(asked, await provider.release_lease(restore_last_seen(asked)), now)


@define
class LeaseDriver(Generic[P]):
    """Drives one lease of ``user`` through its life; a step whose response is lost is retried by a new process.

    `sum_charges` is not retried. If `HttpFaults.error` is `ProcessKilled`, the test starts the new process itself.

    ``poll_interval`` is the time between two polls and before a retry; ``faults`` are those of the first process.
    """

    user: SandboxUser
    name: str
    kind: type[P]
    poll_interval: timedelta = timedelta(seconds=6)
    faults: HttpFaults = field(factory=HttpFaults)
    lease: Lease | None = None
    retried_errors: tuple[type[GpurentError], ...] = (UnavailableError,)
    """What a lost answer is: a new process goes on after these."""
    lost_response_count: int = 0
    """How many responses were lost so far."""
    provider: P = field(init=False)
    billing: BillingProvider = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.start_process(self.faults)

    def start_process(self, faults: HttpFaults | None = None) -> None:
        """Start a new process; only the user's vault and state survive."""
        self.faults = faults or HttpFaults()
        self.provider = self.user.provider(self.name, self.kind, faults=self.faults)
        self.billing = self.user.billing(self.name, faults=self.faults)

    async def retry_lost_responses(self, request: Callable[[], Awaitable[T]]) -> T:
        """Return the result of ``request``, retried by a new process after each lost response."""
        while True:
            try:
                return await request()
            except self.retried_errors:
                self.lost_response_count += 1
                if self.lost_response_count >= MAX_LOST_RESPONSES:
                    raise
                self.start_process()
                await self.user.clock.sleep(self.poll_interval)

    @property
    def current_lease(self) -> Lease:
        """The lease. Raises ``AssertionError`` if nothing was reserved yet."""
        if self.lease is None:
            raise AssertionError("nothing was reserved yet")
        return self.lease

    async def reserve_lease(self, order: Order) -> None:
        """Order a machine, or change the lease by an order onto it; nothing is paid."""
        onto = self.lease.ref if self.lease is not None else ""
        answer = await self.retry_lost_responses(
            lambda: self.provider.reserve_lease(evolve(order, onto=onto))
        )
        if self.lease is None:
            self.lease = evolve(answer, id="lease", label=order.key, password_ref=order.password_ref)
        else:
            self.lease = evolve(self.lease, pending=answer.pending)

    async def refresh_lease(self) -> Lease:
        """Ask the provider once, and apply its answer as core does."""
        self.lease = await self.retry_lost_responses(
            lambda: refresh_as_core(self.provider, self.current_lease, self.user.clock.now())
        )
        return self.lease

    async def wait_for_bill(self) -> Bill:
        """Wait until the provider has written the bill of the pending order, and return it."""
        async for lease in self._poll_lease("payable"):
            if lease.pending is None:
                raise AssertionError(f"nothing is pending: {lease.note}")
            if lease.pending.bill is not None:
                self.lease = evolve(lease, bills=(*lease.bills, lease.pending.bill))
                return lease.pending.bill
        raise AssertionError

    async def pay_bill(self, bill: Bill) -> Payment:
        """Pay a bill from the account that belongs to the provider."""
        payment = await self.retry_lost_responses(lambda: self.billing.pay_bill(bill))
        assert payment.key == bill.key
        assert payment.amount <= bill.amount
        return payment

    async def confirm_payment(self, payment: Payment) -> None:
        """Confirm until the provider has seen the payment."""
        while self.current_lease.pending is not None:
            answer = await self.retry_lost_responses(lambda: self._confirm_once(payment))
            self.lease = self.merge_confirmed(self.current_lease, answer, self.user.clock.now())
            if self.lease.pending is not None:
                await self.user.clock.sleep(self.poll_interval)

    async def _confirm_once(self, payment: Payment) -> Lease:
        """Confirm as core does: what is on record before the call says that a request may have been sent."""
        asked = self.current_lease
        self.lease = mark_order_sent(asked, self.user.clock.now())
        return await self.provider.confirm_lease(asked, payment)

    def make_process_lease(self, lease: Lease, now: datetime) -> Lease:
        """Return the lease as a later process finds it, whose earlier one may have confirmed it at ``now``."""
        return mark_order_sent(lease, now)

    def merge_confirmed(self, asked: Lease, answer: Lease, now: datetime) -> Lease:
        """Return the lease after a confirmation that was answered at ``now``, as core records it."""
        return apply_answer(asked, keep_sent_time(asked, answer), now)

    async def pay_and_confirm(self) -> Payment:
        """Pay the bill of the pending order, and confirm until the provider has seen the payment."""
        payment = await self.pay_bill(await self.wait_for_bill())
        await self.confirm_payment(payment)
        return payment

    async def wait_until_ready(self) -> Lease:
        """Poll until the machine can be reached. Raises ``AssertionError`` after 200 polls."""
        async for lease in self._poll_lease("ready"):
            if lease.state is LeaseState.READY and lease.endpoint is not None:
                return lease
        raise AssertionError

    async def rent_machine(self, order: Order) -> Lease:
        """Reserve, pay and confirm an order, and wait until the machine is ready (at once for a renewal)."""
        await self.reserve_lease(order)
        await self.pay_and_confirm()
        return self.current_lease if order.kind is OrderKind.RENEW else await self.wait_until_ready()

    async def renew_lease(self, term: timedelta, key: str) -> Lease:
        """Buy ``term`` more; ``key`` is that of the order."""
        renewing: object = self.provider
        if not isinstance(renewing, SupportsRenewal):
            raise AssertionError(f"{self.name} has no renewal")
        return await self.rent_machine(renewing.make_renewal_order(self.current_lease, term, key))

    async def release_lease(self) -> Lease:
        """Release until the lease is over and nothing is pending."""
        async for _lease in self._poll_lease("over"):
            self.lease = await self.retry_lost_responses(
                lambda: release_as_core(self.provider, self.current_lease, self.user.clock.now())
            )
            if self.lease.is_over and self.lease.pending is None:
                return self.lease
        raise AssertionError

    async def sum_charges(self) -> Counter[ChargeKind]:
        """Return the sums of the charges that the account lists for the lease, in minor units by kind."""
        found = await self.billing.list_charges(self.current_lease)
        assert isinstance(found, Known)
        sums: Counter[ChargeKind] = Counter()
        for charge in found.items:
            sums[charge.kind] += charge.money.amount
        return sums

    async def _poll_lease(self, wanted: str) -> AsyncIterator[Lease]:
        """Yield the lease now and after each poll. Raises ``AssertionError`` after 200 polls."""
        yield self.current_lease
        for _attempt in range(200):
            await self.user.clock.sleep(self.poll_interval)
            yield await self.refresh_lease()
        raise AssertionError(f"never {wanted}: {self.current_lease}")
