"""Whether a bill was paid by a process that died before it could write so down."""

from __future__ import annotations

from gpurent.domain.offer import Unknown
from gpurent.domain.order import Bill, Purpose
from gpurent.domain.receipt import ChargeKind
from gpurent.workflow.runtime.durable_steps import TripContext

_KINDS = {
    Purpose.RENT: ChargeKind.USE,
    Purpose.DEPOSIT: ChargeKind.DEPOSIT,
    Purpose.RENEWAL: ChargeKind.RENEWAL,
    Purpose.FEE: ChargeKind.FEE,
}


async def paid_before(trail: TripContext, step: str, provider: str, bill: Bill) -> bool:
    """By the account's own books: a payment of exactly this bill since ``step`` was first begun, before it was due.

    False also when the books do not say: then nothing is paid late.
    """
    journal = trail.desk.journal
    row = journal.trip(trail.trip)
    lease = journal.lease(row.lease) if row is not None else None
    begun = next((item.begun_at for item in journal.steps(trail.trip) if item.name == step), None)
    if lease is None or begun is None or bill.due is None or begun >= bill.due:
        return False
    charges = await trail.desk.wallet(provider).charges(lease)
    if isinstance(charges, Unknown):
        return False
    return any(
        charge.money == bill.amount and charge.kind is _KINDS[bill.purpose] and charge.at >= begun
        for charge in charges.items
    )
