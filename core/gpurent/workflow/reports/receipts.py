"""Receipts by the ledger: of a lease, of a trip, of everything; and the time that was paid but not used."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import TripRecord
from gpurent.ports.store import Store, TripStore
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.durable_steps import Moment
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.waiting import Poller

POLL = timedelta(seconds=6)
# How long a refund that is on its way is waited for.
PATIENCE = timedelta(minutes=5)
IdleSpans = tuple[tuple[str, timedelta], ...]


def idle_of_trip(store: TripStore, trip_id: str) -> IdleSpans | None:
    """By name: from the end of the upload to the job's start, from its end to the release; None without a job.

    A setup is work as far as it lies in between.
    """
    steps = store.steps(trip_id)
    done = {step.name: step.done_at for step in steps if step.done_at is not None}
    leg = next((name.removesuffix(".launch") for name in done if name.endswith(".launch")), None)
    if leg is None:
        return None
    launched = store.recall_step(trip_id, f"{leg}.launch", Moment)
    ended = store.recall_step(trip_id, f"{leg}.monitor", Moment)
    pushed = max((at for name, at in done.items() if name.endswith(".push")), default=None)
    released = done.get("release")
    spans = []
    if pushed is not None and launched is not None:
        setups = [
            max(timedelta(), min(step.done_at, launched.at) - max(step.begun_at, pushed))
            for step in steps
            if step.done_at is not None and step.name.endswith(".setup")
        ]
        idle = launched.at - pushed - sum(setups, timedelta())
        spans.append(("upload-to-job", max(timedelta(), idle)))
    if ended is not None and released is not None:
        spans.append(("job-to-release", max(timedelta(), released - ended.at)))
    return tuple(spans)


def idle_of_lease(store: TripStore, lease_id: str) -> IdleSpans:
    """By the first trip that started a job on the lease; nothing when none did."""
    for trip in store.trips(lease_id):
        idle = idle_of_trip(store, trip.id)
        if idle is not None:
            return idle
    return ()


@frozen
class Receipts:
    """Every receipt rests on the ledger, brought up to date with the providers' statements."""

    store: Store
    leases: LeaseTracker
    bookkeeping: Bookkeeping
    poller: Poller

    async def of_lease(self, lease: Lease, trip: str = "", patience: timedelta = PATIENCE) -> Receipt:
        """Of a lease; waits for refunds that are on their way. ``trip``: the one whose idle time counts, if any.

        With the provider's statement out of reach it holds what the ledger knows, and its ``note`` says so.
        """
        reason = ""
        idle = (idle_of_trip(self.store, trip) or ()) if trip else idle_of_lease(self.store, lease.id)

        async def look() -> Receipt | None:
            nonlocal reason
            reason = await self.bookkeeping.sync_lease(lease.id, quiet=True)
            receipt = self._lease_receipt(lease, idle, reason)
            held = any(total.held.amount > 0 for total in receipt.totals())
            return None if lease.over and (held or reason) else receipt

        settled = await self.poller.poll(look, every=POLL, patience=patience)
        return settled or self._lease_receipt(lease, idle, reason)

    async def current_receipt(self, given: str) -> Receipt:
        """Of the lease that ``given`` names, by the statement as it stands now; waits for nothing."""
        return await self.of_lease(await self.leases.view_lease(given), patience=timedelta())

    async def all(self, given: str = "") -> list[Receipt]:
        """Of the lease or the trip that ``given`` names; else of every lease, and of each account what is for none."""
        leases = self.store.leases()
        if given:
            trips = [x for x in self.store.trips() if given in (x.id, x.id.rpartition("-")[2])]
            if trips and not any(lease.id == given for lease in leases):
                return [await self._of_trip(trips[0])]
            return [await self.current_receipt(given)]
        found = [await self.current_receipt(lease.id) for lease in leases]
        for provider in self.bookkeeping.providers():
            note = await self.bookkeeping.sync_account(provider)
            lines = [x for x in self.bookkeeping.lines(provider=provider) if not x.last.lease]
            found += [_receipt("", provider, lines, note)] if lines or note else []
        return found

    async def _of_trip(self, trip: TripRecord) -> Receipt:
        note = await self.bookkeeping.sync_trip(trip)
        lines = self.bookkeeping.lines(trip=trip.id)
        lease = self.store.lease(trip.lease) if trip.lease else None
        if lease is None:
            return _receipt(trip.id, trip.spec.provider, lines, note)
        return evolve(
            _receipt(trip.id, lease.provider, lines, note),
            started_at=lease.started_at,
            ended_at=lease.ended_at,
            idle=idle_of_lease(self.store, lease.id),
        )

    def _lease_receipt(self, lease: Lease, idle: IdleSpans, note: str) -> Receipt:
        return evolve(
            _receipt(lease.id, lease.provider, self.bookkeeping.lines(lease=lease.id), note),
            started_at=lease.started_at,
            ended_at=lease.ended_at,
            idle=idle,
            declared=str(lease.declared.price) if lease.declared else "",
        )


def _receipt(name: str, provider: str, lines: Iterable[LedgerLine], note: str) -> Receipt:
    charges = sorted((x.charge for x in lines if x.money.amount), key=lambda charge: charge.at)
    return Receipt(
        lease=name, provider=provider, charges=tuple(charges), started_at=None, ended_at=None, note=note
    )
