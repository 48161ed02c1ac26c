"""Money in integer minor units, unit prices, dated exchange rates and conversions. Floats are refused everywhere."""

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
from gpurent.terminal_text import ForeignText

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?(?P<whole>\d{0,40})(?:\.(?P<part>\d{0,40}))?", re.ASCII)


def round_money(exact: Fraction, currency: Currency, *, round_up: bool) -> Money:
    """Convert ``exact`` whole units to `Money`, rounded once from the exact value (a Decimal has only 28 digits)."""
    minor = exact * 10**currency.exponent
    return Money(ceil(minor) if round_up else floor(minor), currency)


def _check_integer(instance: object, attribute: object, value: int) -> None:
    if type(value) is not int:
        raise TypeError(f"money is a whole number of minor units, not {type(value).__name__}")


def _check_price(instance: object, attribute: object, value: Decimal) -> None:
    if not isinstance(value, Decimal):
        raise TypeError(f"a price is a Decimal, not {type(value).__name__}")
    if not value.is_finite() or value < 0:
        raise MoneyError(_("invalid price: {price}").format(price=value))


@frozen
class Currency:
    """A currency: ``code`` such as CNY, and the number of decimals of its minor unit."""

    code: str = field(validator=validators.matches_re(r"[A-Z]{3,5}"))
    exponent: int = field(validator=[validators.instance_of(int), validators.ge(0), validators.le(18)])

    def money(self, text: str | int | Decimal) -> Money:
        """Parse a decimal number of whole units, ``"3.60"``, exactly; raises `UsageError` for too many decimals."""
        if isinstance(text, float):
            raise TypeError("money is never a float")
        plain = f"{text:f}" if isinstance(text, Decimal) else str(text).strip()
        match = _NUMBER.fullmatch(plain)
        if match is None or not (match["whole"] or match["part"]):
            raise UsageError(_("invalid amount in {code}: {text!r}").format(code=self.code, text=plain[:40]))
        part = (match["part"] or "").rstrip("0")
        if len(part) > self.exponent:
            raise UsageError(
                _("{text} has too many decimal places; {code} allows {digits}").format(
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
            _("cannot combine {one} and {other} without an exchange rate").format(
                one=one.currency.code, other=other.currency.code
            )
        )


@frozen(order=False)
class Money:
    """An amount of money: ``amount`` integer minor units of ``currency``."""

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
        """The amount in whole units, exact: not rounded by the decimal context."""
        sign, digits, _ = Decimal(self.amount).as_tuple()
        return Decimal((sign, digits, -self.currency.exponent))

    def __str__(self) -> str:
        """Format in whole units: all decimals of the currency, without trailing zeros if it has more than two."""
        text = f"{self.decimal:,f}"
        if self.currency.exponent > 2:
            whole, _, part = text.partition(".")
            text = f"{whole}.{part.rstrip('0')}".rstrip(".")
        return f"{text} {self.currency.code}"


@frozen
class UnitPrice:
    """``value`` whole units of ``currency`` per ``per``; may be finer than the currency's minor unit.

    ``is_known`` false: only the currency is known, and ``value`` is 0.
    """

    value: Decimal = field(validator=_check_price)
    currency: Currency
    per: timedelta = HOUR
    is_known: bool = True

    @classmethod
    def make_unknown(cls, currency: Currency) -> UnitPrice:
        """Return the price of a machine of which the provider does not tell it."""
        return cls(Decimal(0), currency, is_known=False)

    def cost(self, time: timedelta, *, round_up: bool = True) -> Money:
        """Return the cost of ``time``, rounded up (or down) once to one minor unit."""
        return round_money(
            Fraction(self.value) * Fraction(time // MICROSECOND, self.per // MICROSECOND),
            self.currency,
            round_up=round_up,
        )

    def __str__(self) -> str:
        if not self.is_known:
            return _("unknown")
        unit = "h" if self.per == HOUR else f"{self.per}"
        return f"{self.value.normalize():f} {self.currency.code}/{unit}"


@frozen
class Rate:
    """An exchange rate: one ``base`` is worth ``value`` ``quote``, as reported by ``source`` at the time ``at``."""

    base: Currency
    quote: Currency
    value: Decimal = field(validator=validators.instance_of(Decimal))
    at: datetime
    source: ForeignText = field(converter=ForeignText)

    def check_age(self, now: datetime, max_age: timedelta) -> Rate:
        """Return this rate if it is positive and at most ``max_age`` old; else raise `MoneyError`, nothing spent."""
        self.check_positive()
        if abs(now - self.at) > max_age:
            raise MoneyError(
                _(
                    "the {base}/{quote} exchange rate from {source} is out of date: {at:%Y-%m-%d %H:%M} UTC"
                ).format(base=self.base.code, quote=self.quote.code, source=self.source, at=self.at),
                hint=_("A quote needs a current exchange rate."),
                retryable=True,
            )
        return self

    def check_positive(self) -> None:
        """Raise `MoneyError` unless the value is finite and positive."""
        if not self.value.is_finite() or self.value <= 0:
            raise MoneyError(
                _("invalid exchange rate from {source}: {value} {quote} for 1 {base}").format(
                    source=self.source, value=self.value, quote=self.quote.code, base=self.base.code
                ),
                hint=_("Try again when the source gives a valid exchange rate."),
            )

    def convert(self, money: Money, *, round_up: bool = True) -> Money:
        """Convert ``money`` to the other currency, rounded once to a minor unit.

        Raises `MoneyError` if the rate is not positive.
        """
        self.check_positive()
        if money.currency == self.base:
            return round_money(Fraction(money.decimal) * Fraction(self.value), self.quote, round_up=round_up)
        if money.currency == self.quote:
            return round_money(Fraction(money.decimal) / Fraction(self.value), self.base, round_up=round_up)
        raise MoneyError(
            _("the {base}/{quote} exchange rate cannot convert {code}").format(
                base=self.base.code, quote=self.quote.code, code=money.currency.code
            )
        )


@frozen(kw_only=True)
class Conversion:
    """A conversion by ``rates``, in the order of their use; empty when both currency codes are the same.

    ``floats``: one of them is a market rate that changes by the minute, so the result is approximate.
    """

    target: Currency
    rates: tuple[Rate, ...] = ()
    floats: bool = False

    @property
    def oldest_rate_at(self) -> datetime | None:
        """The date of the oldest rate in use."""
        return min((rate.at for rate in self.rates), default=None)

    def convert(self, money: Money, *, round_up: bool = True) -> Money:
        """Convert ``money`` to the target currency, rounded once, at the end.

        Raises `MoneyError` if a rate is not positive.
        """
        exact, code = Fraction(money.decimal), money.currency.code
        for rate in self.rates:
            exact, code = _apply_rate(rate, exact, code)
        if code != self.target.code:
            raise MoneyError(
                _("cannot convert {code} to {target} with these exchange rates").format(
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
        _("the {base}/{quote} exchange rate cannot convert {code}").format(
            base=rate.base.code, quote=rate.quote.code, code=code
        )
    )


def find_rate_path(rates: Sequence[Rate], source: str, target: str) -> tuple[Rate, ...] | None:
    """Return the fewest ``rates`` that convert the code ``source`` to ``target``; None when no path exists."""
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
