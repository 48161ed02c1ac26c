"""Exchange rates: reported by the accounts, configured by the user, or of a public source.

Each has a date; none is guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from attrs import define, evolve, field, frozen

from gpurent.domain.foreign_numbers import parse_foreign_decimal
from gpurent.domain.money import CNY, USD, Conversion, Currency, Rate, find_rate_path
from gpurent.domain.money_text import KNOWN_CURRENCIES
from gpurent.errors import (
    GpurentError,
    InputRequired,
    MoneyError,
    PluginError,
    UnavailableError,
    UnexpectedResponse,
    UsageError,
)
from gpurent.locale import _
from gpurent.ports.system import Clock, ProviderClocks
from gpurent.roles.entries import BillingEntry, LeaseEntry
from gpurent.workflow.payments.provider_timeout import ask_in_time
from gpurent.workflow.payments.rate_sources import SourceLookup
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import cancel_and_wait, start_detached

MAX_RATE_AGE = timedelta(hours=6)
# A configured rate may be older than a reported one.
MAX_CONFIGURED_RATE_AGE = timedelta(days=45)
_PAIR_PATTERN = re.compile(r"([A-Z]{3,5})/([A-Z]{3,5})")
_OTHER_KEYS = ("date", "source", "max_age_days")


@frozen
class ExchangeRates:
    plugins: Plugins
    settings: Settings
    clock: Clock
    clocks: ProviderClocks

    def start_lookup(self) -> RateLookup:
        """Start a lookup of current rates, which shares answers within one purpose."""
        return RateLookup(self.plugins, self.settings, self.clock, self.clocks)

    async def get_conversion(self, source: Currency, target: Currency) -> Conversion:
        """Return a single conversion, as `RateLookup.get_conversion` does."""
        return await self.start_lookup().get_conversion(source, target)


@define(eq=False)
class RateLookup:
    """Requests each account's rates once, concurrently, and caches the answers."""

    plugins: Plugins
    settings: Settings
    clock: Clock
    clocks: ProviderClocks
    _requests: dict[tuple[str, str], asyncio.Task[Rate | GpurentError]] = field(factory=dict, init=False)
    _sources: SourceLookup = field(init=False)

    @_sources.default
    def _make_source_lookup(self) -> SourceLookup:
        return SourceLookup(self.plugins, self.settings, self.clocks)

    async def get_rate(self, provider: str, quote: Currency) -> Rate:
        """Return the rate from the currency of ``provider``'s account to ``quote``.

        Raises `MoneyError` if it is too old or implausible.
        """
        answer = await self._request_rate(provider, quote)
        if isinstance(answer, GpurentError):
            raise answer
        now = self.clocks.clock_of(self.plugins.billing_entry(provider).name).now()
        return evolve(answer, quote=quote).check_age(now, MAX_RATE_AGE)

    def prefetch(self) -> None:
        """Start requests to all accounts without waiting."""
        for provider, quote in self._list_pairs():
            self._request_rate(provider, quote)

    def prefetch_sources(self, codes: Iterable[str], target: str) -> None:
        """Start requests to the rate sources without waiting, if ``codes`` can probably be converted only by them."""
        # The rate of an account with a currency of its own leads to USD.
        known = {code if code in KNOWN_CURRENCIES else USD.code for code in codes}
        # A wrong setting is reported by the conversion that needs it.
        with contextlib.suppress(UsageError):
            written, _faults = self._list_configured_rates()
            if any(find_rate_path(written, code, target) is None for code in known):
                self._sources.prefetch()

    async def close(self) -> None:
        """Cancel the requests that are still open."""
        await cancel_and_wait(*(task for task in self._requests.values() if not task.done()))
        await self._sources.close()

    async def get_currency(self, code: str) -> Currency:
        """Return the currency ``code``: a known one, that of an account, or one with a configured rate.

        Raises `UsageError` for an unknown code.
        """
        if code in KNOWN_CURRENCIES:
            return KNOWN_CURRENCIES[code]
        billing = [
            entry.name
            for entry in self.plugins.registry.get_entries(BillingEntry).values()
            if entry.currency == code
        ]
        for provider, entry in self.plugins.registry.get_entries(LeaseEntry).items():
            if entry.billing not in billing:
                continue
            for quote in (USD, CNY):
                answer = await self._request_rate(provider, quote)
                if isinstance(answer, Rate):
                    return answer.base
        if billing:
            raise UnavailableError(_("no current exchange rate for {code}").format(code=code), retryable=True)
        if any(
            code in (rate.base.code, rate.quote.code) for rate in parse_configured_rates(self._rates_section)
        ):
            return Currency(code, 2)
        raise UsageError(_("unknown currency: {code}").format(code=code))

    async def get_conversion(self, source: Currency, target: Currency) -> Conversion:
        """Return the shortest conversion over fresh, plausible rates.

        Public sources are asked only where the rates of accounts and settings do not suffice.

        Raises a `MoneyError` that names what is missing if there is none.
        """
        if source.code == target.code:
            return Conversion(target=target)
        floating, reasons = await self._list_account_rates()
        written, faults = self._list_configured_rates()
        found, failures = [*floating, *written], [*reasons, *faults]
        way = find_rate_path(found, source.code, target.code)
        if way is None:
            sourced, left_out = await self._sources.list_rates()
            found, failures = [*found, *sourced], [*failures, *left_out]
            way = find_rate_path(found, source.code, target.code)
        if way is None:
            # A wallet's own rate leads to USD; what is missing is the way on from there.
            known = "USD" if find_rate_path(found, source.code, "USD") else source.code
            raise MoneyError(
                _("no exchange rate between {source} and {target}").format(source=known, target=target.code),
                hint="\n".join([*failures, _missing_rate_hint(source, target)]),
            )
        return Conversion(target=target, rates=way, floats=any(rate in floating for rate in way))

    @property
    def _rates_section(self) -> Mapping[str, str]:
        return self.settings.sections.get("rates", {})

    def _list_configured_rates(self) -> tuple[list[Rate], list[str]]:
        """Return the configured rates, and why some of them cannot be used."""
        rates, reasons = [], []
        for rate in parse_configured_rates(self._rates_section):
            try:
                rates.append(rate.check_age(self.clock.now(), parse_max_rate_age(self._rates_section)))
            except MoneyError as error:
                reasons.append(error.message)
        return rates, reasons

    async def _list_account_rates(self) -> tuple[list[Rate], list[str]]:
        """Return the rates that the accounts report, and why some of them cannot be used."""
        self.prefetch()
        rates, reasons = [], []
        for provider, quote in self._list_pairs():
            try:
                rates.append(await self.get_rate(provider, quote))
            except (UnavailableError, InputRequired, PluginError, UnexpectedResponse) as error:
                reasons.append(error.message)
            except MoneyError as error:
                # A missing rate for this pair is no problem; a bad rate is.
                if isinstance(await self._request_rate(provider, quote), Rate):
                    reasons.append(error.message)
            except GpurentError:
                continue
        return rates, reasons

    def _list_pairs(self) -> list[tuple[str, Currency]]:
        """Return one provider per account, with each currency for which its rate is requested."""
        billing = self.plugins.registry.get_entries(BillingEntry)
        entries = self.plugins.registry.get_entries(LeaseEntry)
        first = {entry.billing: name for name, entry in sorted(entries.items(), reverse=True)}
        return [
            (provider, quote)
            for name, provider in sorted(first.items())
            if name in billing
            for quote in (USD, CNY)
            if quote.code != billing[name].currency
        ]

    def _request_rate(self, provider: str, quote: Currency) -> asyncio.Task[Rate | GpurentError]:
        key = (self.plugins.provider_entry(provider).billing, quote.code)
        if key not in self._requests:
            self._requests[key] = start_detached(self._fetch_rate(provider, quote))
        return self._requests[key]

    async def _fetch_rate(self, provider: str, quote: Currency) -> Rate | GpurentError:
        return await ask_in_time(
            self.settings,
            lambda: self.plugins.billing(provider).get_rate(quote),
            lambda seconds: _("{wallet} gave no exchange rate within {seconds:g} s").format(
                wallet=self.plugins.provider_entry(provider).billing, seconds=seconds
            ),
        )


