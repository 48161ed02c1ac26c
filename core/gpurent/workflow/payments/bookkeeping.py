"""The user's own ledger: what the account paid and what its statements list, entered once, whenever money moved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine, Transaction, lines, missing, transaction
from gpurent.domain.offer import Bill, Known, Payment, Unknown
from gpurent.domain.receipt import Charge, ChargeKind, Total, totals
from gpurent.domain.trip import Plan, TripRecord
from gpurent.errors import GpurentError, LeaseError
from gpurent.locale import _
from gpurent.ports.store import Store, TripStore
from gpurent.roles.account import SupportsStatement
from gpurent.roles.lease import Binding
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins


@frozen(kw_only=True)
class RecordedPayment:
    """A payment, its bill, and the trip and lease that it was for (the fee of a binding is for no lease)."""

    payment: Payment
    bill: Bill
    trip: TripRecord
    lease: str
    provider: str


def recorded_payments(store: Store, trips: list[TripRecord]) -> Iterator[RecordedPayment]:
    for trip in trips:
        lease = store.lease(trip.lease) if trip.lease else None
        provider = trip.spec.provider or (lease.provider if lease is not None else "")
        for name, payment in store.recorded_steps(trip.id, ".pay", Payment):
            step = name.removesuffix(".pay")
            bill = _bill_of(store, trip.id, step)
            if bill is not None:
                yield RecordedPayment(
                    payment=payment,
                    bill=bill,
                    trip=trip,
                    lease=trip.lease if step.startswith("leg") else "",
                    provider=provider,
                )


def _bill_of(store: TripStore, trip: str, step: str) -> Bill | None:
    bill = store.recall_step(trip, f"{step}.bill", Bill)
    if bill is not None:
        return bill
    binding = store.recall_step(trip, f"{step}.request", Binding)
    return binding.bill if binding is not None else None


class LedgerFilter(TypedDict, total=False):
    """Which entries are meant; what is left out does not matter. ``since`` is in, ``until`` is not."""

    provider: str
    trip: str
    lease: str
    since: datetime | None
    until: datetime | None


@frozen
class Bookkeeping:
    """Entering is idempotent: nothing is entered twice, nothing is ever changed."""

    store: Store
    plugins: Plugins
    events: EventEmitter

    # bringing the ledger up to date: never fails, gives the reason why not, empty when done; a later call makes it good

    async def sync_lease(self, lease_id: str, *, quiet: bool = False) -> str:
        """Enter what was paid for the lease, and its charges. The reason is emitted as a warning unless ``quiet``."""
        lease = self.store.lease(lease_id)
        if lease is None:
            raise LeaseError(_("no lease is called {given}").format(given=lease_id))
        paid = self.paid(lease=lease.id)
        self._enter(self._payment_entries(paid))
        charges = await self.lease_charges(lease)
        if isinstance(charges, Unknown):
            reason = charges.reason
        else:
            reason = self._enter(self.missing_entries(lease, charges.items, paid))
        if reason and not quiet:
            text = _("the books of {lease} could not be brought up to date: {reason}")
            self.events.emit(EventKind.WARNING, text.format(lease=lease.id, reason=reason), lease=lease.id)
        return reason

    async def sync_account(self, provider: str) -> str:
        """Enter what the account itself lists: top-ups, and fees that were paid for no lease."""
        found = await self.account_statement(provider)
        if isinstance(found, Unknown):
            return found.reason
        return self._enter(self.missing_account_entries(provider, found.items))

    async def sync_trip(self, trip: TripRecord) -> str:
        """Enter what the trip paid, the charges of its lease, and what its account lists."""
        self.record_payments(trip.id)
        lease = self.store.lease(trip.lease) if trip.lease else None
        if lease is None:
            return await self.sync_account(trip.spec.provider)
        reasons = [await self.sync_lease(lease.id, quiet=True)]
        if self.plugins.is_listed(lease):
            reasons.append(await self.sync_account(lease.provider))
        return next(filter(None, reasons), "")

    async def sync_all(self) -> dict[str, str]:
        """Enter everything that may have changed; the reason by lease or provider why not."""
        for trip in self.store.trips():
            self.record_payments(trip.id)
        reasons = {
            lease.id: await self.sync_lease(lease.id, quiet=True)
            for lease in self.store.leases()
            if not self._is_final(lease)
        }
        reasons |= {name: await self.sync_account(name) for name in self.providers()}
        return {name: reason for name, reason in reasons.items() if reason}

    def record_payments(self, trip_id: str) -> None:
        """Enter what the trip paid so far. Asks nobody."""
        self._enter(self._payment_entries(self.paid(trip=trip_id)))

    def _is_final(self, lease: Lease) -> bool:
        """Over, with nothing on a meter, on hold or locked: its provider has nothing new to report."""
        if not lease.over:
            return False
        found = [line for line in self.lines(lease=lease.id) if line.money.amount]
        held = any(total.held.amount for total in self.spending(lease=lease.id))
        return bool(found) and not held and not any(line.last.growing for line in found)

    def _enter(self, entries: Iterable[Transaction]) -> str:
        try:
            self.store.ledger.enter(entries)
        except Exception as error:  # noqa: BLE001 - the money has moved: a full disk must not stop the trip
            return f"{type(error).__name__}: {error}"
        return ""

    def _payment_entries(self, paid: Sequence[RecordedPayment]) -> Iterable[Transaction]:
        """A payment is on hold until a statement lists it; where none would, it is spent at once.

        To be consumed inside the ledger's own transaction: nobody else enters a payment between look and entry.
        """
        for item in paid:
            payment = item.payment
            if not payment.amount.amount or self.store.ledger.has(item.provider, payment.proof):
                continue
            listed = item.lease or self.keeps_statement(item.provider)
            plan = self.store.recall_step(item.trip.id, "plan", Plan)
            charge = Charge(
                at=payment.at,
                kind=ChargeKind.HOLD if listed else ChargeKind.FEE,
                money=payment.amount,
                ref=payment.proof,
                note=item.bill.purpose.value,
                rate=plan.quote.rate if plan is not None else None,
            )
            yield self._payment_entry(charge, item)
            if payment.fee is not None and payment.fee.amount:
                fee = evolve(charge, kind=ChargeKind.FEE, money=payment.fee, ref=f"{payment.proof}/fee")
                yield self._payment_entry(fee, item)

    def _payment_entry(self, charge: Charge, item: RecordedPayment) -> Transaction:
        lease = self.store.lease(item.lease) if item.lease else None
        gpu = _gpu_of(lease) if lease is not None else ""
        return transaction(charge, item.provider, lease=item.lease, trip=item.trip.id, gpu=gpu)

    # what the accounts' own statements say

    async def lease_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        """The lease's charges by the account's own statement; `Unknown` whatever is wrong with that."""
        return await _contain(lambda: self.plugins.billing_of(lease).charges(lease))

    async def account_statement(self, provider: str) -> Known[Charge] | Unknown:
        """The account's whole statement, likewise; nothing where it keeps none."""

        async def ask() -> Known[Charge] | Unknown:
            billing = self.plugins.billing(provider)
            return await billing.statement() if isinstance(billing, SupportsStatement) else Known(())

        return await _contain(ask)

    def keeps_statement(self, provider: str) -> bool:
        """Whether the account lists all its movements; one that cannot be built now may."""
        try:
            return isinstance(self.plugins.billing(provider), SupportsStatement)
        except GpurentError:
            return True

    def missing_entries(
        self, lease: Lease, charges: Sequence[Charge], paid: Sequence[RecordedPayment]
    ) -> list[Transaction]:
        """What the ledger lacks of ``charges``: new ones, what a meter added, holds that are over."""
        known = {line.key: line for line in self.lines(lease=lease.id)}
        trips = {item.payment.proof: item.trip.id for item in paid}
        # What no trip paid belongs to the trip that rented the lease.
        renting = next((record.id for record in self.store.trips(lease.id)), "")
        return [
            entry
            for charge in charges
            for entry in missing(
                charge,
                lease.provider,
                known,
                lease=lease.id,
                trip=trips.get(charge.ref, renting),
                gpu=_gpu_of(lease),
            )
        ]

    def missing_account_entries(self, provider: str, charges: Sequence[Charge]) -> list[Transaction]:
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

    # what the ledger says

    def paid(self, *, trip: str = "", lease: str = "") -> Sequence[RecordedPayment]:
        """The payments of one trip, of all trips of one lease, or all."""
        trips = [record for record in self.store.trips(lease) if trip in ("", record.id)]
        return list(recorded_payments(self.store, trips))

    def providers(self) -> Sequence[str]:
        """Every provider that something was rented at, or paid to; not where nothing is in its own lists."""
        leases = self.store.leases()
        listed = {lease.provider for lease in leases if self.plugins.is_listed(lease)}
        unlisted = {lease.provider for lease in leases} - listed
        return sorted(listed | set(self.store.ledger.providers()) - unlisted)

    def lines(self, **which: Unpack[LedgerFilter]) -> Sequence[LedgerLine]:
        """Each movement with all its parts, in the order of entry."""
        return lines(self.store.ledger.entries(**which))

    def charges(self, **which: Unpack[LedgerFilter]) -> Sequence[Charge]:
        """As on a receipt, in the order of time."""
        found = [line.charge for line in self.lines(**which) if line.money.amount]
        return sorted(found, key=lambda charge: charge.at)

    def spending(self, **which: Unpack[LedgerFilter]) -> tuple[Total, ...]:
        """Paid, refunded, spent and held in each currency, by the ledger as it is now."""
        return totals(self.charges(**which))


async def _contain(ask: Callable[[], Awaitable[Known[Charge] | Unknown]]) -> Known[Charge] | Unknown:
    try:
        return await ask()
    except GpurentError as error:
        return Unknown(error.message)
    except Exception as error:  # noqa: BLE001 - a plugin's fault must not stop a trip that has paid
        return Unknown(f"{type(error).__name__}: {error}")


def _gpu_of(lease: Lease) -> str:
    return lease.offer.hardware.gpu or "CPU"
