"""The user's own books: what the wallet paid and what the shops' books say, entered once, whenever money moved."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine, Transaction, lines, missing, transaction
from gpurent.domain.money import Rate
from gpurent.domain.offer import Known, Unknown
from gpurent.domain.order import Bill, Payment
from gpurent.domain.receipt import Charge, ChargeKind, Total, totals
from gpurent.domain.trip import Plan
from gpurent.errors import GpurentError
from gpurent.infra.sqlite.codec import loads
from gpurent.infra.sqlite.journal import TripRow
from gpurent.infra.sqlite.ledger import Ledger
from gpurent.locale import _
from gpurent.roles.billing import SupportsStatement
from gpurent.roles.lease import Binding

if TYPE_CHECKING:
    from gpurent.workflow.runtime.desk import Desk


@frozen(kw_only=True)
class Paid:
    """A payment that the journal has: its bill, the trip and lease it was for (a binding's fee is for no lease)."""

    payment: Payment
    bill: Bill
    trip: TripRow
    lease: str
    provider: str


class Bookkeeping:
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
        found = desk.journal.lease(lease) or desk.lease(lease)
        paid = self.paid(lease=found.id)
        self._enter(self._held(paid))
        charges = await self.listed(found)
        if isinstance(charges, Unknown):
            reason = charges.reason
        else:
            reason = self._enter(self.missing(found, charges.items, paid))
        if reason and not quiet:
            text = _("the books of {lease} could not be brought up to date: {reason}")
            desk.tell(EventKind.WARNING, text.format(lease=lease, reason=reason), lease=lease)
        return reason

    async def sync_account(self, provider: str) -> str:
        """Bring in what the account itself lists: top-ups, and fees that were paid for no lease.

        The reason why not, empty when done.
        """
        found = await self.statement(provider)
        if isinstance(found, Unknown):
            return found.reason
        return self._enter(self.missing_account(provider, found.items))

    async def listed(self, lease: Lease) -> Known[Charge] | Unknown:
        """The lease's charges by the account's own books; `Unknown` whatever is wrong with those."""
        return await _contained(lambda: self._desk.wallet_of(lease).charges(lease))

    async def statement(self, provider: str) -> Known[Charge] | Unknown:
        """The account's own list, likewise; nothing where it keeps none."""

        async def ask() -> Known[Charge] | Unknown:
            wallet = self._desk.wallet(provider)
            return await wallet.statement() if isinstance(wallet, SupportsStatement) else Known(())

        return await _contained(ask)

    def missing_account(self, provider: str, charges: Sequence[Charge]) -> list[Transaction]:
        """Of an account's statement: the top-ups and the fees that the ledger lacks."""
        known = {line.key: line for line in self.lines(provider=provider)}
        fees = {
            item.payment.proof: item.trip.id
            for item in self.paid()
            if item.provider == provider and not item.lease
        }
        made = []
        for charge in charges:
            trip = fees.get(charge.ref, "")
            kind = ChargeKind.FEE if trip else charge.kind
            if kind in (ChargeKind.TOP_UP, ChargeKind.FEE):
                made += missing(evolve(charge, kind=kind), provider, known, trip=trip)
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
        known = {line.key: line for line in self.lines(lease=lease.id)}
        trips = {item.payment.proof: item.trip.id for item in paid}
        default = self._trip_of(lease.id)
        return [
            entry
            for charge in charges
            for entry in missing(
                charge,
                lease.provider,
                known,
                lease=lease.id,
                trip=trips.get(charge.ref, default),
                gpu=_gpu(lease),
            )
        ]

    def _held(self, paid: Sequence[Paid]) -> Iterable[Transaction]:
        """A payment is on hold until the books there list it; where none would, it is spent at once."""
        for item in paid:
            payment = item.payment
            if not payment.amount.amount or self.ledger.has(item.provider, payment.proof):
                continue
            listed = item.lease or self.keeps_statement(item.provider)
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

    def keeps_statement(self, provider: str) -> bool:
        """Whether the account lists all its movements; a wallet that cannot be built now may."""
        try:
            return isinstance(self._desk.wallet(provider), SupportsStatement)
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
        for row in self._desk.journal.trips(lease):
            if trip and row.id != trip:
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
        return next((row.id for row in self._desk.journal.trips(lease)), "")

    def providers(self) -> Sequence[str]:
        """Every provider that something was rented at, or paid to; not where all was only declared by hand."""
        leases = self._desk.journal.leases()
        rented = {lease.provider for lease in leases if lease.declared is None}
        declared = {lease.provider for lease in leases} - rented
        return sorted(rented | set(self.ledger.providers()) - declared)

    def lines(
        self,
        *,
        provider: str = "",
        trip: str = "",
        lease: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[LedgerLine]:
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


async def _contained(ask: Callable[[], Awaitable[Known[Charge] | Unknown]]) -> Known[Charge] | Unknown:
    try:
        return await ask()
    except GpurentError as error:
        return Unknown(error.message)
    except Exception as error:  # noqa: BLE001 - a plugin's fault must not stop a trip that has paid
        return Unknown(f"{type(error).__name__}: {error}")


def _gpu(lease: Lease) -> str:
    return lease.offer.hardware.gpu or "CPU"
