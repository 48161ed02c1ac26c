"""Whether a trip has spent money, found from its own records and never guessed."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.offer import Bill, Payment
from gpurent.errors import GpurentError, SoldOut, Spent, UnexpectedResponse
from gpurent.ports.payment_store import PaymentStore
from gpurent.ports.store import Store
from gpurent.roles.lease import MailBinding
from gpurent.workflow.runtime.trip_chain import list_earlier_trips


async def is_bill_authorized(store: PaymentStore, bill: Bill) -> bool:
    """Return whether the account may have been asked to pay ``bill``: the authorization is recorded before that."""
    known = await store.find_authorized_bill(bill.key)
    return known is not None and known.amount == bill.amount


@frozen
class TripSpending:
    store: Store

    async def find_spending(self, trip_id: str, error: GpurentError, lease: Lease | None = None) -> Spent:
        """Return whether the trip, which failed with ``error``, or one before it that it goes on with, has spent money.

        ``lease`` is the machine that the trip rented, or that it runs on; what that has cost counts too.
        """
        if error.spent is Spent.YES or await self._has_cost(trip_id, lease):
            return Spent.YES
        for earlier in await list_earlier_trips(self.store, trip_id):
            if await self._has_cost(earlier.id, await self.store.find_lease(earlier.lease)):
                return Spent.YES
        # What was not understood cannot say that an order spent nothing.
        if error.spent is not None and not isinstance(error, UnexpectedResponse):
            return error.spent
        is_refusal = isinstance(error, SoldOut)
        if not is_refusal and await self._is_order_unclear(trip_id):
            return Spent.UNKNOWN
        return error.spent or Spent.NO

    async def _has_cost(self, trip_id: str, lease: Lease | None) -> bool:
        payments = await self.store.list_recorded_steps(trip_id, ".pay", Payment)
        return any(item.amount.amount for _step, item in payments) or (lease is not None and lease.has_cost)

    async def _is_order_unclear(self, trip_id: str) -> bool:
        """Return whether a payment, or a confirmation that starts the meter, was begun and its end is not recorded."""
        unfinished = {
            record.name for record in await self.store.list_steps(trip_id) if record.done_at is None
        }
        if any(name.endswith(".confirm") for name in unfinished):
            return True
        for step, bill in await self._list_bills(trip_id):
            if f"{step.partition('.')[0]}.pay" in unfinished and await is_bill_authorized(self.store, bill):
                return True
        return False

    async def _list_bills(self, trip_id: str) -> list[tuple[str, Bill]]:
        """Return each bill with the step that recorded it."""
        bindings = await self.store.list_recorded_steps(trip_id, "bind-mail.request", MailBinding)
        bound = [(step, binding.bill) for step, binding in bindings if binding.bill is not None]
        return [*await self.store.list_recorded_steps(trip_id, ".bill", Bill), *bound]
