"""Matching offers of one provider, and of all providers compared by what the wanted time really costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from attrs import evolve, field, frozen

from gpurent.domain.evidence import Known, Unknown, make_unknown
from gpurent.domain.money import HOUR, MICROSECOND, Conversion, Money, UnitPrice
from gpurent.domain.offer import Offer, Prepaid, Quote, Requirements
from gpurent.domain.provider_names import get_base_name
from gpurent.domain.trip import TripLimits, TripPlan, TripSpec, UploadSpec
from gpurent.domain.wishes import Wish, find_unstated_wishes, fits
from gpurent.errors import GpurentError, LeaseError, UsageError
from gpurent.locale import _
from gpurent.roles.entries import BillingEntry, LeaseEntry
from gpurent.workflow.payments.provider_timeout import read_provider_timeout
from gpurent.workflow.payments.quotes import Quotes, add_tolerance, offer_cost
from gpurent.workflow.payments.rates import ExchangeRates, RateLookup
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.volumes import VolumeTracker


@frozen
class FittingOffers(Known[Offer]):
    """``unstated``: for each wish, how many offers were left out because they state nothing about it.

    ``elsewhere``: how many were left out because they cannot mount the wanted volume, which is in ``volume_place``.
    """

    unstated: Mapping[Wish, int] = field(factory=dict)
    elsewhere: int = 0
    volume_place: str = ""


@frozen
class OfferListing:
    plugins: Plugins
    settings: Settings
    rates: ExchangeRates
    volumes: VolumeTracker

    async def list_fitting_offers(
        self, provider: str, requirements: Requirements, lookup: RateLookup | None = None
    ) -> FittingOffers | Unknown:
        """Return matching offers, cheapest first; on failure, `Unknown` with the reason.

        One whose price is not known is left out, and counted: nobody can agree to what it costs.
        ``lookup``: where the rates for a maximum price are asked for, if the caller has one.
        """
        seconds = read_provider_timeout(self.settings)
        try:
            volume = await self.volumes.find_wanted(provider, requirements)
            requirements = evolve(requirements, mounted=volume)
            async with asyncio.timeout(seconds):
                found = await self.plugins.provider(provider).list_offers(requirements)
        except TimeoutError:
            return Unknown(_("no answer within {seconds:g} s").format(seconds=seconds))
        except GpurentError as error:
            return make_unknown(error)
        if isinstance(found, Unknown):
            return found
        listed = [offer for offer in found.items if offer.available or requirements.include_taken]
        kept = [offer for offer in listed if fits(offer, requirements)]
        unstated = Counter(wish for offer in listed for wish in find_unstated_wishes(offer, requirements))
        elsewhere = 0
        if volume is not None:
            anywhere = evolve(requirements, mounted=None)
            elsewhere = sum(fits(x, anywhere) and x.volume_place not in ("", volume.place) for x in listed)
        priced = [offer for offer in kept if offer.tariff.price.is_known]
        unstated.update({Wish.ANY_PRICE: len(kept) - len(priced)} if len(priced) < len(kept) else {})
        if requirements.max_price is not None:
            cheap = await self._check_prices(priced, requirements, requirements.max_price, lookup)
            unstated.update({Wish.PRICE: cheap.count(None)} if None in cheap else {})
            priced = [offer for offer, is_cheap in zip(priced, cheap, strict=True) if is_cheap]
        return FittingOffers(
            sorted(priced, key=lambda offer: (not offer.available, hourly_price(offer), offer.key)),
            unstated,
            elsewhere,
            volume.place if volume is not None else "",
        )

    async def _check_prices(
        self, offers: Sequence[Offer], requirements: Requirements, most: UnitPrice, lookup: RateLookup | None
    ) -> Sequence[bool | None]:
        """Return whether an hour of each costs ``most`` at the highest; None: there is no exchange rate for it."""
        if lookup is not None:
            return [await _is_cheap_enough(offer, requirements, most, lookup) for offer in offers]
        own = self.rates.start_lookup()
        try:
            return await self._check_prices(offers, requirements, most, own)
        finally:
            await own.close()


async def _is_cheap_enough(
    offer: Offer, requirements: Requirements, most: UnitPrice, lookup: RateLookup
) -> bool | None:
    hour = offer_cost(offer, HOUR, requirements.gpus if offer.hardware.gpus else 0, requirements.disk)
    try:
        conversion = await lookup.get_conversion(hour.currency, most.currency)
    except GpurentError:
        return None
    return conversion.convert(hour).amount <= most.cost(HOUR).amount


def hourly_price(offer: Offer) -> Decimal:
    """Return the price per hour in whole currency units, for sorting within one currency."""
    price = offer.tariff.price
    return price.value * (HOUR // MICROSECOND) / (price.per // MICROSECOND)


def is_long_enough(offer: Offer, term: timedelta | None) -> bool:
    tariff = offer.tariff
    if not isinstance(tariff, Prepaid) or tariff.maximum is None or term is None:
        return True
    return term <= tariff.maximum


@frozen(kw_only=True)
class ConvertedPrice:
    """A price in the user's currency: what is spent in the end, and the deposit that is locked meanwhile.

    ``low`` and ``high`` differ if an exchange rate floats.
    """

    low: Money
    high: Money
    deposit: Money | None
    conversion: Conversion


@frozen(kw_only=True)
class PricedOffer:
    """An offer priced for the wanted time.

    ``quote`` is what has to be paid in the account's currency, for the minimum time ``term``; ``refundable`` of it is
    refunded if the machine is released after the wanted time, which leaves ``net_quote``.

    ``price`` is in the provider's currency. ``converted`` is None if there is no exchange rate; ``unconverted_reason``
    says why.
    """

    offer: Offer
    term: timedelta
    price: Money
    quote: Quote
    net_quote: Quote
    refundable: Money
    converted: ConvertedPrice | None = None
    unconverted_reason: str = ""


@frozen(kw_only=True)
class MarketOffers:
    """``ranked`` is sorted cheapest first; ``unconverted`` is priced, but not comparable for lack of an exchange rate.

    ``unavailable``: providers left out, and why; ``too_short``: the number of machines not rented out for so long.
    ``unstated``: as in `FittingOffers`, by provider.
    """

    ranked: Sequence[PricedOffer]
    unconverted: Sequence[PricedOffer]
    unavailable: Sequence[tuple[str, str]]
    too_short: int = 0
    unstated: Mapping[str, Mapping[Wish, int]] = field(factory=dict)


# Plans a trip from its spec, offer and id, without ordering or writing anything.
PlanMaker = Callable[[TripSpec, Offer, str, RateLookup | None], Awaitable[TripPlan]]


@frozen
class Market:
    """Compares the offers of all providers. Providers and rates are requested concurrently."""

    plugins: Plugins
    listing: OfferListing
    quotes: Quotes
    rates: ExchangeRates
    make_plan: PlanMaker

    def list_providers(self) -> list[str]:
        """Return the providers that machines can be rented from; not those that only adopt machines."""
        entries = self.plugins.registry.get_entries(LeaseEntry)
        return sorted(name for name, entry in entries.items() if entry.billing)

    def _list_currencies(self, providers: Sequence[str]) -> set[str]:
        """Return the currencies in which the providers are paid."""
        billing = self.plugins.registry.get_entries(BillingEntry)
        named = {self.plugins.provider_entry(name).billing for name in providers}
        return {billing[name].currency for name in named if name in billing}

    async def compare_offers(
        self, requirements: Requirements, providers: Sequence[str], term: timedelta, code: str
    ) -> MarketOffers:
        """Compare matching offers for ``term`` in the currency ``code``; empty ``providers`` means all.

        A provider that fails or does not answer in time is listed as unavailable.
        """
        names = list(dict.fromkeys(providers)) or self.list_providers()
        for name in names:
            self.plugins.provider_entry(name)
        lookup = self.rates.start_lookup()
        lookup.prefetch()
        lookup.prefetch_sources(self._list_currencies(names), code)
        try:
            listings = await asyncio.gather(
                *(self._list_offers(name, requirements, lookup) for name in names)
            )
            spec = TripSpec(requirements=requirements, limits=TripLimits(term=term))
            return await self._compare_listings(dict(zip(names, listings, strict=True)), spec, code, lookup)
        finally:
            await lookup.close()

    async def _list_offers(
        self, provider: str, requirements: Requirements, lookup: RateLookup
    ) -> FittingOffers | Unknown:
        try:
            return await self.listing.list_fitting_offers(provider, requirements, lookup)
        except GpurentError as error:
            return make_unknown(error)

    async def _compare_listings(
        self, listings: dict[str, FittingOffers | Unknown], spec: TripSpec, code: str, lookup: RateLookup
    ) -> MarketOffers:
        priced: list[PricedOffer] = []
        unavailable: list[tuple[str, str]] = []
        too_short = 0
        for name, listed in listings.items():
            if isinstance(listed, Unknown):
                unavailable.append((name, listed.reason))
                continue
            lasting = [offer for offer in listed.items if is_long_enough(offer, spec.limits.term)]
            too_short += len(listed.items) - len(lasting)
            try:
                mine = evolve(spec, provider=name)
                priced += [await self._price_offer(mine, offer, lookup) for offer in lasting]
            except GpurentError as error:
                unavailable.append((name, _format_error(error)))
        shown = [await _convert_offer(item, code, lookup) for item in priced]
        return MarketOffers(
            ranked=sorted((item for item in shown if item.converted), key=_converted_sort_key),
            unconverted=sorted((item for item in shown if item.converted is None), key=_unconverted_sort_key),
            unavailable=unavailable,
            too_short=too_short,
            unstated={
                name: listed.unstated
                for name, listed in listings.items()
                if isinstance(listed, FittingOffers) and listed.unstated
            },
        )

    async def _price_offer(self, spec: TripSpec, offer: Offer, lookup: RateLookup) -> PricedOffer:
        """Return what `gpurent run` would have to pay for this machine, and what it would cost in the end."""
        tariff, requirements = offer.tariff, spec.requirements
        wanted = spec.limits.term or HOUR
        term = max(wanted, tariff.minimum) if isinstance(tariff, Prepaid) else wanted
        whole = await self._quote_trip(evolve(spec, limits=TripLimits(term=term)), offer, lookup)
        gpus = requirements.gpus if offer.hardware.gpus else 0
        refunds = isinstance(tariff, Prepaid) and tariff.refundable
        net = await self.quotes.quote_offer(
            offer, wanted if refunds else term, gpus, requirements.disk, lookup
        )
        return PricedOffer(
            offer=offer,
            term=term,
            price=offer_cost(offer, term, gpus, requirements.disk),
            quote=whole,
            net_quote=net,
            refundable=whole.high - net.high,
        )

    async def _quote_trip(self, spec: TripSpec, offer: Offer, lookup: RateLookup) -> Quote:
        """Quote the whole trip: the deposit of a cheaper staging machine, if there is one, is part of the price."""
        try:
            return (await self.make_plan(spec, offer, "", lookup)).quote
        except LeaseError:
            unstaged = evolve(spec, upload=UploadSpec(staged=False))
            return (await self.make_plan(unstaged, offer, "", lookup)).quote


async def _convert_offer(item: PricedOffer, code: str, lookup: RateLookup) -> PricedOffer:
    net, deposit = item.net_quote, item.quote.deposit
    try:
        conversion = await lookup.get_conversion(net.low.currency, await lookup.get_currency(code))
    except UsageError:
        raise
    except GpurentError as error:
        return evolve(item, unconverted_reason=_format_error(error))
    low, high = conversion.convert(net.low, round_up=False), conversion.convert(net.high)
    if net.low == net.high:
        # At a rate that holds for a day, rounding alone does not make it a range.
        low, high = (low, add_tolerance(high)) if conversion.floats else (high, high)
    converted = ConvertedPrice(
        low=low,
        high=high,
        deposit=conversion.convert(deposit) if deposit is not None else None,
        conversion=conversion,
    )
    return evolve(item, converted=converted)


def _format_error(error: GpurentError) -> str:
    if not error.hint:
        return error.message
    return _("{message}. {hint}").format(message=error.message, hint=error.hint.rstrip(".。"))


def _name_sort_key(offer: Offer) -> tuple[str, str, str]:
    """Sort key of offers that cost the same: what several accounts of a provider see stays together."""
    return get_base_name(offer.provider), offer.key, offer.provider


def _converted_sort_key(item: PricedOffer) -> tuple[bool, int, tuple[str, str, str]]:
    high = item.converted.high.amount if item.converted else 0
    return (not item.offer.available, high, _name_sort_key(item.offer))


def _unconverted_sort_key(item: PricedOffer) -> tuple[str, bool, int, tuple[str, str, str]]:
    """Sort key within one currency."""
    return (
        item.net_quote.high.currency.code,
        not item.offer.available,
        item.net_quote.high.amount,
        _name_sort_key(item.offer),
    )
