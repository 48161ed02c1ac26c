"""The user's own ledger: what the account paid and what its statements list, entered once, whenever money moved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import (
    LedgerLine,
    Transaction,
    group_lines,
    make_missing_transactions,
    make_transaction,
)
from gpurent.domain.offer import Bill, Known, Payment, Unknown
from gpurent.domain.receipt import Charge, ChargeKind, ReceiptTotal, sum_charges
from gpurent.domain.trip import TripPlan, TripRecord
from gpurent.errors import GpurentError, LeaseError
from gpurent.locale import _
from gpurent.ports.store import Store, TripStore
from gpurent.roles.account import SupportsStatement
from gpurent.roles.lease import MailBinding
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


def iter_recorded_payments(store: Store, trips: list[TripRecord]) -> Iterator[RecordedPayment]:
    for trip in trips:
        lease = store.find_lease(trip.lease) if trip.lease else None
        provider = trip.spec.provider or (lease.provider if lease is not None else "")
        for name, payment in store.list_recorded_steps(trip.id, ".pay", Payment):
            step = name.removesuffix(".pay")
            bill = _find_bill(store, trip.id, step)
            if bill is not None:
                yield RecordedPayment(
                    payment=payment,
                    bill=bill,
                    trip=trip,
                    lease=trip.lease if step.startswith("leg") else "",
                    provider=provider,
                )


def _find_bill(store: TripStore, trip: str, step: str) -> Bill | None:
    bill = store.find_step_value(trip, f"{step}.bill", Bill)
    if bill is not None:
        return bill
    binding = store.find_step_value(trip, f"{step}.request", MailBinding)
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
        lease = self.store.find_lease(lease_id)
        if lease is None:
            raise LeaseError(_("no lease is called {given}").format(given=lease_id))
        paid = self.list_payments(lease=lease.id)
        self._enter_transactions(self._make_payment_entries(paid))
        charges = await self.list_lease_charges(lease)
        if isinstance(charges, Unknown):
            reason = charges.reason
        else:
            reason = self._enter_transactions(self.find_missing_entries(lease, charges.items, paid))
        if reason and not quiet:
            text = _("the books of {lease} could not be brought up to date: {reason}")
            self.events.emit(EventKind.WARNING, text.format(lease=lease.id, reason=reason), lease=lease.id)
        return reason

    async def sync_account(self, provider: str) -> str:
        """Enter what the account itself lists: top-ups, and fees that were paid for no lease."""
        found = await self.get_account_statement(provider)
        if isinstance(found, Unknown):
            return found.reason
        return self._enter_transactions(self.find_missing_account_entries(provider, found.items))

    async def sync_trip(self, trip: TripRecord) -> str:
        """Enter what the trip paid, the charges of its lease, and what its account lists."""
        self.record_payments(trip.id)
        lease = self.store.find_lease(trip.lease) if trip.lease else None
        if lease is None:
            return await self.sync_account(trip.spec.provider)
        reasons = [await self.sync_lease(lease.id, quiet=True)]
        if self.plugins.is_known_to_provider(lease):
            reasons.append(await self.sync_account(lease.provider))
        return next(filter(None, reasons), "")

    async def sync_all(self) -> dict[str, str]:
        """Enter everything that may have changed; the reason by lease or provider why not."""
        for trip in self.store.list_trips():
            self.record_payments(trip.id)
        reasons = {
            lease.id: await self.sync_lease(lease.id, quiet=True)
            for lease in self.store.list_leases()
            if not self._is_final(lease)
        }
        reasons |= {name: await self.sync_account(name) for name in self.list_providers()}
        return {name: reason for name, reason in reasons.items() if reason}

    def record_payments(self, trip_id: str) -> None:
        """Enter what the trip paid so far. Asks nobody."""
        self._enter_transactions(self._make_payment_entries(self.list_payments(trip=trip_id)))

    def _is_final(self, lease: Lease) -> bool:
        """Over, with nothing on a meter, on hold or locked: its provider has nothing new to report."""
        if not lease.is_over:
            return False
        found = [line for line in self.list_lines(lease=lease.id) if line.money.amount]
        held = any(total.held.amount for total in self.sum_spending(lease=lease.id))
        return bool(found) and not held and not any(line.last.growing for line in found)

    def _enter_transactions(self, entries: Iterable[Transaction]) -> str:
        try:
            self.store.ledger.add_transactions(entries)
        except Exception as error:  # noqa: BLE001 - the money has moved: a full disk must not stop the trip
            return f"{type(error).__name__}: {error}"
        return ""

    def _make_payment_entries(self, paid: Sequence[RecordedPayment]) -> Iterable[Transaction]:
        """A payment is on hold until a statement lists it; where none would, it is spent at once.

        To be consumed inside the ledger's own transaction: nobody else enters a payment between look and entry.
        """
        for item in paid:
            payment = item.payment
            if not payment.amount.amount or self.store.ledger.has_entry(item.provider, payment.proof):
                continue
            listed = item.lease or self.has_statement(item.provider)
            plan = self.store.find_step_value(item.trip.id, "plan", TripPlan)
            charge = Charge(
                at=payment.at,
                kind=ChargeKind.HOLD if listed else ChargeKind.FEE,
                money=payment.amount,
                ref=payment.proof,
                note=item.bill.purpose.value,
                rate=plan.quote.rate if plan is not None else None,
            )
            yield self._make_payment_entry(charge, item)
            if payment.fee is not None and payment.fee.amount:
                fee = evolve(charge, kind=ChargeKind.FEE, money=payment.fee, ref=f"{payment.proof}/fee")
                yield self._make_payment_entry(fee, item)

    def _make_payment_entry(self, charge: Charge, item: RecordedPayment) -> Transaction:
        lease = self.store.find_lease(item.lease) if item.lease else None
        gpu = _gpu_name(lease) if lease is not None else ""
        return make_transaction(charge, item.provider, lease=item.lease, trip=item.trip.id, gpu=gpu)

    # what the accounts' own statements say

    async def list_lease_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        """The lease's charges by the account's own statement; `Unknown` whatever is wrong with that."""
        return await _unknown_on_error(lambda: self.plugins.billing_of(lease).list_charges(lease))

    async def get_account_statement(self, provider: str) -> Known[Charge] | Unknown:
        """The account's whole statement, likewise; nothing where it keeps none."""

        async def ask() -> Known[Charge] | Unknown:
            billing = self.plugins.billing(provider)
            return await billing.get_statement() if isinstance(billing, SupportsStatement) else Known(())

        return await _unknown_on_error(ask)

    def has_statement(self, provider: str) -> bool:
        """Whether the account lists all its movements; one that cannot be built now may."""
        try:
            return isinstance(self.plugins.billing(provider), SupportsStatement)
        except GpurentError:
            return True

    def find_missing_entries(
        self, lease: Lease, charges: Sequence[Charge], paid: Sequence[RecordedPayment]
    ) -> list[Transaction]:
        """What the ledger lacks of ``charges``: new ones, what a meter added, holds that are over."""
        known = {line.key: line for line in self.list_lines(lease=lease.id)}
        trips = {item.payment.proof: item.trip.id for item in paid}
        # What no trip paid belongs to the trip that rented the lease.
        renting = next((record.id for record in self.store.list_trips(lease.id)), "")
        return [
            entry
            for charge in charges
            for entry in make_missing_transactions(
                charge,
                lease.provider,
                known,
                lease=lease.id,
                trip=trips.get(charge.ref, renting),
                gpu=_gpu_name(lease),
            )
        ]

    def find_missing_account_entries(self, provider: str, charges: Sequence[Charge]) -> list[Transaction]:
        """Of an account's statement: the top-ups and the fees that the ledger lacks."""
        known = {line.key: line for line in self.list_lines(provider=provider)}
        fees = {
            item.payment.proof: item.trip.id
            for item in self.list_payments()
            if item.provider == provider and not item.lease
        }
        made = []
        for charge in charges:
            trip = fees.get(charge.ref, "")
            kind = ChargeKind.FEE if trip else charge.kind
            if kind in (ChargeKind.TOP_UP, ChargeKind.FEE):
                made += make_missing_transactions(evolve(charge, kind=kind), provider, known, trip=trip)
        return made

    # what the ledger says

    def list_payments(self, *, trip: str = "", lease: str = "") -> Sequence[RecordedPayment]:
        """The payments of one trip, of all trips of one lease, or all."""
        trips = [record for record in self.store.list_trips(lease) if trip in ("", record.id)]
        return list(iter_recorded_payments(self.store, trips))

    def list_providers(self) -> Sequence[str]:
        """Every provider that something was rented at, or paid to; not where nothing is in its own lists."""
        leases = self.store.list_leases()
        listed = {lease.provider for lease in leases if self.plugins.is_known_to_provider(lease)}
        unlisted = {lease.provider for lease in leases} - listed
        return sorted(listed | set(self.store.ledger.list_providers()) - unlisted)

    def list_lines(self, **which: Unpack[LedgerFilter]) -> Sequence[LedgerLine]:
        """Each movement with all its parts, in the order of entry."""
        return group_lines(self.store.ledger.list_transactions(**which))

    def list_charges(self, **which: Unpack[LedgerFilter]) -> Sequence[Charge]:
        """As on a receipt, in the order of time."""
        found = [line.charge for line in self.list_lines(**which) if line.money.amount]
        return sorted(found, key=lambda charge: charge.at)

    def sum_spending(self, **which: Unpack[LedgerFilter]) -> tuple[ReceiptTotal, ...]:
        """Paid, refunded, spent and held in each currency, by the ledger as it is now."""
        return sum_charges(self.list_charges(**which))


async def _unknown_on_error(ask: Callable[[], Awaitable[Known[Charge] | Unknown]]) -> Known[Charge] | Unknown:
    try:
        return await ask()
    except GpurentError as error:
        return Unknown(error.message)
    except Exception as error:  # noqa: BLE001 - a plugin's fault must not stop a trip that has paid
        return Unknown(f"{type(error).__name__}: {error}")


def _gpu_name(lease: Lease) -> str:
    return lease.offer.hardware.gpu or "CPU"
