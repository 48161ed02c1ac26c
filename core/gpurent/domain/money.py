"""Money in integer minor units, unit prices, dated rates and what they convert. Floats are refused everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from attrs import field, frozen, validators

from gpurent.errors import MoneyError, UsageError
from gpurent.locale import _

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?(?P<whole>\d{0,40})(?:\.(?P<part>\d{0,40}))?", re.ASCII)


def round_money(exact: Fraction, currency: Currency, *, round_up: bool) -> Money:
    """``exact`` whole units as money: rounded once, and from the exact value (a Decimal has 28 digits only)."""
    minor = exact * 10**currency.exponent
    return Money(ceil(minor) if round_up else floor(minor), currency)


def _check_integer(instance: object, attribute: object, value: int) -> None:
    if type(value) is not int:
        raise TypeError(f"money is a whole number of minor units, not {type(value).__name__}")


def _check_price(instance: object, attribute: object, value: Decimal) -> None:
    if not isinstance(value, Decimal):
        raise TypeError(f"a price is a Decimal, not {type(value).__name__}")
    if not value.is_finite() or value < 0:
        raise MoneyError(_("{price} is no price").format(price=value))


@frozen
class Currency:
    """A unit of money: ``code`` such as CNY, and how many decimals its smallest unit has."""

    code: str = field(validator=validators.matches_re(r"[A-Z]{3,5}"))
    exponent: int = field(validator=[validators.instance_of(int), validators.ge(0), validators.le(18)])

    def money(self, text: str | int | Decimal) -> Money:
        """Read a decimal number of whole units, ``"3.60"``, exactly; more digits than the unit has are refused."""
        if isinstance(text, float):
            raise TypeError("money is never a float")
        plain = f"{text:f}" if isinstance(text, Decimal) else str(text).strip()
        match = _NUMBER.fullmatch(plain)
        if match is None or not (match["whole"] or match["part"]):
            raise UsageError(_("not an amount of {code}: {text!r}").format(code=self.code, text=plain[:40]))
        part = (match["part"] or "").rstrip("0")
        if len(part) > self.exponent:
            raise UsageError(
                _("{text} has more digits than {code} has ({digits})").format(
                    text=plain, code=self.code, digits=self.exponent
                )
            )
        minor = int((match["whole"] or "0") + part.ljust(self.exponent, "0"))
        return Money(-minor if plain.startswith("-") else minor, self)

    @property
    def zero(self) -> Money:
        return Money(0, self)


CNY = Currency("CNY", 2)
USD = Currency("USD", 2)


def _check_same_currency(one: Money, other: Money) -> None:
    if one.currency != other.currency:
        raise MoneyError(
            _("{one} and {other} cannot be mixed without a rate").format(
                one=one.currency.code, other=other.currency.code
            )
        )


@frozen(order=False)
class Money:
    """``amount`` integer minor units of ``currency``."""

    amount: int = field(validator=_check_integer)
    currency: Currency

    def __add__(self, other: Money) -> Money:
        _check_same_currency(self, other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        _check_same_currency(self, other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount, self.currency)

    def __lt__(self, other: Money) -> bool:
        _check_same_currency(self, other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        _check_same_currency(self, other)
        return self.amount <= other.amount

    def __gt__(self, other: Money) -> bool:
        return other < self

    def __ge__(self, other: Money) -> bool:
        return other <= self

    @property
    def decimal(self) -> Decimal:
        """Whole units, exactly: no context rounds it."""
        sign, digits, _ = Decimal(self.amount).as_tuple()
        return Decimal((sign, digits, -self.currency.exponent))

    def __str__(self) -> str:
        """Whole units with all decimals up to two, then without trailing zeros: ``3.60 CNY``."""
        text = f"{self.decimal:,f}"
        if self.currency.exponent > 2:
            whole, _, part = text.partition(".")
            text = f"{whole}.{part.rstrip('0')}".rstrip(".")
        return f"{text} {self.currency.code}"


@frozen
class UnitPrice:
    """``value`` whole units of ``currency`` for each ``per``; may be finer than the currency's minor unit."""

    value: Decimal = field(validator=_check_price)
    currency: Currency
    per: timedelta = HOUR

    def cost(self, time: timedelta, *, round_up: bool = True) -> Money:
        """What ``time`` costs, rounded up (or down) to one minor unit, once."""
        return round_money(
            Fraction(self.value) * Fraction(time // MICROSECOND, self.per // MICROSECOND),
            self.currency,
            round_up=round_up,
        )

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

    def check_age(self, now: datetime, max_age: timedelta) -> Rate:
        """This rate, if it is above zero and within ``max_age`` of ``now``; else `MoneyError`, nothing spent."""
        self.check_positive()
        if abs(now - self.at) > max_age:
            raise MoneyError(
                _("the rate {base}/{quote} of {source} is from {at:%Y-%m-%d %H:%M} UTC").format(
                    base=self.base.code, quote=self.quote.code, source=self.source, at=self.at
                ),
                hint=_("Nothing was paid. A fresh rate is needed for a quote."),
                retryable=True,
            )
        return self

    def check_positive(self) -> None:
        """`MoneyError` unless the value is finite and above zero."""
        if not self.value.is_finite() or self.value <= 0:
            raise MoneyError(
                _("{source} gives a rate of {value} {quote} for one {base}").format(
                    source=self.source, value=self.value, quote=self.quote.code, base=self.base.code
                ),
                hint=_("Nothing was paid. Wait until the source gives a sane rate."),
            )

    def convert(self, money: Money, *, round_up: bool = True) -> Money:
        """``money`` in the other currency, rounded once to a minor unit. A rate not above zero: `MoneyError`."""
        self.check_positive()
        if money.currency == self.base:
            return round_money(Fraction(money.decimal) * Fraction(self.value), self.quote, round_up=round_up)
        if money.currency == self.quote:
            return round_money(Fraction(money.decimal) / Fraction(self.value), self.base, round_up=round_up)
        raise MoneyError(
            _("the rate {base}/{quote} cannot convert {code}").format(
                base=self.base.code, quote=self.quote.code, code=money.currency.code
            )
        )


@frozen(kw_only=True)
class Conversion:
    """``rates`` in the order in which they are used; none at all when both codes are the same.

    ``floats``: one of them is a market's and moves by the minute, so that what it gives is only near.
    """

    target: Currency
    rates: tuple[Rate, ...] = ()
    floats: bool = False

    @property
    def oldest_rate_at(self) -> datetime | None:
        """The date of the oldest rate that takes part."""
        return min((rate.at for rate in self.rates), default=None)

    def convert(self, money: Money, *, round_up: bool = True) -> Money:
        """``money`` in the target currency, rounded once, at the end. A rate not above zero: `MoneyError`."""
        exact, code = Fraction(money.decimal), money.currency.code
        for rate in self.rates:
            exact, code = _apply_rate(rate, exact, code)
        if code != self.target.code:
            raise MoneyError(
                _("{code} cannot be converted to {target} by these rates").format(
                    code=money.currency.code, target=self.target.code
                )
            )
        return round_money(exact, self.target, round_up=round_up)


def _apply_rate(rate: Rate, exact: Fraction, code: str) -> tuple[Fraction, str]:
    rate.check_positive()
    if code == rate.base.code:
        return exact * Fraction(rate.value), rate.quote.code
    if code == rate.quote.code:
        return exact / Fraction(rate.value), rate.base.code
    raise MoneyError(
        _("the rate {base}/{quote} cannot convert {code}").format(
            base=rate.base.code, quote=rate.quote.code, code=code
        )
    )


def find_rate_path(rates: Sequence[Rate], source: str, target: str) -> tuple[Rate, ...] | None:
    """The fewest of ``rates`` that lead from the code ``source`` to ``target``; None when they do not meet."""
    ways: list[tuple[str, tuple[Rate, ...]]] = [(source, ())]
    seen = {source}
    for code, way in ways:
        if code == target:
            return way
        for rate in rates:
            for here, there in ((rate.base.code, rate.quote.code), (rate.quote.code, rate.base.code)):
                if here == code and there not in seen:
                    seen.add(there)
                    ways.append((there, (*way, rate)))
    return None
