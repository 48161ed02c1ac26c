"""Step: give the machine back, and account for every unit."""

from __future__ import annotations

from datetime import datetime, timedelta

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.receipt import Receipt
from gpurent.errors import LeaseError, Spent
from gpurent.locale import _
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext

POLL = timedelta(seconds=6)
PATIENCE = timedelta(minutes=30)
BOOKS = timedelta(minutes=5)


async def release_lease(trail: TripContext, lease_id: str) -> Lease:
    """Release until the shop says that it is over. Idempotent; journaled once it is so."""
    desk = trail.desk

    async def release() -> str:
        waited = timedelta()
        lease = desk.lease(lease_id)
        while not (lease.over and lease.pending is None):
            lease = desk.keep(await desk.shop_of(lease).release(lease))
            if lease.over:
                break
            if waited >= PATIENCE:
                raise LeaseError(
                    _("{lease} was given back, but its shop does not say that it ended").format(
                        lease=lease_id
                    ),
                    hint=_("Look at the shop's page, then: gpurent release {lease}").format(lease=lease_id),
                    spent=Spent.YES,
                    burning=(lease_id,),
                    retryable=True,
                )
            await desk.pace(POLL)
            waited += POLL
            lease = await desk.look(lease_id)
        trail.tell(EventKind.RELEASED, lease.note, lease=lease.id, state=lease.state.value)
        return lease.state.value

    async with desk.turn(lease_id):
        await trail.once("release", str, release)
    lease = desk.lease(lease_id)
    await desk.books.sync_account(lease.provider)
    return lease


async def receipt_of(
    desk: Desk, lease: Lease, idle: tuple[tuple[str, timedelta], ...] = (), patience: timedelta = BOOKS
) -> Receipt:
    """The receipt by the ledger, brought up to date with the shop's books; waits for refunds that are on their way.

    With those books out of reach it holds what the ledger knows, and its ``note`` says so.
    """
    waited = timedelta()
    while True:
        reason = await desk.books.sync(lease.id, quiet=True)
        receipt = Receipt(
            lease=lease.id,
            provider=lease.provider,
            charges=tuple(desk.books.charges(lease=lease.id)),
            started_at=lease.started_at,
            ended_at=lease.ended_at,
            idle=idle,
            note=reason,
            declared=str(lease.declared.price) if lease.declared else "",
        )
        held = any(total.held.amount > 0 for total in receipt.totals())
        if not (lease.over and (held or reason)) or waited >= patience:
            return receipt
        await desk.pace(POLL)
        waited += POLL


def idle_spans(
    trail: TripContext, job_started: datetime | None, job_ended: datetime | None
) -> tuple[tuple[str, timedelta], ...]:
    """Paid but idle, in provider time: from the end of the upload to the job's start, from its end to the release.

    A setup is work as far as it lies in between.
    """
    rows = trail.desk.journal.steps(trail.trip)
    steps = {row.name: row.done_at for row in rows}
    setups = [(row.begun_at, row.done_at) for row in rows if row.done_at and row.name.endswith(".setup")]
    pushed = max((at for name, at in steps.items() if name.endswith(".push") and at), default=None)
    released = steps.get("release")
    spans = []
    if pushed and job_started:
        ready = [max(timedelta(), min(end, job_started) - max(begin, pushed)) for begin, end in setups]
        spans.append(("upload-to-job", max(timedelta(), job_started - pushed - sum(ready, timedelta()))))
    if job_ended and released:
        spans.append(("job-to-release", max(timedelta(), released - job_ended)))
    return tuple(spans)


async def settle(
    trail: TripContext, lease_id: str, job_started: datetime | None, job_ended: datetime | None
) -> Receipt:
    """Give back, then the receipt."""
    lease = await release_lease(trail, lease_id)

    async def books() -> Receipt:
        return await receipt_of(trail.desk, lease, idle_spans(trail, job_started, job_ended))

    return await trail.once("receipt", Receipt, books)
