"""What a comparison of the ledger with a statement finds: one value for each movement. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine, Transaction, make_transaction
from gpurent.domain.money import Money
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.locale import _
from gpurent.workflow.payments.pay import CHARGE_KINDS


class Difference(Enum):
    """How a movement in the ledger compares with the statement.

    EQUAL and GROWN (a meter ran on since the last sync) are fine; all others need attention. UNKNOWN: the statement
    could not be read. DUPLICATE: the statement lists it more than once. MORE_THAN_BILLED: the charges of a lease exceed
    the bills that gpurent paid for it. STILL_RUNNING: over by our records, but the provider lists it as
    running. BALANCE_DIFFERS: all lines agree, but the sum does not. DAMAGED: the entry does not match the ledger's hash
    chain. REWRITTEN: the ledger does not have an entry that was its newest one before.
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
    DAMAGED = "damaged"
    REWRITTEN = "rewritten"
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


def compare_bills(lease: Lease, charges: Sequence[Charge]) -> Iterable[LedgerFinding]:
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


def compare_charge(
    provider: str, name: str, charge: Charge, line: LedgerLine | None, missing: tuple[Transaction, ...]
) -> LedgerFinding:
    """Compare one charge of the lease or volume ``name``.

    ``missing``: the entries that would bring the ledger up to ``charge``.
    """
    if line is None or not line.money.amount:
        what, entries = Difference.MISSING_IN_LEDGER, missing
    elif line.money == charge.money:
        what, entries = Difference.EQUAL, ()
    elif missing:
        what, entries = Difference.GROWN, missing
    else:
        what, entries = Difference.AMOUNT_DIFFERS, _correct_line(line, charge, provider)
    return make_ledger_finding(provider, what, charge, line, entries, lease=name)


def compare_account_charge(
    provider: str, account: str, charge: Charge, line: LedgerLine | None, missing: tuple[Transaction, ...]
) -> LedgerFinding:
    if line is None or missing:
        fresh = make_transaction(charge, provider, account=account)
        what, entries = Difference.MISSING_IN_LEDGER, missing or (fresh,)
    elif line.money == charge.money:
        what, entries = Difference.EQUAL, ()
    else:
        what, entries = Difference.AMOUNT_DIFFERS, _correct_line(line, charge, provider)
    return make_ledger_finding(provider, what, charge, line, entries)


def _correct_line(line: LedgerLine, charge: Charge, provider: str) -> tuple[Transaction, ...]:
    """Return a reversal of the line, and ``charge`` in its place."""
    last = line.last
    reversal = line.make_reversal(charge.at, "reconciled")
    part = reversal.part + 1
    fresh = make_transaction(
        charge,
        provider,
        account=last.account,
        lease=last.lease,
        trip=last.trip,
        gpu=last.gpu,
        part=part,
    )
    return reversal, fresh


def make_ledger_finding(
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


def make_unlisted_finding(provider: str, line: LedgerLine) -> LedgerFinding:
    last = line.last
    return LedgerFinding(
        provider=provider,
        difference=Difference.MISSING_IN_STATEMENT,
        ref=last.ref,
        kind=last.kind,
        lease=last.lease,
        ledger_amount=line.money,
    )


def make_unreadable_finding(provider: str, reason: str, lease: str = "") -> LedgerFinding:
    return LedgerFinding(provider=provider, difference=Difference.UNKNOWN, lease=lease, reason=reason)


def list_unreadable(findings: Iterable[LedgerFinding]) -> set[str]:
    """Return the providers of which something could not be read."""
    return {finding.provider for finding in findings if finding.difference is Difference.UNKNOWN}
