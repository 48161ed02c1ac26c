"""From one currency to another over one or more dated rates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from attrs import frozen

from gpurent.domain.money import Currency, Money, Rate, rounded
from gpurent.errors import MoneyError
from gpurent.locale import _


@frozen(kw_only=True)
class Conversion:
    """``rates`` in the order in which they are used; none at all when both codes are the same.

    ``floats``: one of them is a market's and moves by the minute, so that what it gives is only near.
    """

    target: Currency
    rates: tuple[Rate, ...] = ()
    floats: bool = False

    @property
    def oldest(self) -> datetime | None:
        """The date of the oldest rate that takes part."""
        return min((rate.at for rate in self.rates), default=None)

    def convert(self, money: Money, *, up: bool = True) -> Money:
        """``money`` in the target currency, rounded once, at the end. A rate not above zero: `MoneyError`."""
        exact, code = Fraction(money.decimal), money.currency.code
        for rate in self.rates:
            exact, code = _step(rate, exact, code)
        if code != self.target.code:
            raise MoneyError(
                _("{code} cannot be converted to {target} by these rates").format(
                    code=money.currency.code, target=self.target.code
                )
            )
        return rounded(exact, self.target, up=up)


def _step(rate: Rate, exact: Fraction, code: str) -> tuple[Fraction, str]:
    rate.sane()
    if code == rate.base.code:
        return exact * Fraction(rate.value), rate.quote.code
    if code == rate.quote.code:
        return exact / Fraction(rate.value), rate.base.code
    raise MoneyError(
        _("the rate {base}/{quote} cannot convert {code}").format(
            base=rate.base.code, quote=rate.quote.code, code=code
        )
    )


def shortest(rates: Sequence[Rate], source: str, target: str) -> tuple[Rate, ...] | None:
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
