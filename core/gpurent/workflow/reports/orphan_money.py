"""Compares an account's statement with our payments and leases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.offer import PaymentPurpose
from gpurent.domain.orphans import Orphan, OrphanKind
from gpurent.domain.payments import RecordedPayment
from gpurent.domain.receipt import Charge, ChargeKind, sum_charges
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.volume_books import VolumeBooks

_PAID_KINDS = (
    ChargeKind.USAGE,
    ChargeKind.RENEWAL,
    ChargeKind.FEE,
    ChargeKind.DEPOSIT,
    ChargeKind.HOLD,
    ChargeKind.TRANSFER,
)


@frozen
class OrphanMoney:
    store: Store
    bookkeeping: Bookkeeping
    volumes: VolumeBooks

    async def find_money(self, provider: str) -> list[Orphan]:
        """Return the payments that were not counted, and the charges that nothing here explains."""
        payments = await self._list_payments(provider)
        found = [_make_uncounted(item, reason) for item, reason in await self._find_unused(payments)]
        if not self.bookkeeping.has_statement(provider):
            return found
        statement = await self.bookkeeping.get_account_statement(provider)
        if isinstance(statement, Unknown):
            return [*found, Orphan(kind=OrphanKind.UNKNOWN, provider=provider, reason=statement.reason)]
        listed = {charge.ref for charge in statement.items} | {orphan.ref for orphan in found}
        found += [
            _make_uncounted(item, _("the account's statement does not list it"))
            for item in payments
            if item.payment.proof not in listed
        ]
        return [*found, *await self._find_unexplained(provider, statement.items)]

    async def _list_payments(self, provider: str) -> list[RecordedPayment]:
        """Return the payments that may not have been counted: of unsettled leases, of uncounted orders, and fees."""
        unsettled = set(await self.bookkeeping.list_unsettled_leases())
        account = self.bookkeeping.plugins.find_account(provider)
        leases = [
            lease.id
            for lease in await self.store.list_leases()
            if lease.provider == provider
            and not self.bookkeeping.plugins.is_of_other_account(lease)
            and (
                lease.id in unsettled
                or any(bill.amount.amount and bill.key not in lease.completed_orders for bill in lease.bills)
            )
        ]
        trips = {trip for trip, _proof in await self.store.summaries.list_fee_payments(provider)}
        found = [
            item
            for lease in leases
            for item in await self.bookkeeping.list_payments(lease=lease)
            if item.lease
        ]
        found += [
            item
            for trip in sorted(trips)
            for item in await self.bookkeeping.list_payments(trip=trip)
            if not item.lease and item.account in ("", account)
        ]
        return [item for item in found if item.payment.amount.amount]

    async def _find_unused(self, payments: Iterable[RecordedPayment]) -> list[tuple[RecordedPayment, str]]:
        """Return payments of ended trips whose order the provider never counted, and did not pay back either."""
        found, used = [], set[str]()
        for item in payments:
            lease = await self.store.find_lease(item.lease) if item.lease else None
            if lease is None or item.key in lease.completed_orders:
                continue
            trip = await self.store.find_trip(item.trip)
            if trip is None or trip.is_open:
                continue
            await self.bookkeeping.sync_lease(lease.id, quiet=True)
            if not await self._is_paid_back(item, used):
                found.append((item, _("its provider has not counted it, nor paid it back")))
        return found

    async def _is_paid_back(self, item: RecordedPayment, used: set[str]) -> bool:
        """Whether the account got this payment back, or everything that its lease ever cost.

        ``used``: the references of refunds that belong to other payments; the one found here is added.
        """
        charges = await self.bookkeeping.list_charges(lease=item.lease)
        if all(total.spent.amount <= 0 and total.held.amount <= 0 for total in sum_charges(charges)):
            return True
        is_deposit = item.purpose is PaymentPurpose.DEPOSIT
        kind = ChargeKind.DEPOSIT_REFUND if is_deposit else ChargeKind.REFUND
        for charge in charges:
            is_own = (charge.kind, charge.money) == (kind, item.payment.amount)
            if is_own and charge.at >= item.payment.at and charge.ref not in used:
                used.add(charge.ref)
                return True
        return False

    async def _find_unexplained(self, provider: str, charges: Sequence[Charge]) -> list[Orphan]:
        """Return the charges that the ledger does not have and that no lease of ours accounts for."""
        paid = [charge for charge in charges if charge.kind in _PAID_KINDS]
        account = self.bookkeeping.plugins.find_account(provider)
        known = {
            line.last.ref for line in await self.bookkeeping.list_lines(provider=provider, account=account)
        }
        rest = [charge for charge in paid if charge.ref not in known]
        if rest:
            known |= await self._list_lease_refs(provider)
        return [
            Orphan(
                kind=OrphanKind.UNEXPLAINED_CHARGE,
                provider=provider,
                ref=charge.ref,
                money=charge.money,
                since=charge.at,
                reason=charge.note,
            )
            for charge in rest
            if charge.ref not in known
        ]

    async def _list_lease_refs(self, provider: str) -> set[str]:
        """Return the references of the charges of leases and volumes that may have more than the ledger has."""
        refs: set[str] = set()
        for lease_id in await self.bookkeeping.list_unsettled_leases():
            lease = await self.store.find_lease(lease_id)
            if lease is not None and lease.provider == provider:
                charges = await self.bookkeeping.list_lease_charges(lease)
                refs |= set() if isinstance(charges, Unknown) else {charge.ref for charge in charges.items}
        for volume in await self.volumes.list_unsettled(provider):
            charges = await self.volumes.list_charges(volume)
            refs |= set() if isinstance(charges, Unknown) else {charge.ref for charge in charges.items}
        return refs


def _make_uncounted(item: RecordedPayment, reason: str) -> Orphan:
    return Orphan(
        kind=OrphanKind.UNCOUNTED_PAYMENT,
        provider=item.provider,
        ref=item.payment.proof,
        lease=item.lease,
        money=item.payment.amount,
        since=item.payment.at,
        is_ours=True,
        reason=reason,
    )
