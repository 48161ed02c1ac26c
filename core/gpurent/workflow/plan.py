"""Step: the legs of the trip and what they may cost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from attrs import evolve

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.model.money import Money
from gpurent.model.offer import Metered, Offer, Prepaid, Quote, Tariff
from gpurent.model.order import Order, OrderKind
from gpurent.model.trip import Leg, Plan, Want
from gpurent.ports.lease import Staging
from gpurent.workflow.desk import Desk
from gpurent.workflow.trail import Trail

DAY = timedelta(days=1)
RATE_LIMIT = timedelta(hours=6)
# How far a floating rate may move between the quote and the payment before the user is asked again.
SWING = Decimal("0.05")


def term_of(offer: Offer, want: Want) -> timedelta | None:
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


async def quote(desk: Desk, offer: Offer, term: timedelta | None, gpus: int = 1) -> Quote:
    """What ``term`` on ``offer`` costs in the wallet's own currency. A meter without a term is quoted for an hour."""
    if offer.deposit is not None:
        return Quote(
            low=offer.deposit.money.currency.zero,
            high=offer.deposit.money.currency.zero,
            deposit=offer.deposit.money,
        )
    tariff = offer.tariff
    per_gpu = isinstance(tariff, Prepaid)
    price = evolve(tariff.price, value=tariff.price.value * (max(gpus, 1) if per_gpu else 1))
    cost = price.cost(term or timedelta(hours=1))
    entry = desk.registry.get("billing", desk.provider(offer.provider).billing)
    if entry.currency == cost.currency.code:
        return _with_fee(Quote(low=cost, high=cost), tariff)
    rate = await desk.wallet(offer.provider).rate(cost.currency)
    rate.check(desk.clock.now(), RATE_LIMIT)
    low = rate.convert(cost, up=False)
    return _with_fee(Quote(low=low, high=_swung(low), rate=rate), tariff)


def _with_fee(found: Quote, tariff: Tariff) -> Quote:
    fee = tariff.fee if isinstance(tariff, Prepaid) else None
    return found if fee is None else evolve(found, low=found.low + fee, high=found.high + fee)


def _swung(money: Money) -> Money:
    return Money(int(money.amount * (1 + SWING)) + 1, money.currency)


def total(quotes: list[Quote]) -> Quote:
    """The sum over the legs; all are in the wallet's one currency."""
    low, high, deposit = quotes[0].low, quotes[0].high, quotes[0].deposit
    rate = quotes[0].rate
    for item in quotes[1:]:
        low, high, rate = low + item.low, high + item.high, rate or item.rate
        if item.deposit is not None:
            deposit = item.deposit if deposit is None else deposit + item.deposit
    return Quote(low=low, high=high, deposit=deposit, rate=rate)


async def plan(trail: Trail, want: Want, offer: Offer) -> Plan:
    """One leg, or two where the provider has a cheaper machine to upload on first."""

    async def think() -> Plan:
        desk = trail.desk
        shop = desk.shop(offer.provider)
        final = Order(
            key=f"{trail.trip}-main",
            kind=OrderKind.NEW,
            offer=offer,
            term=term_of(offer, want),
            gpus=want.wish.gpus if offer.hardware.gpus else 0,
            disk=want.disk,
            image=want.image,
            password_ref=f"password-{trail.trip}",
        )
        works = bool(want.command)
        legs: list[Leg] = []
        staged = want.staged if want.staged is not None else not want.only_rent
        if staged and isinstance(shop, Staging) and offer.hardware.gpus:
            first = evolve(shop.staging(final), key=f"{trail.trip}-stage", kind=OrderKind.NEW)
            legs.append(
                Leg(order=first, cargo=True, job=False, quote=await quote(desk, first.offer, first.term))
            )
            final = evolve(final, kind=OrderKind.SWITCH)
        price = await quote(desk, offer, final.term, final.gpus)
        legs.append(Leg(order=final, cargo=not legs, job=works, quote=price))
        return Plan(offer=offer, legs=tuple(legs), quote=total([leg.quote for leg in legs]))

    return await trail.once("plan", Plan, think)
