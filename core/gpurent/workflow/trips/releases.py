"""Releases of leases. Each is a trip of its own, so that it can be resumed."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.outcomes import OutcomeKind, TripOutcome
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.receipt import Receipt
from gpurent.domain.refunds import RefundQuote
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseError
from gpurent.locale import _
from gpurent.workflow.connection.ownership import suggest_release
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.reports.refund_quotes import RefundQuotes
from gpurent.workflow.runtime.durable_steps import TripContext, TripTracker
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.lost_leases import LostLeases
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.steps.unsent_orders import UnsentOrders
from gpurent.workflow.trips.restarted_leases import RestartedLeases

QUOTE_STEP = "quote-refund"


@frozen
class Releases:
    trip_tracker: TripTracker
    leases: LeaseTracker
    lost_leases: LostLeases
    unsent_orders: UnsentOrders
    release_step: ReleaseStep
    receipts: Receipts
    refunds: RefundQuotes
    restarted: RestartedLeases
    questions: Questions

    async def release_lease(self, lease_id: str) -> Receipt:
        """Release the lease now, and end the trips that used it.

        One for which nothing was ever ordered is closed here alone. Raises `LeaseError` for one that is over and whose
        machine runs as another lease.
        """
        await self.lost_leases.restore_if_lost(lease_id)
        lease = await self.leases.get_lease(lease_id)
        self.leases.plugins.require_account_of(lease)
        if lease.is_over:
            await self.restarted.require_not_restarted(lease)
        if await self._close_unsent_order(lease):
            await self._end_trips(lease.id)
            return Receipt(
                lease=lease.id, provider=lease.provider, charges=(), started_at=None, ended_at=None
            )
        trip = await self.trip_tracker.begin_trip("release", TripSpec(provider=lease.provider), lease.id)
        async with self.trip_tracker.lock_trip(trip.id):
            receipt = await self.execute_release(trip, lease.id)
            await self.trip_tracker.end_trip(trip.id)
        await self._end_trips(lease.id)
        return receipt

    async def _close_unsent_order(self, lease: Lease) -> bool:
        async with self.release_step.locks.lock_lease(lease.id):
            return await self.unsent_orders.close_unsent_order(lease.id)

    async def drop_lease(self, lease_id: str) -> Receipt:
        """Drop a lease that the user says has ended, or is not theirs; its provider is not asked to release it.

        Raises `LeaseError` if the provider shows it as running; of one whose machine is not proven to be ours, the user
        is asked: `Declined` or `ConfirmationRequired` if nobody agrees.
        """
        await self.lost_leases.restore_if_lost(lease_id)
        lease = await self.leases.get_lease(lease_id)
        seen = await self.leases.observe_lease(lease.id)
        if isinstance(seen, Lease) and not seen.is_over:
            is_listed = seen.state is not LeaseState.MISSING and bool(seen.ref)
            if is_listed and seen.needs_proof:
                await self._confirm_drop(seen)
            elif is_listed:
                raise LeaseError(
                    _("{provider} shows {lease} as {state}, so it has not ended").format(
                        provider=seen.provider, lease=seen.id, state=seen.state.title
                    ),
                    hint=_("Release it: gpurent release {lease}").format(lease=seen.id),
                    burning=(seen.id,),
                )
            ended = evolve(
                seen.with_state(LeaseState.GONE, _("you confirmed that it has ended")),
                pending=None,
                endpoint=None,
                ended_at=self.trip_tracker.clock.now(),
            )
            lease = await self.leases.save_lease(ended)
        await self._end_trips(lease.id)
        return await self.receipts.get_lease_receipt(await self.leases.get_lease(lease.id))

    async def _confirm_drop(self, lease: Lease) -> None:
        text = _("{provider} still lists {ref} as {state}: if it is yours, it costs you money").format(
            provider=lease.provider, ref=lease.ref, state=lease.state.title
        )
        question = Question(
            id=f"drop:{lease.id}",
            kind=QuestionKind.DESTROY,
            text=_("Drop {lease}, because that machine is not yours?").format(lease=lease.id),
            details=(text, suggest_release(lease)),
        )
        await self.questions.require_yes(question, f"{text}\n{suggest_release(lease)}")

    async def _end_trips(self, lease_id: str) -> None:
        for record in await self.trip_tracker.list_trips(lease_id):
            if record.is_open:
                await self.trip_tracker.end_trip(record.id, TripOutcome(OutcomeKind.RELEASED))

    async def execute_release(self, trip: TripContext, lease_id: str) -> Receipt:
        """Carry out a trip that only releases."""
        quote = await self._quote_refund(trip, await self.leases.get_lease(lease_id))
        lease = await self.release_step.release_lease(trip, lease_id)
        return await self.refunds.get_receipt(lease, quote)

    async def _quote_refund(self, trip: TripContext, lease: Lease) -> RefundQuote | None:
        """Return what the provider said before the release that it gives back; the first answer counts."""
        known = await trip.find_result(QUOTE_STEP, RefundQuote)
        if known is not None:
            return known
        quote = await self.refunds.find_quote(lease)
        return await trip.record_result(QUOTE_STEP, quote) if isinstance(quote, RefundQuote) else None
