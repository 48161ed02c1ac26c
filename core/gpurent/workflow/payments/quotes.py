"""What time on a machine costs, in the currency that is really paid."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from attrs import evolve

from gpurent.domain.money import HOUR, Money
from gpurent.domain.offer import Metered, Offer, Prepaid, Quote
from gpurent.domain.trip import TripSpec
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk

DAY = timedelta(days=1)
# How far a floating rate may move between the quote and the payment before the user is asked again.
RATE_TOLERANCE = Decimal("0.05")


def term_of(offer: Offer, want: TripSpec) -> timedelta | None:
    """The time to order: as asked, a day when prepaid and not said, None on a meter."""
    if isinstance(offer.tariff, Metered):
        return want.term
    tariff = offer.tariff
    term = want.term or max(DAY, tariff.minimum)
    if term < tariff.minimum:
        raise UsageError(
            _("{provider} rents for at least {minimum}").format(
                provider=offer.provider, minimum=tariff.minimum
            )
        )
    if tariff.maximum is not None and term > tariff.maximum:
        raise UsageError(
            _("this machine can be had for at most {maximum}").format(maximum=tariff.maximum),
            hint=_("Ask for less time and renew later, or pick another machine."),
        )
    return term


def own_cost(offer: Offer, term: timedelta | None, gpus: int = 1, disk: int = 0) -> Money:
    """What ``term`` costs in the currency of the price: every begun tick, every GPU, the disk beyond the free one.

    A meter without a term is counted for an hour.
    """
    tariff, time = offer.tariff, term or HOUR
    if isinstance(tariff, Metered):
        time = -(-time // tariff.tick) * tariff.tick
    gpus = max(gpus, 1)
    value = tariff.price.value * (gpus if isinstance(tariff, Prepaid) else 1)
    if offer.disk is not None and offer.hardware.gpus:
        value += offer.disk.price.value * max(0, disk - offer.disk.free * gpus)
    return evolve(tariff.price, value=value).cost(time)


async def quote(
    desk: Desk, offer: Offer, term: timedelta | None, gpus: int = 1, disk: int = 0, rates: Rates | None = None
) -> Quote:
    """What ``term`` on ``offer`` costs in the wallet's own currency; ``rates`` of a look that is under way."""
    if offer.deposit is not None:
        zero = offer.deposit.money.currency.zero
        return Quote(low=zero, high=zero, deposit=offer.deposit.money)
    cost = own_cost(offer, term, gpus, disk)
    entry = desk.registry.get("billing", desk.provider(offer.provider).billing)
    if entry.currency == cost.currency.code:
        return _with_fee(Quote(low=cost, high=cost), offer)
    rate = await (rates or Rates(desk)).of(offer.provider, cost.currency)
    low = rate.convert(cost, up=False)
    return _with_fee(Quote(low=low, high=swung(low), rate=rate), offer)


def _with_fee(found: Quote, offer: Offer) -> Quote:
    fee = offer.tariff.fee if isinstance(offer.tariff, Prepaid) else None
    return found if fee is None else evolve(found, low=found.low + fee, high=found.high + fee)


def swung(money: Money) -> Money:
    """``money`` after the largest move of a rate that is not asked about."""
    return Money(int(money.amount * (1 + RATE_TOLERANCE)) + 1, money.currency)


def total(quotes: list[Quote]) -> Quote:
    """The sum over the legs; all are in the wallet's one currency."""
    low, high, deposit = quotes[0].low, quotes[0].high, quotes[0].deposit
    rate = quotes[0].rate
    for item in quotes[1:]:
        low, high, rate = low + item.low, high + item.high, rate or item.rate
        if item.deposit is not None:
            deposit = item.deposit if deposit is None else deposit + item.deposit
    return Quote(low=low, high=high, deposit=deposit, rate=rate)
