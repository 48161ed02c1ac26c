"""The cost of a lease by its declared terms, and an account computed from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from attrs import frozen

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.offer import Bill, DeclaredTerms, Payment
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import MoneyError, UnavailableError
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.roles.account import Balance, BillingProvider, MoneyInstructions

STOPPED_AT = "stopped_at"
DeclaredAmount = tuple[Decimal, str]


def find_stop_time(lease: Lease) -> datetime | None:
    """Return when the machine's stop script was run; None if it was not."""
    noted = lease.provider_data.get(STOPPED_AT, "")
    return datetime.fromisoformat(noted) if noted else None


def compute_usage(lease: Lease, terms: DeclaredTerms, now: datetime) -> tuple[timedelta, Money]:
    """Return how long ``lease`` has run, and what that costs by ``terms``."""
    ends = [lease.ended_at or find_stop_time(lease) or now]
    if lease.expires_at is not None:
        # By its terms it has ended by then; any later time must be declared.
        ends.append(lease.expires_at)
    span = max(timedelta(), min(ends) - (lease.started_at or terms.at))
    return span, terms.cost(span)


def parse_declared_amount(amount: DeclaredAmount, like: Money) -> Money:
    """Convert a declared amount to money in the currency of ``like``; raises `MoneyError` for another currency."""
    value, code = amount
    if code and code != like.currency.code:
        raise MoneyError(
            _("the price is in {price}, so the balance cannot be in {balance}").format(
                price=like.currency.code, balance=code
            )
        )
    return like.currency.money(value)


@frozen
class DeclaredAccount(BillingProvider):
    """The computed account of an adopted lease. It never pays: the user pays the provider directly."""

    clock: Clock
    lease: Lease
    terms: DeclaredTerms

    async def get_balance(self) -> Balance:
        now = self.clock.now()
        if self.terms.balance is None:
            raise UnavailableError(
                _("no balance was declared for {lease}").format(lease=self.lease.id),
                hint=_("Declare what the account holds: gpurent declare {lease} --balance AMOUNT").format(
                    lease=self.lease.id
                ),
            )
        _span, used = compute_usage(self.lease, self.terms, now)
        left = self.terms.balance - used
        return Balance(available=max(left, left.currency.zero), at=now)

    async def get_rate(self, quote: Currency) -> Rate:
        mine = self.terms.price.currency
        if quote.code != mine.code:
            raise MoneyError(
                _("no exchange rate between {one} and {other}").format(one=mine.code, other=quote.code)
            )
        return Rate(mine, quote, Decimal(1), self.clock.now(), "identity")

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        return MoneyInstructions(steps=(_("Top up on the provider's page, then declare the new balance."),))

    async def pay_bill(self, bill: Bill) -> Payment:
        if bill.amount.amount:
            raise MoneyError(_("gpurent never pays for an adopted machine"))
        return Payment(key=bill.key, proof="", amount=bill.amount, at=self.clock.now())

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        now = self.clock.now()
        span, cost = compute_usage(lease, self.terms, now)
        if not cost.amount:
            return Known(())
        minutes = -(-span // timedelta(minutes=1))
        note = _("{minutes} min at {price}, as declared").format(minutes=minutes, price=self.terms.price)
        charge = Charge(
            at=lease.ended_at or now,
            kind=ChargeKind.USAGE,
            money=cost,
            ref=lease.id,
            growing=not lease.is_over,
            note=note,
        )
        return Known((charge,))
