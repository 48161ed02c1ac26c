"""Double-entry bookkeeping: each movement of money debits one account and credits another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from attrs import evolve, field, frozen, validators

from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import MoneyError
from gpurent.locale import _
from gpurent.terminal_text import NO_TEXT, ForeignText


@frozen
class LedgerAccount:
    """An account of the ledger.

    ``wallet:NAME`` is the user's money at a provider, ``held:NAME`` is locked there, ``spent:KIND`` is spent,
    ``outside`` is everything else: where top-ups come from and transfers go.
    """

    name: str = field(validator=validators.matches_re(r"(wallet|held|spent):[^\s:]{1,80}|outside"))


OUTSIDE_ACCOUNT = LedgerAccount("outside")
_KINDS = ChargeKind
_SPENDING_ACCOUNT_KINDS = (_KINDS.USAGE, _KINDS.RENEWAL, _KINDS.FEE, _KINDS.REFUND)


@cache
def _accounts_for(kind: ChargeKind, provider: str) -> tuple[LedgerAccount, LedgerAccount]:
    """Return the account that a movement of ``kind`` takes money from, and the one it adds money to."""
    wallet = LedgerAccount(f"wallet:{provider}")
    if kind in _SPENDING_ACCOUNT_KINDS:
        source, destination = wallet, LedgerAccount(f"spent:{kind.value}")
    elif kind in (_KINDS.DEPOSIT, _KINDS.HOLD, _KINDS.DEPOSIT_REFUND):
        source, destination = wallet, LedgerAccount(f"held:{provider}")
    else:
        source, destination = wallet, OUTSIDE_ACCOUNT
    is_reversed = kind in (_KINDS.REFUND, _KINDS.DEPOSIT_REFUND, _KINDS.TOP_UP)
    return (destination, source) if is_reversed else (source, destination)


@frozen
class Posting:
    """One side of a transaction: a positive ``money`` is added to ``account``, a negative one is taken from it."""

    account: LedgerAccount
    money: Money


@frozen(kw_only=True)
class Transaction:
    """One movement of money, written once and never changed.

    Raises `MoneyError` unless the postings sum to zero in each currency. ``(provider, account, ref, kind, part)``
    is unique: ``account`` is whose money it is at the provider (empty if that is not known), ``ref`` comes from the
    provider or the chain, and ``part`` numbers later additions under the same reference: more metered usage
    (``growing`` until its last part) or a ``reversal``. ``rate`` is the exchange rate known at the time.
    """

    at: datetime
    kind: ChargeKind
    provider: str
    ref: str = field(converter=ForeignText)
    postings: tuple[Posting, ...]
    account: str = field(default=NO_TEXT, converter=ForeignText)
    lease: str = ""
    trip: str = ""
    gpu: str = field(default=NO_TEXT, converter=ForeignText)
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    rate: Rate | None = None
    part: int = 0
    reversal: bool = False
    growing: bool = False

    def __attrs_post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise MoneyError(_("ledger entry {ref} has a time without a time zone").format(ref=self.ref))
        if not self.ref or not self.provider:
            raise MoneyError(_("a ledger entry needs a provider and a reference"))
        if len(self.postings) < 2:
            raise MoneyError(_("ledger entry {ref} has only one side").format(ref=self.ref))
        sums: dict[Currency, int] = {}
        for posting in self.postings:
            money = posting.money
            sums[money.currency] = sums.get(money.currency, 0) + money.amount
        if any(sums.values()):
            raise MoneyError(_("ledger entry {ref} does not balance").format(ref=self.ref))

    @property
    def key(self) -> tuple[str, str, str, ChargeKind, int]:
        return self.provider, self.account, self.ref, self.kind, self.part

    @property
    def money(self) -> Money:
        """The amount moved in the direction of ``kind``; negative in a reversal."""
        return -self.postings[0].money


def make_transaction(
    charge: Charge,
    provider: str,
    *,
    account: str = "",
    lease: str = "",
    trip: str = "",
    gpu: str = "",
    part: int = 0,
) -> Transaction:
    """Convert ``charge`` to a double-entry transaction."""
    source, destination = _accounts_for(charge.kind, provider)
    return Transaction(
        at=charge.at,
        kind=charge.kind,
        provider=provider,
        account=account,
        ref=charge.ref,
        postings=(Posting(source, -charge.money), Posting(destination, charge.money)),
        lease=lease,
        trip=trip,
        gpu=gpu,
        note=charge.note,
        rate=charge.rate,
        part=part,
        growing=charge.growing,
    )


LineKey = tuple[str, ChargeKind]


@frozen(kw_only=True)
class LedgerLine:
    """All parts of one reference and kind: ``parts`` oldest first, ``money`` their sum."""

    parts: tuple[Transaction, ...]
    money: Money

    @property
    def last(self) -> Transaction:
        return self.parts[-1]

    @property
    def line_key(self) -> LineKey:
        return self.last.ref, self.last.kind

    @property
    def charge(self) -> Charge:
        """The line as a charge on a receipt."""
        last = self.last
        return Charge(
            at=last.at,
            kind=last.kind,
            money=self.money,
            ref=last.ref,
            note=last.note,
            rate=last.rate,
            growing=last.growing,
        )

    def missing_charge(self, charge: Charge) -> Charge | None:
        """Return what this line lacks of ``charge``; None if nothing. Nothing is added to a line that is complete."""
        if not self.last.growing or charge.money.currency != self.money.currency:
            return None
        more = charge.money - self.money
        if more.amount < 0 or (more.amount == 0 and charge.growing):
            return None
        # An empty part records that the meter stopped.
        return evolve(charge, money=more)

    def make_reversal(self, at: datetime, note: str) -> Transaction:
        """Return a transaction that reverses the whole line."""
        last = self.last
        return evolve(
            last,
            at=at,
            note=note,
            postings=(
                Posting(last.postings[0].account, self.money),
                Posting(last.postings[1].account, -self.money),
            ),
            part=last.part + 1,
            reversal=True,
            growing=False,
        )


def group_lines(transactions: Iterable[Transaction]) -> Sequence[LedgerLine]:
    """Group transactions into lines, in the order of each line's first part."""
    found: dict[tuple[str, str, str, ChargeKind], list[Transaction]] = {}
    for entry in transactions:
        found.setdefault((entry.provider, entry.account, entry.ref, entry.kind), []).append(entry)
    made = []
    for parts in found.values():
        parts.sort(key=lambda part: part.part)
        money = Money(sum(part.money.amount for part in parts), parts[0].money.currency)
        made.append(LedgerLine(parts=tuple(parts), money=money))
    return made


