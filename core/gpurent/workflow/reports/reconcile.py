"""The ledger beside the providers' own books: every difference named, nothing changed but by new entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.ledger import Account, LedgerLine, Transaction, balances, transaction
from gpurent.domain.money import Money
from gpurent.domain.offer import Unknown
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import GpurentError
from gpurent.workflow.runtime.desk import Desk


class Difference(Enum):
    """EQUAL and GROWN (a meter ran on since the last look) are in order; of the others somebody must know.

    UNKNOWN: the books there could not be read. TWICE: listed there more often than once. BALANCE: the lines agree,
    the sum does not.
    """

    EQUAL = "equal"
    GROWN = "grown"
    MISSING_HERE = "missing-here"
    MISSING_THERE = "missing-there"
    AMOUNT = "amount"
    TWICE = "twice"
    BALANCE = "balance"
    UNKNOWN = "unknown"


_FINE = (Difference.EQUAL, Difference.GROWN)


@frozen(kw_only=True)
class Finding:
    """One line of both books: what is ``here``, what is ``there``. ``entries`` would bring the ledger up to it."""

    provider: str
    what: Difference
    ref: str = ""
    kind: ChargeKind | None = None
    lease: str = ""
    here: Money | None = None
    there: Money | None = None
    reason: str = ""
    entries: tuple[Transaction, ...] = ()

    @property
    def fine(self) -> bool:
        return self.what in _FINE


async def reconcile(desk: Desk, provider: str) -> list[Finding]:
    """Each lease's charges and the account's statement against the ledger. Enters nothing."""
    found: list[Finding] = []
    seen: set[str] = set()
    # What was only declared is not in the shop's books under any name that we know.
    leases = [
        lease for lease in desk.journal.leases() if lease.provider == provider and lease.declared is None
    ]
    for lease in leases:
        charges = await desk.books.listed(lease)
        if isinstance(charges, Unknown):
            found.append(_unknown(provider, charges.reason, lease.id))
            seen |= {line.last.ref for line in desk.books.lines(lease=lease.id)}
            continue
        seen |= {charge.ref for charge in charges.items}
        found += _compare(desk, lease, charges.items)
    found += await _account(desk, provider, seen)
    if all(finding.what is Difference.EQUAL for finding in found) and all(lease.over for lease in leases):
        found += await _balance(desk, provider)
    return found


def _unknown(provider: str, reason: str, lease: str = "") -> Finding:
    return Finding(provider=provider, what=Difference.UNKNOWN, lease=lease, reason=reason)


def _compare(desk: Desk, lease: Lease, charges: Sequence[Charge]) -> Iterable[Finding]:
    here = {line.key: line for line in desk.books.lines(lease=lease.id)}
    paid = desk.books.paid(lease=lease.id)
    listed: set[tuple[str, ChargeKind]] = set()
    for charge in charges:
        key = (charge.ref, charge.kind)
        if key in listed:
            yield _finding(lease, Difference.TWICE, charge, None)
            continue
        listed.add(key)
        missing = tuple(desk.books.missing(lease, [charge], paid))
        yield _judge(lease, charge, here.get(key), missing)
    for key, line in here.items():
        if key not in listed and line.money.amount:
            yield _gone(lease.provider, line)


def _judge(
    lease: Lease, charge: Charge, line: LedgerLine | None, missing: tuple[Transaction, ...]
) -> Finding:
    if line is None or not line.money.amount:
        return _finding(lease, Difference.MISSING_HERE, charge, line, missing)
    if line.money == charge.money:
        return _finding(lease, Difference.EQUAL, charge, line)
    if missing:
        return _finding(lease, Difference.GROWN, charge, line, missing)
    last = line.last
    back = line.reversal(charge.at, "reconciled")
    fresh = transaction(
        charge, lease.provider, lease=lease.id, trip=last.trip, gpu=last.gpu, part=back.part + 1
    )
    return _finding(lease, Difference.AMOUNT, charge, line, (back, fresh))


def _finding(
    lease: Lease,
    what: Difference,
    charge: Charge,
    line: LedgerLine | None,
    entries: tuple[Transaction, ...] = (),
) -> Finding:
    return Finding(
        provider=lease.provider,
        what=what,
        ref=charge.ref,
        kind=charge.kind,
        lease=lease.id,
        here=line.money if line is not None and line.money.amount else None,
        there=charge.money,
        entries=entries,
    )


def _gone(provider: str, line: LedgerLine) -> Finding:
    last = line.last
    return Finding(
        provider=provider,
        what=Difference.MISSING_THERE,
        ref=last.ref,
        kind=last.kind,
        lease=last.lease,
        here=line.money,
    )


async def _account(desk: Desk, provider: str, seen: set[str]) -> list[Finding]:
    """What the account lists besides the leases, and what the ledger has that it does not list."""
    if not desk.books.keeps_statement(provider):
        return []
    statement = await desk.books.statement(provider)
    if isinstance(statement, Unknown):
        return [_unknown(provider, statement.reason)]
    here = {line.last.ref: line for line in desk.books.lines(provider=provider) if line.money.amount}
    found, listed = [], set[str]()
    for charge in statement.items:
        if charge.ref in listed:
            found.append(_of_account(provider, Difference.TWICE, charge, None))
        elif charge.ref not in seen:
            found.append(_judge_account(desk, provider, charge, here.get(charge.ref)))
        listed.add(charge.ref)
    found += [
        _gone(provider, line) for ref, line in here.items() if not line.last.lease and ref not in listed
    ]
    return found


def _judge_account(desk: Desk, provider: str, charge: Charge, line: LedgerLine | None) -> Finding:
    missing = tuple(desk.books.missing_account(provider, [charge]))
    if line is None or missing:
        entries = missing or (transaction(charge, provider),)
        return _of_account(provider, Difference.MISSING_HERE, charge, line, entries)
    what = Difference.EQUAL if line.money == charge.money else Difference.AMOUNT
    entries = ()
    if what is Difference.AMOUNT:
        back = line.reversal(charge.at, "reconciled")
        fresh = transaction(charge, provider, lease=line.last.lease, trip=line.last.trip, part=back.part + 1)
        entries = (back, fresh)
    return _of_account(provider, what, charge, line, entries)


def _of_account(
    provider: str,
    what: Difference,
    charge: Charge,
    line: LedgerLine | None,
    entries: tuple[Transaction, ...] = (),
) -> Finding:
    return Finding(
        provider=provider,
        what=what,
        ref=charge.ref,
        kind=charge.kind,
        here=line.money if line is not None else None,
        there=charge.money,
        entries=entries,
    )


async def _balance(desk: Desk, provider: str) -> list[Finding]:
    """With every line equal, the sums must be equal too, where the account lists everything."""
    if not desk.books.keeps_statement(provider):
        return []
    try:
        there = (await desk.wallet(provider).balance()).available
    except GpurentError as error:
        return [_unknown(provider, error.message)]
    sums = balances(desk.books.ledger.entries(provider=provider))
    here = sums.get((Account(f"wallet:{provider}"), there.currency), there.currency.zero)
    what = Difference.EQUAL if here == there else Difference.BALANCE
    return [Finding(provider=provider, what=what, here=here, there=there)]


def enter(desk: Desk, findings: Iterable[Finding]) -> int:
    """Enter what the ledger lacks; the number of new entries. Nothing that was entered is changed."""
    return desk.books.ledger.enter([entry for finding in findings for entry in finding.entries])
