"""Reconciles the ledger with the providers' statements: names every difference; corrects only by new entries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import Enum

from attrs import frozen

from gpurent.domain.evidence import Unknown, make_unknown
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import (
    LedgerAccount,
    LedgerLine,
    LineKey,
    Transaction,
    make_transaction,
    sum_balances,
)
from gpurent.domain.money import Money
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.pay import CHARGE_KINDS
from gpurent.workflow.runtime.logins import AccountCommands
from gpurent.workflow.runtime.plugins import Plugins


class Difference(Enum):
    """How a movement in the ledger compares with the statement.

    EQUAL and GROWN (a meter ran on since the last sync) are fine; all others need attention. UNKNOWN: the statement
    could not be read. DUPLICATE: the statement lists it more than once. MORE_THAN_BILLED: the charges of a lease exceed
    the bills that gpurent paid for it. STILL_RUNNING: over by our records, but the provider lists it as
    running. BALANCE_DIFFERS: all lines agree, but the sum does not.
    """

    EQUAL = "equal"
    GROWN = "grown"
    MISSING_IN_LEDGER = "missing-in-ledger"
    MISSING_IN_STATEMENT = "missing-in-statement"
    AMOUNT_DIFFERS = "amount-differs"
    DUPLICATE = "duplicate"
    MORE_THAN_BILLED = "more-than-billed"
    STILL_RUNNING = "still-running"
    BALANCE_DIFFERS = "balance-differs"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class LedgerFinding:
    """The result for one movement: ``ledger_amount`` and ``statement_amount`` are its amounts.

    ``entries`` would bring the ledger up to date.
    """

    provider: str
    difference: Difference
    ref: str = ""
    kind: ChargeKind | None = None
    lease: str = ""
    ledger_amount: Money | None = None
    statement_amount: Money | None = None
    reason: str = ""
    entries: tuple[Transaction, ...] = ()

    @property
    def is_consistent(self) -> bool:
        return self.difference in (Difference.EQUAL, Difference.GROWN)


@frozen
class Reconciliation:
    store: Store
    plugins: Plugins
    bookkeeping: Bookkeeping
    accounts: AccountCommands

    def list_comparable(self) -> Sequence[str]:
        """Return the providers to compare: those rented from or paid, and those of each other account with a login."""
        names = list(self.bookkeeping.list_providers())
        accounts = {self._find_account(name) for name in names}
        for name, _account in self.accounts.list_logins():
            account = self._find_account(name)
            if account and account not in accounts:
                accounts.add(account)
                names.append(name)
        return sorted(names)

    def _find_account(self, provider: str) -> str:
        """Return the name of the account that the provider is paid from; empty if there is none."""
        try:
            return self.plugins.billing_entry(provider).name
        except GpurentError:
            return ""

    async def compare_provider(self, provider: str) -> list[LedgerFinding]:
        """Compare each lease's charges and the account's statement with the ledger, without entering anything."""
        found: list[LedgerFinding] = []
        seen: set[str] = set()
        leases = [
            lease
            for lease in self.store.list_leases()
            if lease.provider == provider and self.plugins.is_known_to_provider(lease)
        ]
        for lease in leases:
            charges = await self.bookkeeping.list_lease_charges(lease)
            if isinstance(charges, Unknown):
                found.append(_unreadable_statement(provider, charges.reason, lease.id))
                seen |= {line.last.ref for line in self.bookkeeping.list_lines(lease=lease.id)}
            else:
                found += [*self._compare_lease(lease, charges.items), *_compare_bills(lease, charges.items)]
                seen |= {charge.ref for charge in charges.items}
        found += await self._compare_listing(provider, leases)
        if self.bookkeeping.has_statement(provider):
            found += await self._compare_account(provider, seen)
            if all(x.difference is Difference.EQUAL for x in found) and all(
                lease.is_over for lease in leases
            ):
                found.append(await self._compare_balance(provider))
        return found

    def enter_missing(self, findings: Iterable[LedgerFinding]) -> int:
        """Enter what the ledger lacks and return the number of new entries. Existing entries are not changed."""
        return self.store.ledger.add_transactions(
            [entry for finding in findings for entry in finding.entries]
        )

    def _compare_lease(self, lease: Lease, charges: Sequence[Charge]) -> list[LedgerFinding]:
        found = []
        here = {line.line_key: line for line in self.bookkeeping.list_lines(lease=lease.id)}
        paid = self.bookkeeping.list_payments(lease=lease.id)
        listed: set[LineKey] = set()
        for charge in charges:
            key = (charge.ref, charge.kind)
            if key in listed:
                found.append(
                    _make_finding(lease.provider, Difference.DUPLICATE, charge, None, lease=lease.id)
                )
                continue
            listed.add(key)
            missing = tuple(self.bookkeeping.find_missing_entries(lease, [charge], paid))
            found.append(_compare_charge(lease, charge, here.get(key), missing))
        for key, line in here.items():
            if key not in listed and line.money.amount:
                found.append(_missing_in_statement(lease.provider, line))
        return found

    async def _compare_listing(self, provider: str, leases: Sequence[Lease]) -> list[LedgerFinding]:
        """Return the leases that are over by our records, but that the provider itself still lists as running."""
        over = {lease.ref: lease for lease in leases if lease.is_over and lease.ref}
        if not over:
            return []
        try:
            listed = await self.plugins.provider(provider).list_leases()
        except GpurentError as error:
            listed = make_unknown(error)
        if isinstance(listed, Unknown):
            return [_unreadable_statement(provider, listed.reason)]
        # A restart continues under the same reference.
        alive = {lease.ref for lease in leases if not lease.is_over}
        return [
            LedgerFinding(
                provider=provider,
                difference=Difference.STILL_RUNNING,
                ref=item.ref,
                lease=over[item.ref].id,
                reason=_("the provider lists {ref} as running; check its page").format(ref=item.ref),
            )
            for item in listed.items
            if item.ref in over and item.ref not in alive and not item.is_over
        ]

    async def _compare_account(self, provider: str, seen: Collection[str]) -> list[LedgerFinding]:
        """Return what the account lists besides the refs in ``seen``, and what only the ledger has."""
        statement = await self.bookkeeping.get_account_statement(provider)
        if isinstance(statement, Unknown):
            return [_unreadable_statement(provider, statement.reason)]
        lines = self.bookkeeping.list_lines(provider=provider)
        here = {line.last.ref: line for line in lines if line.money.amount}
        found, listed = [], set[str]()
        for charge in statement.items:
            if charge.ref in listed:
                found.append(_make_finding(provider, Difference.DUPLICATE, charge, None))
            elif charge.ref not in seen:
                missing = tuple(self.bookkeeping.find_missing_account_entries(provider, [charge]))
                found.append(_compare_account_charge(provider, charge, here.get(charge.ref), missing))
            listed.add(charge.ref)
        gone = (line for ref, line in here.items() if not line.last.lease and ref not in listed)
        return [*found, *(_missing_in_statement(provider, line) for line in gone)]

    async def _compare_balance(self, provider: str) -> LedgerFinding:
        """Compare the sum of the ledger with the balance; call it only if all lines are equal."""
        try:
            there = (await self.plugins.billing(provider).get_balance()).available
        except GpurentError as error:
            return _unreadable_statement(provider, error.message)
        sums = sum_balances(self.store.ledger.list_transactions(provider=provider))
        here = sums.get((LedgerAccount(f"wallet:{provider}"), there.currency), there.currency.zero)
        what = Difference.EQUAL if here == there else Difference.BALANCE_DIFFERS
        return LedgerFinding(provider=provider, difference=what, ledger_amount=here, statement_amount=there)


def _compare_bills(lease: Lease, charges: Sequence[Charge]) -> Iterable[LedgerFinding]:
    """Yield a finding for each kind of which more was charged than billed: it was charged twice, or without a bill."""
    for purpose, kind in CHARGE_KINDS.items():
        billed = [bill.amount for bill in lease.bills if bill.purpose is purpose and bill.amount.amount]
        if not billed:
            continue  # metered: there are no bills, only the meter
        currency = billed[0].currency
        charged = [x.money for x in charges if x.kind is kind and x.money.currency == currency]
        bills, total = (sum(each, currency.zero) for each in (billed, charged))
        if total > bills:
            yield LedgerFinding(
                provider=lease.provider,
                difference=Difference.MORE_THAN_BILLED,
                kind=kind,
                lease=lease.id,
                ledger_amount=bills,
                statement_amount=total,
                reason=_("the bills are {bills}, the charges {charges}").format(bills=bills, charges=total),
            )


def _compare_charge(
    lease: Lease, charge: Charge, line: LedgerLine | None, missing: tuple[Transaction, ...]
) -> LedgerFinding:
    """Compare one charge. ``missing``: the entries that would bring the ledger up to ``charge``."""
    if line is None or not line.money.amount:
        what, entries = Difference.MISSING_IN_LEDGER, missing
    elif line.money == charge.money:
        what, entries = Difference.EQUAL, ()
    elif missing:
        what, entries = Difference.GROWN, missing
    else:
        what, entries = Difference.AMOUNT_DIFFERS, _correct_line(line, charge, lease.provider)
    return _make_finding(lease.provider, what, charge, line, entries, lease=lease.id)


def _compare_account_charge(
    provider: str, charge: Charge, line: LedgerLine | None, missing: tuple[Transaction, ...]
) -> LedgerFinding:
    if line is None or missing:
        what, entries = Difference.MISSING_IN_LEDGER, missing or (make_transaction(charge, provider),)
    elif line.money == charge.money:
        what, entries = Difference.EQUAL, ()
    else:
        what, entries = Difference.AMOUNT_DIFFERS, _correct_line(line, charge, provider)
    return _make_finding(provider, what, charge, line, entries)


def _correct_line(line: LedgerLine, charge: Charge, provider: str) -> tuple[Transaction, ...]:
    """Return a reversal of the line, and ``charge`` in its place."""
    last = line.last
    reversal = line.make_reversal(charge.at, "reconciled")
    part = reversal.part + 1
    fresh = make_transaction(charge, provider, lease=last.lease, trip=last.trip, gpu=last.gpu, part=part)
    return reversal, fresh


def _make_finding(
    provider: str,
    what: Difference,
    charge: Charge,
    line: LedgerLine | None,
    entries: tuple[Transaction, ...] = (),
    lease: str = "",
) -> LedgerFinding:
    return LedgerFinding(
        provider=provider,
        difference=what,
        ref=charge.ref,
        kind=charge.kind,
        lease=lease,
        ledger_amount=line.money if line is not None and line.money.amount else None,
        statement_amount=charge.money,
        entries=entries,
    )


def _missing_in_statement(provider: str, line: LedgerLine) -> LedgerFinding:
    last = line.last
    return LedgerFinding(
        provider=provider,
        difference=Difference.MISSING_IN_STATEMENT,
        ref=last.ref,
        kind=last.kind,
        lease=last.lease,
        ledger_amount=line.money,
    )


def _unreadable_statement(provider: str, reason: str, lease: str = "") -> LedgerFinding:
    return LedgerFinding(provider=provider, difference=Difference.UNKNOWN, lease=lease, reason=reason)
