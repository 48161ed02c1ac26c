"""Bookkeeping: enters payments and statement items into the user's ledger, each once, whenever money moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypedDict, Unpack

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Known, Unknown, make_unknown
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import (
    LedgerLine,
    LineKey,
    Transaction,
    group_lines,
    make_missing_transactions,
    make_transaction,
)
from gpurent.domain.payments import RecordedPayment
from gpurent.domain.receipt import Charge, ChargeKind, ReceiptTotal, sum_charges
from gpurent.domain.summaries import LeasePeriod
from gpurent.domain.trip import TripPlan, TripRecord
from gpurent.errors import GpurentError, LeaseError, StorageError
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.ports.system import ProviderClocks
from gpurent.roles.account import SupportsStatement
from gpurent.workflow.payments.ledger_heads import LedgerHeads
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins

# How long after a lease's end its last charges and refunds may appear; and when nothing is expected any more.
SETTLING_TIME = timedelta(hours=1)
LATEST_CHARGE = timedelta(days=7)


class LedgerFilter(TypedDict, total=False):
    """Selects ledger entries; omitted keys match everything. ``since`` is inclusive, ``until`` exclusive."""

    provider: str
    account: str
    trip: str
    lease: str
    since: datetime | None
    until: datetime | None
    ref: str


@frozen
class Bookkeeping:
    """Keeps the ledger. Entering is idempotent: nothing is entered twice, and no entry is ever changed."""

    store: Store
    plugins: Plugins
    events: EventEmitter
    heads: LedgerHeads
    clocks: ProviderClocks

    # updating the ledger: never fails, but returns the reason (empty on success); a later call catches up

    async def sync_lease(self, lease_id: str, *, quiet: bool = False) -> str:
        """Enter the payments and charges of a lease. On failure, emit the reason as a warning unless ``quiet``."""
        lease = await self.store.find_lease(lease_id)
        if lease is None:
            raise LeaseError(_("no such lease: {given}").format(given=lease_id))
        paid = await self.list_payments(lease=lease.id)
        await self._enter_payments(paid)
        charges = await self.list_lease_charges(lease)
        if isinstance(charges, Unknown):
            reason: str = charges.reason
        else:
            reason = await self.enter_transactions(
                await self.find_missing_entries(lease, charges.items, paid)
            )
            if not reason:
                await self._close_books(lease)
        if reason and not quiet:
            text = _("the ledger of {lease} could not be updated: {reason}")
            self.events.emit(EventKind.WARNING, text.format(lease=lease.id, reason=reason), lease=lease.id)
        return reason

    async def sync_account(self, provider: str) -> str:
        """Enter the items of the account's own statement: top-ups, and fees not paid for a lease."""
        found = await self.get_account_statement(provider)
        if isinstance(found, Unknown):
            return found.reason
        return await self.enter_transactions(await self.find_missing_account_entries(provider, found.items))

    async def sync_trip(self, trip: TripRecord) -> str:
        """Enter the trip's payments, the charges of its lease, and the account's own items."""
        await self.record_payments(trip.id)
        lease = await self.store.find_lease(trip.lease) if trip.lease else None
        if lease is None:
            return await self.sync_account(trip.spec.provider)
        reasons = [await self.sync_lease(lease.id, quiet=True)]
        if self.plugins.is_known_to_provider(lease):
            reasons.append(await self.sync_account(lease.provider))
        return next(filter(None, reasons), "")

    async def sync_all(self) -> dict[str, str]:
        """Enter everything that may have changed; return the reasons for failures by lease or provider."""
        for trip in await self.store.summaries.list_unbooked_trips():
            await self.record_payments(trip)
        reasons = {
            lease: await self.sync_lease(lease, quiet=True) for lease in await self.list_unsettled_leases()
        }
        reasons |= {name: await self.sync_account(name) for name in await self.list_providers()}
        return {name: reason for name, reason in reasons.items() if reason}

    async def record_payments(self, trip_id: str) -> None:
        """Enter the trip's payments so far. Makes no requests."""
        await self._enter_payments(await self.list_payments(trip=trip_id))

    async def list_unsettled_leases(self) -> Sequence[str]:
        """Return the leases that may have new charges: not over, or their books were not closed since."""
        # Of leases from before books were closed, only what the ledger has tells.
        settled = await self.store.summaries.list_settled_leases()
        return [
            period.lease
            for period in await self.store.summaries.list_lease_periods()
            if not (period.are_books_closed or (period.lease in settled and self._ended_long_ago(period)))
        ]

    def _ended_long_ago(self, period: LeasePeriod) -> bool:
        if not period.is_over or period.ended_at is None:
            return False
        return self.clocks.clock_of(period.provider).now() - period.ended_at > LATEST_CHARGE

    async def _close_books(self, lease: Lease) -> None:
        """Note that the ledger has all charges of a lease that ended some time ago, unless something is still held."""
        if not lease.is_over:
            return
        now = self.clocks.clock_of(lease.provider).now()
        if lease.ended_at is not None and now - lease.ended_at < SETTLING_TIME:
            return
        if any(total.held.amount for total in await self.sum_spending(lease=lease.id)):
            return
        closed = evolve(lease, books_closed_at=now)
        with suppress(StorageError):  # then it is looked at once more
            await self.store.swap_lease(lease, closed)

    async def enter_transactions(self, entries: Iterable[Transaction]) -> str:
        """Enter what the ledger lacks; return the reason if that failed."""
        try:
            if await self.store.ledger.add_transactions(entries):
                await self.heads.record_heads()
        except Exception as error:  # noqa: BLE001 - the money has moved: a full disk must not stop the trip
            return f"{type(error).__name__}: {error}"
        return ""

    async def _enter_payments(self, paid: Sequence[RecordedPayment]) -> None:
        """Enter payments: held until a statement lists them, or spent at once if there is no statement."""
        with suppress(Exception):  # the money has moved: a full disk must not stop the trip
            if await self.store.ledger.add_payments(await self._make_payment_entries(paid)):
                await self.heads.record_heads()

    async def _make_payment_entries(self, paid: Sequence[RecordedPayment]) -> list[list[Transaction]]:
        """Return, for each payment, the entry of its amount and the one of its fee, if it has one."""
        found = []
        for item in paid:
            payment = item.payment
            if not payment.amount.amount:
                continue
            listed = item.lease or self.has_statement(item.provider)
            plan = await self.store.find_step_value(item.trip, "plan", TripPlan)
            charge = Charge(
                at=payment.at,
                kind=ChargeKind.HOLD if listed else ChargeKind.FEE,
                money=payment.amount,
                ref=payment.proof,
                note=item.purpose.value,
                rate=plan.quote.rate if plan is not None else None,
            )
            account = item.account or self.plugins.find_account(item.provider)
            entries = [await self._make_payment_entry(charge, item, account)]
            if payment.fee is not None and payment.fee.amount:
                fee = evolve(charge, kind=ChargeKind.FEE, money=payment.fee, ref=f"{payment.proof}/fee")
                entries.append(await self._make_payment_entry(fee, item, account))
            found.append(entries)
        return found

    async def _make_payment_entry(self, charge: Charge, item: RecordedPayment, account: str) -> Transaction:
        lease = await self.store.find_lease(item.lease) if item.lease else None
        gpu = _gpu_name(lease) if lease is not None else ""
        return make_transaction(
            charge, item.provider, account=account, lease=item.lease, trip=item.trip, gpu=gpu
        )

    # statements of the accounts

    async def list_lease_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        """Return the lease's charges by the account's statement; `Unknown` on any failure."""
        return await _unknown_on_error(lambda: self.plugins.billing_of(lease).list_charges(lease))

    async def get_account_statement(self, provider: str) -> Known[Charge] | Unknown:
        """Return the account's whole statement, empty if it keeps none; `Unknown` on any failure."""

        async def ask() -> Known[Charge] | Unknown:
            billing = self.plugins.billing(provider)
            return await billing.get_statement() if isinstance(billing, SupportsStatement) else Known(())

        return await _unknown_on_error(ask)

    def has_statement(self, provider: str) -> bool:
        """Return whether the account lists all its movements; assume so if its plugin cannot be built now."""
        try:
            return isinstance(self.plugins.billing(provider), SupportsStatement)
        except GpurentError:
            return True

    async def find_missing_entries(
        self, lease: Lease, charges: Sequence[Charge], paid: Sequence[RecordedPayment]
    ) -> list[Transaction]:
        """Return the entries that the ledger lacks: new charges, growth of metered ones, released holds."""
        known = {line.line_key: line for line in await self.list_lines(lease=lease.id)}
        trips = {item.payment.proof: item.trip for item in paid}
        # Charges that no trip paid are assigned to the trip that rented the lease.
        renting = next((record.id for record in await self.store.list_trips(lease.id)), "")
        return [
            entry
            for charge in charges
            for entry in make_missing_transactions(
                charge,
                lease.provider,
                known,
                account=self.plugins.account_of(lease),
                lease=lease.id,
                trip=trips.get(charge.ref, renting),
                gpu=_gpu_name(lease),
                unassigned=await self._list_unassigned_lines(lease, charge, known),
            )
        ]

    async def _list_unassigned_lines(
        self, lease: Lease, charge: Charge, known: Collection[LineKey]
    ) -> Sequence[LedgerLine]:
        """Return what was entered for the charge before it was known which lease it belongs to."""
        if (charge.ref, charge.kind) in known:
            return ()
        account = self.plugins.account_of(lease)
        lines = await self.list_lines(provider=lease.provider, account=account, ref=charge.ref)
        return [line for line in lines if not line.last.lease]

    async def find_missing_account_entries(
        self, provider: str, charges: Sequence[Charge]
    ) -> list[Transaction]:
        """Return the top-ups and fees of an account's statement that the ledger lacks."""
        fees = {proof: trip for trip, proof in await self.store.summaries.list_fee_payments(provider)}
        account = self.plugins.find_account(provider)
        made = []
        for charge in charges:
            trip = fees.get(charge.ref, "")
            kind = ChargeKind.FEE if trip else charge.kind
            if kind in (ChargeKind.TOP_UP, ChargeKind.FEE):
                lines = await self.list_lines(provider=provider, account=account, ref=charge.ref)
                made += make_missing_transactions(
                    evolve(charge, kind=kind),
                    provider,
                    {line.line_key: line for line in lines},
                    account=account,
                    trip=trip,
                )
        return made

    # queries

    async def list_payments(self, *, trip: str = "", lease: str = "") -> Sequence[RecordedPayment]:
        """Return the payments of one trip, or of all trips of one lease."""
        return (
            await self.store.list_trip_payments(trip) if trip else await self.store.list_lease_payments(lease)
        )

    async def list_providers(self) -> Sequence[str]:
        """Return the providers that were rented from or paid, except those with only adopted leases."""
        periods = await self.store.summaries.list_lease_periods()
        listed = {period.provider for period in periods if not period.is_adopted}
        unlisted = {period.provider for period in periods} - listed
        return sorted(listed | set(await self.store.ledger.list_providers()) - unlisted)

    async def list_lines(self, **which: Unpack[LedgerFilter]) -> Sequence[LedgerLine]:
        """Return each movement with all its entries, in the order of entry."""
        return group_lines(await self.store.ledger.list_transactions(**which))

    async def list_charges(self, **which: Unpack[LedgerFilter]) -> Sequence[Charge]:
        """Return the charges as on a receipt, in chronological order."""
        found = [line.charge for line in await self.list_lines(**which) if line.money.amount]
        return sorted(found, key=lambda charge: charge.at)

    async def sum_spending(self, **which: Unpack[LedgerFilter]) -> tuple[ReceiptTotal, ...]:
        """Return what the ledger shows as paid, refunded, spent and held in each currency."""
        return sum_charges(await self.list_charges(**which))


async def _unknown_on_error(ask: Callable[[], Awaitable[Known[Charge] | Unknown]]) -> Known[Charge] | Unknown:
    try:
        return await ask()
    except GpurentError as error:
        return make_unknown(error)
    except Exception as error:  # noqa: BLE001 - a plugin's fault must not stop a trip that has paid
        return Unknown(f"{type(error).__name__}: {error}")


def _gpu_name(lease: Lease) -> str:
    return lease.offer.hardware.gpu or "CPU"