def _missing_rate_hint(source: Currency, target: Currency) -> str:
    pair = "USD/CNY" if "CNY" in (source.code, target.code) else f"{source.code}/{target.code}"
    return _('Add one to config.toml: [rates] "{pair}" = …, with date and source.').format(pair=pair)


def parse_configured_rates(section: Mapping[str, str]) -> list[Rate]:
    """Parse entries ``"USD/CNY" = 7.10``, with ``date`` and ``source`` for all of them."""
    source = section.get("source", "config.toml")
    return [
        Rate(*_parse_pair(key), _parse_number(key, text), _parse_date(section.get("date", "")), source)
        for key, text in section.items()
        if key not in _OTHER_KEYS
    ]


def parse_max_rate_age(section: Mapping[str, str]) -> timedelta:
    """Return how old a configured rate may be: ``max_age_days``."""
    text = section.get("max_age_days", "")
    return timedelta(days=int(text)) if text.isdigit() and len(text) < 5 else MAX_CONFIGURED_RATE_AGE


def _parse_pair(key: str) -> tuple[Currency, Currency]:
    pair = _PAIR_PATTERN.fullmatch(key)
    if pair is None:
        raise UsageError(
            _("[rates] {key} is not a pair of currencies").format(key=key), hint='"USD/CNY" = 7.10'
        )
    base, quote = (KNOWN_CURRENCIES.get(code) or Currency(code, 8) for code in pair.groups())
    return base, quote


def _parse_number(key: str, text: str) -> Decimal:
    try:
        return parse_foreign_decimal(text)
    except ValueError:
        raise UsageError(
            _("[rates] {key} = {text} is not a number").format(key=key, text=repr(text))
        ) from None


def _parse_date(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            _("[rates] needs the date of its rates"), hint='[rates]\ndate = 2026-11-24\nsource = "…"'
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
