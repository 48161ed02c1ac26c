"""Quotes: what time on a machine costs in the currency of the account, and whether the balance covers it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from attrs import evolve, frozen

from gpurent.domain.money import HOUR, Money, Rate
from gpurent.domain.offer import Metered, Offer, Prepaid, Quote
from gpurent.errors import MoneyError, Spent, UsageError
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.roles.account import Balance, PostpaidBilling
from gpurent.workflow.payments.rates import ExchangeRates, RateLookup
from gpurent.workflow.runtime.plugins import Plugins

DAY = timedelta(days=1)
# How far a floating exchange rate may move between quote and payment before the user is asked again.
RATE_TOLERANCE = Decimal("0.05")


@frozen(kw_only=True)
class Funding:
    """``ceiling`` is the highest bill for rent that is paid without asking again; ``deposit`` likewise for deposits.

    ``balance`` is None for an account that is billed afterwards; ``rate`` is the exchange rate of the quote, ``budget``
    the trip's budget in the account's currency.
    """

    ceiling: Money
    deposit: Money | None
    budget: Money | None
    balance: Money | None
    rate: Rate | None = None


@frozen
class Quotes:
    """Makes quotes in the currency of the account that pays."""

    plugins: Plugins
    rates: ExchangeRates

    async def quote_offer(
        self,
        offer: Offer,
        term: timedelta | None,
        gpus: int = 1,
        disk: int = 0,
        lookup: RateLookup | None = None,
    ) -> Quote:
        """Return the price of ``term`` on ``offer``. ``lookup``: an exchange rate lookup already in progress.

        Raises `MoneyError` if the price is not known: no budget could be compared with it.
        """
        if offer.deposit is not None:
            zero = offer.deposit.money.currency.zero
            return Quote(low=zero, high=zero, deposit=offer.deposit.money)
        if not offer.tariff.price.is_known:
            raise MoneyError(
                _("the price of {machine} at {provider} is not known").format(
                    machine=offer.key, provider=offer.provider
                ),
                hint=offer.note,
                spent=Spent.NO,
            )
        cost = offer_cost(offer, term, gpus, disk)
        if self.plugins.billing_entry(offer.provider).currency == cost.currency.code:
            return _add_fee(Quote(low=cost, high=cost), offer)
        lookup = lookup or self.rates.start_lookup()
        rate = await lookup.get_rate(offer.provider, cost.currency)
        low = rate.convert(cost, round_up=False)
        return _add_fee(Quote(low=low, high=add_tolerance(low), rate=rate), offer)

    async def get_funding(self, provider: str, quote: Quote, budget: Money | None = None) -> Funding:
        """Return the balance and the limits for payments, without checking them. ``budget`` may be in any currency."""
        balance = await find_balance(self.plugins, provider)
        if budget is not None:
            conversion = await self.rates.get_conversion(budget.currency, quote.high.currency)
            budget = conversion.convert(budget, round_up=False)
        return Funding(
            ceiling=quote.high,
            deposit=quote.deposit,
            budget=budget,
            balance=balance.available if balance is not None else None,
            rate=quote.rate,
        )


async def find_balance(plugins: Plugins, provider: str) -> Balance | None:
    """Return the balance of the account; None if it is billed afterwards, and has none."""
    billing = plugins.billing(provider)
    return None if isinstance(billing, PostpaidBilling) else await billing.get_balance()


def order_term(offer: Offer, term: timedelta | None) -> timedelta | None:
    """Return the time to order: ``term``, by default a day if prepaid and None if metered.

    Raises `UsageError` if ``term`` is outside of the tariff's limits.
    """
    tariff = offer.tariff
    if isinstance(tariff, Metered):
        return term
    term = term or max(DAY, tariff.minimum)
    if term < tariff.minimum:
        raise UsageError(
            _("the minimum rental time at {provider} is {minimum}").format(
                provider=offer.provider, minimum=format_duration(tariff.minimum)
            )
        )
    if tariff.maximum is not None and term > tariff.maximum:
        raise UsageError(
            _("this machine can be rented for at most {maximum}").format(
                maximum=format_duration(tariff.maximum)
            ),
            hint=_("Rent it for less time and renew later, or choose another machine."),
        )
    return term


def offer_cost(offer: Offer, term: timedelta | None, gpus: int = 1, disk: int = 0) -> Money:
    """Return the price of ``term``: every started tick, every GPU, and the disk above the free size.

    It is in the currency of the offer. A metered offer without a term is priced for an hour.
    """
    tariff, time = offer.tariff, term or HOUR
    if isinstance(tariff, Metered):
        time = tariff.round_up(time)
    gpus = max(gpus, 1)
    value = tariff.price.value * (gpus if isinstance(tariff, Prepaid) else 1)
    if offer.disk is not None and offer.hardware.gpus:
        free = offer.disk.free * (gpus if offer.disk.is_per_gpu else 1)
        value += offer.disk.price.value * max(0, disk - free)
    return evolve(tariff.price, value=value).cost(time)


def add_tolerance(money: Money) -> Money:
    """Return ``money`` after the largest rise of the exchange rate that is tolerated without asking."""
    return Money(int(money.amount * (1 + RATE_TOLERANCE)) + 1, money.currency)


def sum_quotes(quotes: Sequence[Quote]) -> Quote:
    """Return the sum of the quotes of all legs, which share the account's currency."""
    first, *rest = quotes
    for quote in rest:
        deposits = [deposit for deposit in (first.deposit, quote.deposit) if deposit is not None]
        first = Quote(
            low=first.low + quote.low,
            high=first.high + quote.high,
            deposit=sum(deposits[1:], deposits[0]) if deposits else None,
            rate=first.rate or quote.rate,
        )
    return first


def required_amount(quote: Quote) -> Money:
    """Return the most that must be available at once: what is spent, plus the deposit."""
    return quote.high if quote.deposit is None else quote.high + quote.deposit


def _add_fee(quote: Quote, offer: Offer) -> Quote:
    fee = offer.tariff.fee if isinstance(offer.tariff, Prepaid) else None
    return quote if fee is None else evolve(quote, low=quote.low + fee, high=quote.high + fee)


def require_funds(provider: str, quote: Quote, funding: Funding) -> None:
    """Raise `MoneyError` if the account has a balance that does not cover ``quote``."""
    balance, most = funding.balance, required_amount(quote)
    if balance is None:
        return
    if most > balance or balance.amount <= 0:
        missing = most - balance
        text = (
            _("the balance of {balance} does not cover {needed}")
            if balance.amount > 0
            else _("the account at {provider} is empty; {needed} is needed")
        )
        raise MoneyError(
            text.format(balance=balance, needed=most, provider=provider),
            hint=_("Top up first: gpurent topup {provider} {short}").format(
                # In the command line's syntax: no separators, currency code last.
                provider=provider,
                short=f"{missing.decimal:f}{missing.currency.code}",
            ),
        )
