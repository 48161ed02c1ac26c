"""Money in integer minor units, unit prices and dated rates. Floats are refused everywhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation

from attrs import field, frozen, validators

from gpurent.errors import MoneyError, UsageError

HOUR = timedelta(hours=1)


@frozen
class Currency:
    """A unit of money: ``code`` such as CNY, and how many decimals its smallest unit has."""

    code: str = field(validator=validators.matches_re(r"[A-Z]{3,5}"))
    exponent: int = field(validator=[validators.instance_of(int), validators.ge(0), validators.le(18)])

    def money(self, text: str | int | Decimal) -> Money:
        """Read a decimal number of whole units, ``"3.60"``, exactly; more digits than the unit has are refused."""
        if isinstance(text, float):
            raise TypeError("money is never a float")
        try:
            minor = Decimal(text).scaleb(self.exponent)
        except InvalidOperation:
            raise UsageError(f"not an amount of {self.code}: {str(text)[:40]!r}") from None
        if not minor.is_finite() or minor != minor.to_integral_value():
            raise UsageError(f"{text} has more digits than {self.code} has ({self.exponent})")
        return Money(int(minor), self)

    @property
    def zero(self) -> Money:
        return Money(0, self)


CNY = Currency("CNY", 2)
USD = Currency("USD", 2)


def _same(one: Money, other: Money) -> None:
    if one.currency != other.currency:
        raise MoneyError(f"{one.currency.code} and {other.currency.code} cannot be mixed without a rate")


@frozen(order=False)
class Money:
    """``amount`` integer minor units of ``currency``."""

    amount: int = field(validator=validators.instance_of(int))
    currency: Currency

    def __add__(self, other: Money) -> Money:
        _same(self, other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        _same(self, other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount, self.currency)

    def __lt__(self, other: Money) -> bool:
        _same(self, other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        _same(self, other)
        return self.amount <= other.amount

    def __gt__(self, other: Money) -> bool:
        return other < self

    def __ge__(self, other: Money) -> bool:
        return other <= self

    @property
    def decimal(self) -> Decimal:
        return Decimal(self.amount).scaleb(-self.currency.exponent)

    def __str__(self) -> str:
        """Whole units with all decimals up to two, then without trailing zeros: ``3.60 CNY``."""
        text = f"{self.decimal:,f}"
        if self.currency.exponent > 2:
            whole, _, part = text.partition(".")
            text = f"{whole}.{part.rstrip('0')}".rstrip(".")
        return f"{text} {self.currency.code}"


@frozen
class UnitPrice:
    """A price of ``value`` whole units of ``currency`` for each ``per``; may be finer than the currency's minor unit."""

    value: Decimal = field(validator=validators.instance_of(Decimal))
    currency: Currency
    per: timedelta = HOUR

    def cost(self, time: timedelta, *, up: bool = True) -> Money:
        """What ``time`` costs, rounded up (or down) to one minor unit, once."""
        micros = Decimal(time // timedelta(microseconds=1))
        per = Decimal(self.per // timedelta(microseconds=1))
        exact = (self.value * micros / per).scaleb(self.currency.exponent)
        return Money(int(exact.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)), self.currency)

    def __str__(self) -> str:
        unit = "h" if self.per == HOUR else f"{self.per}"
        return f"{self.value.normalize():f} {self.currency.code}/{unit}"


@frozen
class Rate:
    """One ``base`` is worth ``value`` ``quote``, as ``source`` said ``at`` that time."""

    base: Currency
    quote: Currency
    value: Decimal = field(validator=validators.instance_of(Decimal))
    at: datetime
    source: str

    def check(self, now: datetime, limit: timedelta) -> Rate:
        """This rate, when it is above zero and not older than ``limit``; else `MoneyError`, nothing spent."""
        if not self.value.is_finite() or self.value <= 0:
            raise MoneyError(
                f"{self.source} gives a rate of {self.value} {self.quote.code} for one {self.base.code}",
                hint="Nothing was paid. Wait until the source gives a sane rate.",
            )
        if now - self.at > limit:
            raise MoneyError(
                f"the rate {self.base.code}/{self.quote.code} of {self.source} is from {self.at:%Y-%m-%d %H:%M} UTC",
                hint="Nothing was paid. A fresh rate is needed for a quote.",
                retryable=True,
            )
        return self

    def convert(self, money: Money, *, up: bool = True) -> Money:
        """``money`` in the other currency of this rate, rounded once to a minor unit."""
        if money.currency == self.base:
            exact, target = money.decimal * self.value, self.quote
        elif money.currency == self.quote:
            exact, target = money.decimal / self.value, self.base
        else:
            raise MoneyError(f"the rate {self.base.code}/{self.quote.code} cannot convert {money.currency.code}")
        rounding = ROUND_CEILING if up else ROUND_FLOOR
        return Money(int(exact.scaleb(target.exponent).to_integral_value(rounding)), target)
