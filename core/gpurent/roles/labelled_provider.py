"""Base of a provider whose machines bear a label of ours: the machine of an order is always found again by it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta

from attrs import evolve

from gpurent.domain.evidence import Absent, Unknown
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.money import Currency
from gpurent.domain.offer import Bill, Offer, Order, OrderKind, Payment
from gpurent.errors import MoneyError, SoldOut, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_reason
from gpurent.ports.system import Clock
from gpurent.roles.lease import LeaseProvider


def make_taken_error(machine: str) -> SoldOut:
    return SoldOut(
        _("machine {machine} is taken").format(machine=machine),
        hint=_("Nothing was spent. Pick another machine: gpurent offers"),
        spent=Spent.NO,
    )


def make_unfunded_error(service: str, provider: str, why: str) -> MoneyError:
    """Return the error that the service rents out nothing for the balance that is left; ``why``: its own words."""
    return MoneyError(
        _("{service} rents out nothing for the balance that is left: {why}").format(
            service=service, why=quote_reason(why)
        ),
        hint=_("Nothing was spent. Top up first: gpurent topup {provider} 20").format(provider=provider),
        spent=Spent.NO,
    )


class LabelledProvider(LeaseProvider):
    """Creates one machine for an order, also where answers are lost; `Lease.label`, the order's key, is its label.

    ``listing_delay``: a machine that was created is in the service's list after this time, if it was created at all.
    """

    def __init__(self, clock: Clock, service: str, listing_delay: timedelta = timedelta(minutes=1)) -> None:
        self._order_clock, self._service, self._listing_delay = clock, service, listing_delay

    @abstractmethod
    async def find_machine(self, label: str) -> str:
        """Return the service's reference of the machine with this label; empty if a complete list has none.

        What a create that failed has left behind is no machine: delete it, and raise the create's error.
        """

    @abstractmethod
    async def create_machine(self, lease: Lease) -> str:
        """Ask the service, once, to create the machine with the label `Lease.label`; return its reference.

        Empty: the service says that it is taken, which may be by an earlier request of this order. Raises what else the
        service refuses by name, once nothing is left of it.
        """

    @abstractmethod
    async def release_machine(self, lease: Lease) -> Lease | Absent:
        """As `LeaseProvider.release_lease`, for a lease that has a ``ref`` and is not over."""

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        """As `LeaseProvider.refresh_lease`, for a lease that has a ``ref``; by default from the list."""
        listed = await self.list_leases()
        if isinstance(listed, Unknown):
            raise UnavailableError(listed.reason, retryable=True)
        found = next((other for other in listed.items if other.ref == lease.ref), None)
        if found is None:
            return Absent()
        seen = evolve(lease.with_state(found.state, found.note), endpoint=found.endpoint)
        return evolve(
            seen, access_source=found.access_source, started_at=found.started_at or lease.started_at
        )

    def make_payable_lease(
        self, order: Order, offer: Offer, currency: Currency, provider_data: Mapping[str, str]
    ) -> Lease:
        """Return the lease of an order of a new machine, for which nothing has to be paid in advance.

        Raises `UsageError` for another kind of order, `MoneyError` if the price of the machine is not known.
        """
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("{service} can only rent new machines").format(service=self._service))
        if not offer.tariff.price.is_known:
            text = _("the price of {machine} is not known").format(machine=offer.key)
            raise MoneyError(text, hint=offer.note, spent=Spent.NO)
        bill = Bill(key=order.key, payee="", amount=currency.zero)
        return Lease(
            id="",
            provider=offer.provider,
            offer=offer,
            state=LeaseState.PAYABLE,
            pending=PendingOrder(key=order.key, kind=order.kind, bill=bill),
            password_ref=order.password_ref,
            provider_data=provider_data,
        )

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        if pending.sent_at is not None:
            # An earlier request may have been carried out; the label tells.
            if found := await self.find_machine(lease.label):
                return self._take_machine(lease, found)
            if self._may_still_appear(pending):
                return lease
        created = await self.create_machine(lease) or await self.find_machine(lease.label)
        if created:
            return self._take_machine(lease, created)
        if pending.sent_at is None or self._may_still_appear(pending):
            return lease
        raise make_taken_error(lease.offer.key)

    def _may_still_appear(self, pending: PendingOrder) -> bool:
        return pending.sent_at is not None and self._order_clock.now() - pending.sent_at < self._listing_delay

    def _take_machine(self, lease: Lease, ref: str) -> Lease:
        return evolve(lease.with_state(LeaseState.PROVISIONING), pending=None, ref=ref)

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        if lease.ref:
            return await self.refresh_machine(lease)
        if lease.pending is None or lease.pending.sent_at is None:
            return lease
        found = await self.find_machine(lease.label)
        return self._take_machine(lease, found) if found else lease

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        if lease.is_over:
            return lease
        if not lease.ref:
            lease = await self._settle_create(lease)
        return await self.release_machine(lease) if lease.ref else lease

    async def _settle_create(self, lease: Lease) -> Lease:
        """Return the lease cancelled if nothing was created, or with its machine; as it is while that is not known."""
        pending = lease.pending
        if pending is None or pending.sent_at is None:
            return evolve(lease.with_state(LeaseState.CANCELLED, _("never created")), pending=None)
        try:
            found = await self.find_machine(lease.label)
        except SoldOut as error:
            return evolve(lease.with_state(LeaseState.CANCELLED, error.message), pending=None)
        if found:
            return self._take_machine(lease, found)
        if self._may_still_appear(pending):
            text = _("{service} does not show whether it created a machine; asking again")
            return evolve(lease, note=text.format(service=self._service))
        note = _("{service} never listed a machine for this order").format(service=self._service)
        return evolve(lease.with_state(LeaseState.CANCELLED, note), pending=None)
