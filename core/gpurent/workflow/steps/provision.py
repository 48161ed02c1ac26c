"""Step: provision a machine from an order. Used for every order: new, switch, and renewal."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.offer import Bill, Order, OrderKind, PaymentPurpose
from gpurent.domain.trip import AgreedPrice
from gpurent.errors import GpurentError, SoldOut
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.pay import Payments
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, TripContext
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.lost_leases import LostLeases
from gpurent.workflow.runtime.start_deadline import find_start_deadline
from gpurent.workflow.steps.order_records import OrderRecorder
from gpurent.workflow.steps.provider_orders import ProviderOrders


@frozen
class ProvisionStep:
    """Reserves, pays, confirms and waits; each is recorded as its own step."""

    leases: LeaseTracker
    locks: WorkLocks
    lost_leases: LostLeases
    records: OrderRecorder
    orders: ProviderOrders
    payments: Payments
    bookkeeping: Bookkeeping

    async def provision_lease(
        self,
        trip: TripContext,
        leg: str,
        order: Order,
        lease_id: str,
        agreed: AgreedPrice,
        *,
        ready_within: timedelta | None = None,
    ) -> Lease:
        """Return the lease after carrying out ``order``, for no more than the agreed price.

        Raises `SoldOut`, with nothing created or charged, if somebody else has the machine or is ordering it;
        `StartFailed` if the machine is not up ``ready_within`` that time.
        """
        if await self._find_confirmed(trip, leg, order, lease_id) is None:
            await self.lost_leases.confirm_order(trip, order, lease_id)
            async with self.locks.lock_lease(lease_id):
                await self.records.open_order(trip, order, lease_id)
                try:
                    await self._place_order(trip, leg, order, lease_id, agreed)
                except SoldOut as error:
                    await self.records.end_refused_order(order, lease_id, error)
                    raise
                except INCONCLUSIVE_ERRORS:
                    raise
                except GpurentError:
                    await self.records.end_unplaced_order(order, lease_id)
                    raise
        if order.kind is not OrderKind.RENEW:
            deadline = await find_start_deadline(trip, leg, ready_within)
            await trip.step(
                f"{leg}.ready", str, lambda: self.orders.wait_until_ready(trip, lease_id, deadline)
            )
        return await self.leases.get_lease(lease_id)

    async def _find_confirmed(self, trip: TripContext, leg: str, order: Order, lease_id: str) -> str | None:
        """Return the state in which the order was confirmed; None if it has to be carried out.

        The Store may be older than the machine, which was adopted since. An order that the provider has counted is
        then not placed and paid again.
        """
        known = await trip.find_result(f"{leg}.confirm", str)
        lease = await self.leases.store.find_lease(lease_id)
        if known is not None or lease is None or not is_counted(lease, order):
            return known
        state = await trip.record_result(f"{leg}.confirm", lease.state.value)
        await self.bookkeeping.sync_lease(lease_id)
        return state

    async def _place_order(
        self, trip: TripContext, leg: str, order: Order, lease_id: str, agreed: AgreedPrice
    ) -> None:
        orders, provider = self.orders, order.offer.provider
        await trip.step(f"{leg}.reserve", str, lambda: orders.reserve_lease(order, lease_id))
        bill = await trip.step(f"{leg}.bill", Bill, lambda: orders.wait_for_bill(trip, lease_id), quiet=True)
        if order.kind is OrderKind.NEW:
            await self.payments.authorize_price(
                trip, f"{leg}.price", order, (await self.leases.get_lease(lease_id)).offer
            )
        payment = await self.payments.pay_bill(
            trip, f"{leg}.pay", provider, bill, _agreed_price_for(bill, agreed), lease_id=lease_id
        )

        if order.kind is OrderKind.NEW:
            # From here on the provider may start it, so whoever continues or releases the trip has to find it.
            await trip.store.set_trip_lease(trip.id, lease_id)

        async def confirm() -> str:
            state = await orders.confirm_lease(trip, lease_id, order, payment)
            await self.payments.record_confirmation(payment)
            return state

        await trip.step(f"{leg}.confirm", str, confirm)
        if payment.amount.amount:
            await self.bookkeeping.sync_lease(lease_id)


def is_counted(lease: Lease, order: Order) -> bool:
    """Return whether the order of an adopted lease was carried out, perhaps without a record of it in the Store."""
    return lease.adopted_at is not None and order.key in lease.completed_orders


def _agreed_price_for(bill: Bill, agreed: AgreedPrice) -> AgreedPrice:
    """Return the ceiling for a deposit: the agreed deposit, or zero if none was agreed."""
    if bill.purpose is not PaymentPurpose.DEPOSIT:
        return agreed
    return evolve(agreed, ceiling=agreed.deposit or bill.amount.currency.zero)
