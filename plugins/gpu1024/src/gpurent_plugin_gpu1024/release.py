"""Release: cancel what is unpaid, stop what runs, reclaim what was paid too late."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import evolve

from gpurent.api import (
    Absent,
    Lease,
    LeaseState,
    OrderKind,
    PendingOrder,
    PluginContext,
    Spent,
)
from gpurent_plugin_gpu1024 import _
from gpurent_plugin_gpu1024.client import CANCEL, REFUND, STOP, Gpu1024Client
from gpurent_plugin_gpu1024.renewals import Gpu1024Renewals, note_missing_order
from gpurent_plugin_gpu1024.sizes import get_payment_path
from gpurent_plugin_gpu1024.wire import FAILED, MINUTE, WORKING, ListedOrder


class LeaseReleaser:
    """Reads the state of an order and takes the action it needs; a repeated call continues."""

    def __init__(self, context: PluginContext, client: Gpu1024Client, renewals: Gpu1024Renewals) -> None:
        self._context, self._client, self._renewals = context, client, renewals

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        """Release the lease.

        If it is not over yet, it has ``pending`` or is RELEASING, and core polls and calls again.
        """
        if lease.pending is not None:
            lease = await self._settle_pending(lease, lease.pending)
        if lease.pending is not None or lease.is_over:
            return lease
        if not lease.ref:
            return lease.with_state(LeaseState.CANCELLED, lease.note or _("cancelled before payment"))
        listed_order = await self._client.find_order(lease.ref)
        if listed_order is None:
            # That the list lacks it says nothing, so the stop is requested all the same.
            asked = await self._client.call(STOP.request_path, order_id=lease.ref)
            if asked.status == FAILED:
                return Absent(_("the provider no longer lists it"))
        if listed_order is None or not listed_order.over:
            await self._client.perform_action(STOP, lease.ref, lease.id, lambda: self._is_settled(lease.ref))
            listed_order = await self._client.find_order(lease.ref)
        if listed_order is None or not listed_order.over:
            return lease.with_state(LeaseState.RELEASING, _("the provider is stopping it"))
        listed = await self._client.list_orders()
        return make_ended_lease(lease, listed_order, listed, self._context.clock.now())

    async def _settle_pending(self, lease: Lease, pending: PendingOrder) -> Lease:
        """Settle the unfinished order; ``pending`` stays while its payment is being verified."""
        if pending.kind is OrderKind.RENEW:
            return await self._renewals.settle_pending(lease, pending)
        listed_order = await self._client.find_order(pending.ref) if pending.ref else None
        may_be_paid = _may_be_paid(lease, pending)
        if not pending.ref or (listed_order is None and not may_be_paid):
            return evolve(lease, pending=None)
        if may_be_paid and (listed_order is None or not (listed_order.rented or listed_order.pay_error)):
            # A payment may have been sent without the provider knowing: ask it to check, as its "I already paid" button
            # does.
            path = get_payment_path(pending.kind, lease.provider_data)
            found = await self._client.call(path, Spent.UNKNOWN, order_id=pending.ref)
            if found.status == WORKING:
                return evolve(lease, note=_("a payment is being verified; the lease is released after that"))
            listed_order = await self._client.find_order(pending.ref) or listed_order
        if listed_order is None:
            return note_missing_order(lease, self._context.clock.now())
        return await self._end_unfinished_order(lease, listed_order)

    async def _end_unfinished_order(self, lease: Lease, listed_order: ListedOrder) -> Lease:
        if listed_order.rented:
            # Paid after all: it becomes the lease, and is then released like any other.
            if not lease.is_over:
                lease = lease.with_state(LeaseState.PROVISIONING)
            return evolve(
                lease, pending=None, ref=listed_order.id, endpoint=None, expires_at=listed_order.expires_at
            )
        if listed_order.pay_error:
            if not listed_order.returned:
                await self._client.perform_action(
                    REFUND, listed_order.id, lease.id, lambda: self._is_returned(listed_order.id)
                )
            return evolve(lease, pending=None, note=_("paid too late; the payment was refunded"))
        if not listed_order.cancelled and not listed_order.over:
            await self._client.perform_action(
                CANCEL, listed_order.id, lease.id, lambda: self._is_settled(listed_order.id)
            )
        return evolve(lease, pending=None)

    async def _is_returned(self, order_id: str) -> bool:
        """An order that was paid too late is over already: only the return itself settles it."""
        listed_order = await self._client.find_order(order_id)
        return listed_order is not None and listed_order.returned

    async def _is_settled(self, order_id: str) -> bool:
        listed_order = await self._client.find_order(order_id)
        return listed_order is not None and (
            listed_order.over or listed_order.cancelled or listed_order.returned
        )


def _may_be_paid(lease: Lease, pending: PendingOrder) -> bool:
    """Whether the order had a bill. Of a lease restored from its copy, the bill is not known any more."""
    is_payable = lease.state is LeaseState.PAYABLE or pending.kind is OrderKind.SWITCH
    return pending.bill is not None or is_payable


def make_ended_lease(
    lease: Lease, listed_order: ListedOrder, listed: Iterable[ListedOrder], now: datetime
) -> Lease:
    """Return the lease of an order that is over: released, expired, or kept with its files for some days.

    ``listed`` are all orders of the wallet: one of them may have started the container again.
    """
    at = listed_order.ended_at
    over = evolve(lease, endpoint=None, ended_at=min(at, now) if at else now)
    if listed_order.files_kept_for is not None:
        return _make_kept_lease(over, listed_order, now + listed_order.files_kept_for)
    if lease.state in (LeaseState.KEPT, LeaseState.GONE):
        return _end_kept_lease(over, any(other.previous == lease.ref and other.rented for other in listed))
    if listed_order.ended_normally:
        return over.with_state(LeaseState.RELEASED, _("released"))
    return over.with_state(LeaseState.EXPIRED, _("the rented time ran out"))


def _make_kept_lease(over: Lease, listed_order: ListedOrder, until: datetime) -> Lease:
    note = (
        _("released; the files are kept for a few days")
        if listed_order.ended_normally
        else _("the rented time ran out; the files are kept for a few days")
    )
    known = over.kept_until
    # The provider states it in minutes that are left, so it moves a little with each answer.
    if known is not None and abs(until - known) < 2 * MINUTE:
        until = known
    return evolve(over.with_state(LeaseState.KEPT, note), kept_until=until)


def _end_kept_lease(over: Lease, is_restarted: bool) -> Lease:
    """Return the lease whose files the provider keeps no longer under its order."""
    if over.state is LeaseState.GONE:
        return over
    if is_restarted:
        return evolve(
            over.with_state(LeaseState.RELEASED, _("its container was started again")), kept_until=None
        )
    return evolve(over.with_state(LeaseState.GONE, _("its files are no longer kept")), kept_until=None)