def make_missing_transactions(
    charge: Charge,
    provider: str,
    known: Mapping[LineKey, LedgerLine],
    *,
    account: str = "",
    lease: str = "",
    trip: str = "",
    gpu: str = "",
    unassigned: Iterable[LedgerLine] = (),
) -> list[Transaction]:
    """Return the transactions that bring ``known`` up to ``charge``; a hold under its reference is reversed.

    A line goes on under the account that its first part has. ``unassigned`` are the lines under its reference that
    belong to no lease; they are reversed too.
    """
    line = known.get((charge.ref, charge.kind))
    rest = line.missing_charge(charge) if line is not None else charge
    made = []
    if rest is not None:
        part = line.last.part + 1 if line is not None else 0
        for other in unassigned:
            last = other.last
            if other.money.amount:
                last = other.make_reversal(last.at, charge.kind.value)
                made.append(last)
            if last.kind is charge.kind:
                part = last.part + 1
        whose = line.last.account if line is not None else account
        made.append(
            make_transaction(rest, provider, account=whose, lease=lease, trip=trip, gpu=gpu, part=part)
        )
    hold = known.get((charge.ref, ChargeKind.HOLD))
    if hold is not None and hold.money.amount and charge.kind is not ChargeKind.HOLD:
        made.append(hold.make_reversal(hold.last.at, charge.kind.value))
    return made


def sum_balances(transactions: Iterable[Transaction]) -> dict[tuple[LedgerAccount, Currency], Money]:
    """Sum the balance of each account over these transactions."""
    found: dict[tuple[LedgerAccount, Currency], Money] = {}
    for entry in transactions:
        for posting in entry.postings:
            key = (posting.account, posting.money.currency)
            found[key] = found.get(key, posting.money.currency.zero) + posting.money
    return found
