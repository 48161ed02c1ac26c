"""Receipts from the ledger: of a lease, of a trip, of everything; and time that was paid but not used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby

from attrs import evolve, frozen

from gpurent.domain.id_matching import find_id
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine
from gpurent.domain.payments import RecordedPayment
from gpurent.domain.receipt import Receipt
from gpurent.domain.summaries import StepTime
from gpurent.domain.trip import TripRecord
from gpurent.domain.volume import Volume
from gpurent.ports.store import Store
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.volume_books import VolumeBooks
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.waiting import Poller

POLL_INTERVAL = timedelta(seconds=6)
# How long to wait for a pending refund.
REFUND_TIMEOUT = timedelta(minutes=5)
IdleSpans = tuple[tuple[str, timedelta], ...]


def compute_idle_spans(steps: Sequence[StepTime]) -> IdleSpans | None:
    """Return the idle spans of one trip by name: from upload to job start, and from job end to release.

    Setup in between counts as work. None if the trip started no job.
    """
    by_name = {step.name: step for step in steps}
    leg = next((name.removesuffix(".launch") for name in by_name if name.endswith(".launch")), None)
    if leg is None:
        return None
    launched, monitor = by_name[f"{leg}.launch"].at, by_name.get(f"{leg}.monitor")
    ended = monitor.at if monitor is not None else None
    pushed = max((step.done_at for step in steps if step.name.endswith(".upload")), default=None)
    released = by_name["release"].done_at if "release" in by_name else None
    spans = []
    if pushed is not None and launched is not None:
        setups = [
            max(timedelta(), min(step.done_at, launched) - max(step.started_at, pushed))
            for step in steps
            if step.name.endswith(".setup")
        ]
        idle = launched - pushed - sum(setups, timedelta())
        spans.append(("upload-to-job", max(timedelta(), idle)))
    # Of a machine that was shut down in between and started again, the idle time is not known.
    was_restarted = any(step.name.startswith("restart") for step in steps)
    if ended is not None and released is not None and not was_restarted:
        spans.append(("job-to-release", max(timedelta(), released - ended)))
    return tuple(spans)


async def find_trip_idle_spans(store: Store, trip_id: str) -> IdleSpans | None:
    """Return the idle spans of a trip; None if it started no job."""
    return compute_idle_spans(await store.summaries.list_step_times(trip_id))


async def list_lease_idle_spans(store: Store, lease_id: str) -> IdleSpans:
    """Return the idle spans of the first trip that started a job on the lease; empty if none did."""
    for trip in await store.list_trips(lease_id):
        idle = await find_trip_idle_spans(store, trip.id)
        if idle is not None:
            return idle
    return ()


async def list_idle_spans(store: Store) -> Mapping[str, IdleSpans]:
    """Return the idle spans of all leases that have some, as `list_lease_idle_spans` does for one."""
    found: dict[str, IdleSpans] = {}
    for _trip, group in groupby(await store.summaries.list_step_times(), key=lambda step: step.trip):
        steps = list(group)
        idle = compute_idle_spans(steps) if steps[0].lease else None
        if idle is not None:
            found.setdefault(steps[0].lease, idle)
    return {lease: spans for lease, spans in found.items() if spans}


@frozen
class Receipts:
    """Makes receipts from the ledger, after updating it from the providers' statements."""

    store: Store
    leases: LeaseTracker
    bookkeeping: Bookkeeping
    volumes: VolumeBooks
    poller: Poller

    async def get_lease_receipt(
        self, lease: Lease, trip: str = "", timeout: timedelta = REFUND_TIMEOUT
    ) -> Receipt:
        """Return the receipt of a lease; wait for pending refunds. ``trip``: count the idle time of this trip only.

        If the provider's statement is unavailable, the receipt holds what the ledger knows, and its ``note`` says so.
        """
        reason = ""
        idle = (
            (await find_trip_idle_spans(self.store, trip) or ())
            if trip
            else await list_lease_idle_spans(self.store, lease.id)
        )

        async def look() -> Receipt | None:
            nonlocal reason
            reason = await self.bookkeeping.sync_lease(lease.id, quiet=True)
            receipt = await self._make_lease_receipt(lease, idle, reason)
            held = any(total.held.amount > 0 for total in receipt.totals())
            return None if lease.is_over and (held or reason) else receipt

        settled = await self.poller.poll(look, interval=POLL_INTERVAL, timeout=timeout)
        return settled or await self._make_lease_receipt(lease, idle, reason)

    async def get_trip_end_receipt(self, lease: Lease, earlier: Sequence[str], trip: str) -> Receipt:
        """Return the receipt of a trip's last lease, with the charges of its ``earlier`` ones: it was restarted."""
        receipt = await self.get_lease_receipt(lease, trip)
        for lease_id in earlier:
            before = await self.get_lease_receipt(await self.leases.get_lease(lease_id), trip, timedelta())
            charges = sorted((*before.charges, *receipt.charges), key=lambda charge: charge.at)
            receipt = evolve(receipt, charges=tuple(charges), started_at=before.started_at)
        return receipt

    async def get_current_receipt(self, lease_id: str) -> Receipt:
        """Return the current receipt of the lease ``lease_id`` (an id or its prefix), without waiting for refunds."""
        return await self.get_lease_receipt(
            await self.leases.try_refresh_lease(lease_id), timeout=timedelta()
        )

    async def get_volume_receipt(self, volume: Volume) -> Receipt:
        """Return the current receipt of a volume; its ``lease`` is the volume's id."""
        note = await self.volumes.sync_volume(volume)
        lines = await self.bookkeeping.list_lines(lease=volume.id)
        return evolve(
            _make_receipt(volume.id, volume.provider, lines, note),
            started_at=volume.created_at,
            ended_at=volume.deleted_at,
        )

    async def list_receipts(self, lease_or_trip_id: str = "") -> list[Receipt]:
        """Return the receipt of the lease or trip with this id, or of the volume with this id or name.

        Without an id: receipts of all leases and volumes, and of the charges of each account that belong to neither.
        """
        leases = await self.store.list_leases()
        if lease_or_trip_id:
            return await self._list_named_receipts(lease_or_trip_id, leases)
        found = [await self.get_current_receipt(lease.id) for lease in leases]
        found += [
            await self.get_volume_receipt(volume) for volume in await self.store.list_volumes() if volume.ref
        ]
        for provider in await self.bookkeeping.list_providers():
            note = await self.bookkeeping.sync_account(provider)
            lines = [x for x in await self.bookkeeping.list_lines(provider=provider) if not x.last.lease]
            found += [_make_receipt("", provider, lines, note)] if lines or note else []
        return found

    async def _list_named_receipts(self, given: str, leases: Sequence[Lease]) -> list[Receipt]:
        trips = {trip.id: trip for trip in await self.store.list_trips()}
        ids = [*(lease.id for lease in leases), *trips]
        volumes = await self._find_volumes(given)
        if volumes and given not in ids:
            return [await self.get_volume_receipt(volume) for volume in volumes]
        found = find_id(given, ids)
        if found in trips:
            return [await self._get_trip_receipt(trips[found])]
        return [await self.get_current_receipt(found or given)]

    async def _find_volumes(self, name: str) -> list[Volume]:
        every = await self.store.list_volumes()
        return [volume for volume in every if name == volume.id] or [x for x in every if name == x.name]

    async def _get_trip_receipt(self, trip: TripRecord) -> Receipt:
        note = await self.bookkeeping.sync_trip(trip)
        lines = await self.bookkeeping.list_lines(trip=trip.id)
        lease = await self.store.find_lease(trip.lease) if trip.lease else None
        payees = _list_payees(await self.store.list_trip_payments(trip.id))
        if lease is None:
            return evolve(_make_receipt(trip.id, trip.spec.provider, lines, note), payees=payees)
        return evolve(
            _make_receipt(trip.id, lease.provider, lines, note),
            payees=payees,
            started_at=lease.started_at,
            ended_at=lease.ended_at,
            idle=await list_lease_idle_spans(self.store, lease.id),
        )

    async def _make_lease_receipt(self, lease: Lease, idle: IdleSpans, note: str) -> Receipt:
        return evolve(
            _make_receipt(lease.id, lease.provider, await self.bookkeeping.list_lines(lease=lease.id), note),
            started_at=lease.started_at,
            ended_at=lease.ended_at,
            idle=idle,
            payees=_list_payees(await self.store.list_lease_payments(lease.id)),
            declared=str(lease.declared.price) if lease.declared else "",
        )


def _list_payees(payments: Iterable[RecordedPayment]) -> tuple[str, ...]:
    """Return to whom the payments went, each once."""
    return tuple(dict.fromkeys(payment.payee for payment in payments if payment.payee))


def _make_receipt(name: str, provider: str, lines: Iterable[LedgerLine], note: str) -> Receipt:
    charges = sorted((x.charge for x in lines if x.money.amount), key=lambda charge: charge.at)
    return Receipt(
        lease=name, provider=provider, charges=tuple(charges), started_at=None, ended_at=None, note=note
    )
