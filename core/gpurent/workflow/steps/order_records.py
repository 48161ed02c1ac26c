"""The record of an order: opened before the provider is asked for anything, and ended when nothing of it is left."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Bill, Order, OrderKind
from gpurent.domain.orders import OrderOutcome, OrderRecord
from gpurent.errors import LeaseError, SoldOut, Spent
from gpurent.locale import _
from gpurent.workflow.payments.pay import Payments
from gpurent.workflow.runtime.durable_steps import TripContext, describe_continuation
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class OrderRecorder:
    leases: LeaseTracker
    plugins: Plugins
    payments: Payments

    async def open_order(self, trip: TripContext, order: Order, lease_id: str) -> None:
        """Record the order before the provider is asked for anything.

        Raises `SoldOut` if another trip is ordering the offer, `LeaseError` if the lease has another unfinished order,
        `OtherAccount` if the order was begun, or the lease is held, by another account than the one logged in.
        """
        provider = order.offer.provider
        await self._require_account(order, lease_id)
        claims = order.kind is OrderKind.NEW and self.plugins.provider_entry(provider).claims_offers
        record = OrderRecord(
            key=order.key,
            lease=lease_id,
            trip=trip.id,
            provider=provider,
            account=self.plugins.find_account(provider),
            kind=order.kind,
            claim=order.offer.key if claims else "",
        )
        other = await self.leases.store.open_order(record)
        if other is None:
            return
        if other.lease != lease_id:
            raise SoldOut(
                _("trip {trip} is ordering this machine now: {machine}").format(
                    trip=other.trip, machine=order.offer.key
                ),
                spent=Spent.NO,
            )
        raise make_unfinished_order_error(other)

    async def _require_account(self, order: Order, lease_id: str) -> None:
        known, lease = (
            await self.leases.store.find_order(order.key),
            await self.leases.store.find_lease(lease_id),
        )
        if lease is not None:
            self.plugins.require_account_of(lease)
        if known is not None:
            self.plugins.require_account_of_order(known)

    async def end_refused_order(self, order: Order, lease_id: str, error: SoldOut) -> None:
        """Record that nothing was created, as the provider said by name."""
        lease = await self.leases.store.find_lease(lease_id)
        if order.kind is OrderKind.NEW and lease is not None and not lease.is_over:
            refused = evolve(lease.with_state(LeaseState.CANCELLED, error.message), pending=None)
            # Nothing is due any more; the bill's key still finds the fees of a payment that was refused.
            bills = tuple(_void(bill) if bill.key == order.key else bill for bill in lease.bills)
            await self.leases.save_lease(evolve(refused, bills=bills))
        await self.leases.store.end_order(order.key, OrderOutcome.REFUSED)

    async def end_unplaced_order(self, order: Order, lease_id: str) -> None:
        """Record that the provider refused the order before anything of it was pending."""
        lease = await self.leases.store.find_lease(lease_id)
        pending = lease.pending if lease is not None else None
        if pending is None or pending.key != order.key:
            await self.leases.store.end_order(order.key, OrderOutcome.REFUSED)

    async def abandon_unpaid_order(self, trip_id: str, lease_id: str) -> bool:
        """End the unfinished order of a trip unless a payment or a request for it may be on the way.

        Return whether nothing of it is left. The provider's own unpaid order ends by itself.
        """
        record, lease = (
            await self.leases.store.find_open_order(lease_id),
            await self.leases.store.find_lease(lease_id),
        )
        if record is None or record.trip != trip_id:
            return True
        pending = lease.pending if lease is not None else None
        if lease is not None and pending is not None and pending.key == record.key:
            if pending.sent_at is not None or (
                pending.bill is not None and await self.payments.may_be_paid(pending.bill)
            ):
                return False
            dropped = evolve(lease, pending=None)
            if record.kind is OrderKind.NEW:
                dropped = dropped.with_state(LeaseState.CANCELLED, _("cancelled before payment"))
            await self.leases.save_lease(dropped)
        await self.leases.store.end_order(record.key, OrderOutcome.CANCELLED)
        return True


def _void(bill: Bill) -> Bill:
    return evolve(bill, amount=bill.amount.currency.zero)


def make_unfinished_order_error(order: OrderRecord) -> LeaseError:
    """Return the error for a lease on which another order is unfinished."""
    return LeaseError(
        _("{lease} has an unfinished order; trip {trip} placed it").format(
            lease=order.lease, trip=order.trip
        ),
        hint=describe_continuation(order.trip, _("Finish it first: gpurent resume {trip}")),
        burning=(order.lease,),
    )
