"""Receipts by the ledger: of a lease, of a trip, of everything."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from gpurent.domain.ledger import LedgerLine
from gpurent.domain.receipt import Receipt
from gpurent.workflow.trips.operations import Service


async def receipts(service: Service, given: str = "") -> list[Receipt]:
    """Of the lease or the trip that ``given`` names; else of every lease, and of each account what is for none."""
    desk = service.desk
    if given:
        trips = [row.id for row in service.trips() if given in (row.id, row.id.rpartition("-")[2])]
        if trips and not any(lease.id == given for lease in desk.journal.leases()):
            return [await _of_trip(service, trips[0])]
        return [await service.receipt(given)]
    leases = desk.journal.leases()
    found = [await service.receipt(lease.id) for lease in leases]
    for provider in desk.books.providers():
        note = await desk.books.sync_account(provider)
        lines = [line for line in desk.books.lines(provider=provider) if not line.last.lease]
        found += [_receipt("", provider, lines, note)] if lines or note else []
    return found


async def _of_trip(service: Service, trip: str) -> Receipt:
    desk = service.desk
    row = service.trip(trip)
    desk.books.note_payments(trip)
    lease = desk.journal.lease(row.lease) if row.lease else None
    provider = lease.provider if lease is not None else row.want.provider
    notes = [await desk.books.sync(lease.id, quiet=True)] if lease is not None else []
    if lease is None or lease.declared is None:
        notes.append(await desk.books.sync_account(provider))
    made = _receipt(trip, provider, desk.books.lines(trip=trip), next(filter(None, notes), ""))
    if lease is None:
        return made
    return evolve(made, started_at=lease.started_at, ended_at=lease.ended_at, idle=service.idle_of(lease.id))


def _receipt(name: str, provider: str, lines: Iterable[LedgerLine], note: str) -> Receipt:
    charges = sorted((line.charge for line in lines if line.money.amount), key=lambda charge: charge.at)
    return Receipt(
        lease=name, provider=provider, charges=tuple(charges), started_at=None, ended_at=None, note=note
    )
