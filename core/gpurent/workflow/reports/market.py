"""Every provider's offers side by side, by what the wanted time truly costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Known, Offer, Prepaid, Quote, Requirements, Unknown
from gpurent.domain.rates import Conversion
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, LeaseError, MoneyError, UnavailableError
from gpurent.infra.registry.registry import Registry
from gpurent.workflow.payments.quotes import own_cost, quote, swung
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.steps.make_plan import make_plan
from gpurent.workflow.steps.select_offer import listing, long_enough


@frozen(kw_only=True)
class Converted:
    """A price in the currency that the user compares in: what is spent in the end, and what lies locked meanwhile.

    ``low`` and ``high`` differ when a rate floats.
    """

    low: Money
    high: Money
    deposit: Money | None
    conversion: Conversion


@frozen(kw_only=True)
class Priced:
    """An offer for the wanted time. ``quote`` is what has to be paid in the account's own currency, ``term`` for how
    long at least; ``refundable`` of it comes back when the machine is given back after the wanted time.

    ``price`` is in the currency that the shop prices in. ``converted`` None: there is no rate, ``why`` says so.
    """

    offer: Offer
    term: timedelta
    price: Money
    quote: Quote
    net: Quote
    refundable: Money
    converted: Converted | None = None
    why: str = ""


@frozen(kw_only=True)
class Market:
    """``ranked`` cheapest first; ``apart``: priced, but not comparable for want of a rate; ``silent``: left out."""

    ranked: Sequence[Priced]
    apart: Sequence[Priced]
    silent: Sequence[tuple[str, str]]
    too_short: int = 0


def sellers(registry: Registry) -> list[str]:
    """The providers that machines can be bought at; not those that only take over what the user has."""
    return sorted(name for name, entry in registry.lease.items() if entry.billing)


async def market(
    desk: Desk, wish: Requirements, providers: Sequence[str], term: timedelta, code: str, disk: int = 0
) -> Market:
    """All providers and all rates are asked at once: the slowest decides how long it takes.

    ``code`` is the currency to compare in. A provider that fails, or says nothing in time, is left out by name.
    """
    names = list(providers) or sellers(desk.registry)
    for name in names:
        desk.provider(name)
    rates = Rates(desk)
    rates.begin()
    found = await asyncio.gather(*(_listed(desk, name, wish) for name in names))
    want = TripSpec(wish=wish, term=term, disk=disk)
    priced: list[Priced] = []
    silent: list[tuple[str, str]] = []
    short = 0
    for name, listed in zip(names, found, strict=True):
        if isinstance(listed, Unknown):
            silent.append((name, listed.reason))
            continue
        fitting = [offer for offer in listed.items if long_enough(offer, want)]
        short += len(listed.items) - len(fitting)
        try:
            priced += [await _priced(desk, evolve(want, provider=name), offer, rates) for offer in fitting]
        except GpurentError as error:
            silent.append((name, f"{error.message}. {error.hint}".rstrip(". ")))
    shown = [await _shown(item, code, rates) for item in priced]
    ranked = sorted((item for item in shown if item.converted), key=_order)
    apart = sorted((item for item in shown if item.converted is None), key=_apart)
    return Market(ranked=ranked, apart=apart, silent=silent, too_short=short)


async def _listed(desk: Desk, provider: str, wish: Requirements) -> Known[Offer] | Unknown:
    try:
        return await listing(desk, provider, wish)
    except GpurentError as error:
        return Unknown(error.message)


async def _priced(desk: Desk, want: TripSpec, offer: Offer, rates: Rates) -> Priced:
    """What `gpurent run` would have to pay for this machine, and what would be gone in the end."""
    tariff = offer.tariff
    wanted = want.term or timedelta(hours=1)
    term = max(wanted, tariff.minimum) if isinstance(tariff, Prepaid) else wanted
    # Where a cheaper machine to upload on comes first, its deposit is part of the price.
    try:
        whole = (await make_plan(desk, evolve(want, term=term), offer, "", rates)).quote
    except LeaseError:
        whole = (await make_plan(desk, evolve(want, term=term, staged=False), offer, "", rates)).quote
    gpus = want.wish.gpus if offer.hardware.gpus else 0
    back = isinstance(tariff, Prepaid) and tariff.refundable
    net = await quote(desk, offer, wanted if back else term, gpus, want.disk, rates)
    return Priced(
        offer=offer,
        term=term,
        price=own_cost(offer, term, gpus, want.disk),
        quote=whole,
        net=net,
        refundable=whole.high - net.high,
    )


async def _shown(item: Priced, code: str, rates: Rates) -> Priced:
    net, deposit = item.net, item.quote.deposit
    try:
        target = await rates.currency(code)
        conversion = await rates.conversion(net.low.currency, target)
    except (MoneyError, UnavailableError) as error:
        return evolve(item, why=f"{error.message}. {error.hint}".rstrip(". "))
    low, high = conversion.convert(net.low, up=False), conversion.convert(net.high)
    if conversion.floats and net.low == net.high:
        high = swung(high)
    return evolve(
        item,
        converted=Converted(
            low=low,
            high=high,
            deposit=conversion.convert(deposit) if deposit is not None else None,
            conversion=conversion,
        ),
    )


def _order(item: Priced) -> tuple[bool, int, str, str]:
    high = item.converted.high.amount if item.converted else 0
    return (not item.offer.free, high, item.offer.provider, item.offer.key)


def _apart(item: Priced) -> tuple[str, bool, int, str]:
    return (item.net.high.currency.code, not item.offer.free, item.net.high.amount, item.offer.key)
