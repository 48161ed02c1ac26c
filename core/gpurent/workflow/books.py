"""The user's own books: what the wallet paid and what the shops' books say, entered once, whenever money moved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from gpurent.adapters.codec import loads
from gpurent.adapters.journal import TripRow
from gpurent.adapters.ledger import Ledger
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.model.events import EventKind
from gpurent.model.lease import Lease
from gpurent.model.ledger import Line, Transaction, lines, transaction
from gpurent.model.money import Rate
from gpurent.model.offer import Known, Unknown
from gpurent.model.order import Bill, Payment
from gpurent.model.receipt import Charge, ChargeKind, Total, totals
from gpurent.model.trip import Plan
from gpurent.ports.billing import Statement
from gpurent.ports.lease import Binding

if TYPE_CHECKING:
    from gpurent.workflow.desk import Desk


@frozen(kw_only=True)
class Paid:
    """A payment that the journal has: its bill, the trip and lease it was for (a binding's fee is for no lease)."""

    payment: Payment
    bill: Bill
    trip: TripRow
    lease: str
    provider: str


class Books:
    """Bound to one desk. Entering is idempotent: nothing is entered twice, nothing is ever changed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self._desk.journal.database, self._desk.clock.now)

    # entering

    async def sync(self, lease: str, *, quiet: bool = False) -> str:
        """Bring what was paid for ``lease``, and its shop's charges, into the ledger.

        Never fails: gives the reason why the shop's books could not be entered, empty when they were; a later sync
        makes it good. It is told as a warning unless ``quiet``.
        """
        desk = self._desk
        found = desk.lease(lease)
        paid = self.paid(lease=lease)
        reason = self._enter(self._held(paid))
        try:
            charges = await desk.wallet_of(found).charges(found)
            reason = charges.reason if isinstance(charges, Unknown) else ""
        except GpurentError as error:
            charges = Unknown(error.message)
            reason = error.message
        if isinstance(charges, Known):
            reason = self._enter(self.missing(found, charges.items, paid))
        if reason and not quiet:
            text = _("the books of {lease} could not be brought up to date: {reason}")
            desk.tell(EventKind.WARNING, text.format(lease=lease, reason=reason), lease=lease)
        return reason

    async def sync_account(self, provider: str) -> str:
        """Bring in what the account itself lists: top-ups, and fees that were paid for no lease.

        The reason why not, empty when done.
        """
        try:
            found = await self.statement(provider)
        except GpurentError as error:
            return error.message
        if isinstance(found, Unknown):
            return found.reason
        return self._enter(self.missing_account(provider, found.items))

    async def statement(self, provider: str) -> Known[Charge] | Unknown:
        """The account's own list; nothing where it keeps none."""
        wallet = self._desk.wallet(provider)
        return await wallet.statement() if isinstance(wallet, Statement) else Known(())

    def missing_account(self, provider: str, charges: Sequence[Charge]) -> list[Transaction]:
        """Of an account's statement: the top-ups and the fees that the ledger lacks."""
        known = {(line.last.ref, line.last.kind): line for line in self.lines(provider=provider)}
        fees = {
            item.payment.proof: item.trip.id
            for item in self.paid()
            if item.provider == provider and not item.lease
        }
        made = []
        for charge in charges:
            trip = fees.get(charge.ref, "")
            kind = ChargeKind.FEE if trip else charge.kind
            if kind not in (ChargeKind.TOP_UP, ChargeKind.FEE) or (charge.ref, kind) in known:
                continue
            made.append(transaction(evolve(charge, kind=kind), provider, trip=trip))
            hold = known.get((charge.ref, ChargeKind.HOLD))
            if hold is not None and hold.money.amount:
                made.append(hold.reversal(hold.last.at, kind.value))
        return made

    def note_payments(self, trip: str) -> None:
        """Enter what ``trip`` paid so far. Asks nobody."""
        self._enter(self._held(self.paid(trip=trip)))

    def _enter(self, entries: Iterable[Transaction]) -> str:
        try:
            self.ledger.enter(entries)
        except sqlite3.Error as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def missing(self, lease: Lease, charges: Sequence[Charge], paid: Sequence[Paid]) -> list[Transaction]:
        """What the ledger lacks of ``charges``: new ones, what a meter added, holds that are over."""
        known = {(line.last.ref, line.last.kind): line for line in self.lines(lease=lease.id)}
        trips = {item.payment.proof: item.trip.id for item in paid}
        default = self._trip_of(lease.id)
        made: list[Transaction] = []
        for charge in charges:
            line = known.get((charge.ref, charge.kind))
            rest = _rest(charge, line)
            if rest is not None:
                entry = transaction(
                    rest,
                    lease.provider,
                    lease=lease.id,
                    trip=trips.get(charge.ref, default),
                    gpu=_gpu(lease),
                    part=line.last.part + 1 if line else 0,
                )
                made.append(entry)
            hold = known.get((charge.ref, ChargeKind.HOLD))
            if hold is not None and hold.money.amount and charge.kind is not ChargeKind.HOLD:
                made.append(hold.reversal(hold.last.at, charge.kind.value))
        return made

    def _held(self, paid: Sequence[Paid]) -> Iterable[Transaction]:
        """A payment is on hold until the books there list it; where none would, it is spent at once."""
        for item in paid:
            payment = item.payment
            if not payment.amount.amount or self.ledger.has(item.provider, payment.proof):
                continue
            listed = item.lease or self._keeps_statement(item.provider)
            charge = Charge(
                at=payment.at,
                kind=ChargeKind.HOLD if listed else ChargeKind.FEE,
                money=payment.amount,
                ref=payment.proof,
                note=item.bill.purpose.value,
                rate=self._rate(item.trip.id),
            )
            yield self._paid_entry(charge, item)
            if payment.fee is not None and payment.fee.amount:
                yield self._paid_entry(
                    evolve(charge, kind=ChargeKind.FEE, money=payment.fee, ref=f"{payment.proof}/fee"), item
                )

    def _keeps_statement(self, provider: str) -> bool:
        try:
            return isinstance(self._desk.wallet(provider), Statement)
        except GpurentError:
            return True

    def _paid_entry(self, charge: Charge, item: Paid) -> Transaction:
        lease = self._desk.journal.lease(item.lease) if item.lease else None
        gpu = _gpu(lease) if lease is not None else ""
        return transaction(charge, item.provider, lease=item.lease, trip=item.trip.id, gpu=gpu)

    def _rate(self, trip: str) -> Rate | None:
        """The rate that the trip's own quote was made with."""
        planned = self._desk.journal.recall(trip, "plan", Plan)
        return planned.quote.rate if planned is not None else None

    # looking

    def paid(self, *, trip: str = "", lease: str = "") -> Sequence[Paid]:
        """The payments in the journal, of one trip or of all trips of one lease."""
        found = []
        for row in self._desk.journal.trips():
            if (trip and row.id != trip) or (lease and row.lease != lease):
                continue
            for name, value in self._desk.journal.recorded(row.id, ".pay"):
                step = name.removesuffix(".pay")
                bill = self._bill(row.id, step)
                if bill is None:
                    continue
                own = row.lease if step.startswith("leg") else ""
                known = self._desk.journal.lease(row.lease) if row.lease else None
                provider = row.want.provider or (known.provider if known else "")
                found.append(
                    Paid(payment=loads(value, Payment), bill=bill, trip=row, lease=own, provider=provider)
                )
        return found

    def _bill(self, trip: str, step: str) -> Bill | None:
        bill = self._desk.journal.recall(trip, f"{step}.bill", Bill)
        if bill is not None:
            return bill
        binding = self._desk.journal.recall(trip, f"{step}.request", Binding)
        return binding.bill if binding is not None else None

    def _trip_of(self, lease: str) -> str:
        """The trip that rented ``lease``."""
        return next((row.id for row in self._desk.journal.trips() if row.lease == lease), "")

    def lines(
        self,
        *,
        provider: str = "",
        trip: str = "",
        lease: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Line]:
        """Each movement with all its parts, in the order of entry."""
        found = self.ledger.entries(provider=provider, trip=trip, lease=lease, since=since, until=until)
        return lines(found)

    def charges(self, **which: str | datetime | None) -> Sequence[Charge]:
        """As on a receipt, in the order of time."""
        found = [line.charge for line in self.lines(**which) if line.money.amount]  # type: ignore[arg-type]
        return sorted(found, key=lambda charge: charge.at)

    def spending(
        self,
        *,
        provider: str = "",
        trip: str = "",
        lease: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[Total, ...]:
        """Paid, refunded, spent and held in each currency, by the ledger as it is now; ``until`` is not in it."""
        return totals(self.charges(provider=provider, trip=trip, lease=lease, since=since, until=until))


def _gpu(lease: Lease) -> str:
    return lease.offer.hardware.gpu or "CPU"


def _rest(charge: Charge, line: Line | None) -> Charge | None:
    """What of ``charge`` is not in ``line`` yet; a line that ended is never added to."""
    if line is None or not line.parts:
        return charge
    if not line.last.growing or charge.money.currency != line.money.currency:
        return None
    more = charge.money - line.money
    if more.amount < 0 or (more.amount == 0 and charge.growing):
        return None
    # A part of nothing says that the meter stopped.
    return evolve(charge, money=more)
