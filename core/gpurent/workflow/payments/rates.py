"""The rates at hand: what the accounts report, and what the user wrote down. Every one dated, none guessed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from attrs import define, evolve, field, frozen

from gpurent.domain.money import CNY, USD, Conversion, Currency, Rate, shortest
from gpurent.domain.money_text import KNOWN
from gpurent.errors import GpurentError, InputRequired, MoneyError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.roles.entries import BillingEntry, LeaseEntry
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import cancel_and_wait

RATE_LIMIT = timedelta(hours=6)
TIMEOUT = 30.0
# A rate that the user wrote down is no market's: it may be older.
WRITTEN_LIMIT = timedelta(days=45)
_PAIR = re.compile(r"([A-Z]{3,5})/([A-Z]{3,5})")
_OTHER_KEYS = ("at", "source", "limit_days")


def provider_timeout(settings: Settings) -> float:
    """Real seconds that a provider has for its answer: ``[offers] timeout``."""
    text = settings.value("offers", "timeout", f"{TIMEOUT:g}")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise UsageError(_("[offers] timeout is {text}; seconds are meant").format(text=repr(text)))
    return seconds


@frozen
class ExchangeRates:
    plugins: Plugins
    settings: Settings
    clock: Clock

    def begin_lookup(self) -> RateLookup:
        """Fresh rates for one purpose: nobody was asked yet."""
        return RateLookup(self.plugins, self.settings, self.clock)

    async def conversion(self, source: Currency, target: Currency) -> Conversion:
        """As `RateLookup.conversion`, for a single one."""
        return await self.begin_lookup().conversion(source, target)


@define(eq=False)
class RateLookup:
    """Asks each account once, all side by side, and remembers the answers."""

    plugins: Plugins
    settings: Settings
    clock: Clock
    _asked: dict[tuple[str, str], asyncio.Task[Rate | GpurentError]] = field(factory=dict, init=False)

    async def rate_of(self, provider: str, quote: Currency) -> Rate:
        """What a unit of the currency of ``provider``'s account is worth in ``quote``; old or insane: `MoneyError`."""
        answer = await self._ask(provider, quote)
        if isinstance(answer, GpurentError):
            raise answer
        return evolve(answer, quote=quote).check(self.clock.now(), RATE_LIMIT)

    def begin(self) -> None:
        """Ask every account now, without waiting."""
        for provider, quote in self._pairs():
            self._ask(provider, quote)

    async def close(self) -> None:
        """Stop waiting for whoever has not answered."""
        await cancel_and_wait(*(task for task in self._asked.values() if not task.done()))

    async def currency(self, code: str) -> Currency:
        """The currency of that code; one that core does not know must be an account's, or have a rate written down."""
        if code in KNOWN:
            return KNOWN[code]
        billing = [
            entry.name
            for entry in self.plugins.registry.entries(BillingEntry).values()
            if entry.currency == code
        ]
        for provider, entry in self.plugins.registry.entries(LeaseEntry).items():
            if entry.billing not in billing:
                continue
            for quote in (USD, CNY):
                answer = await self._ask(provider, quote)
                if isinstance(answer, Rate):
                    return answer.base
        if billing:
            raise UnavailableError(
                _("nobody says now what {code} is worth").format(code=code), retryable=True
            )
        if any(code in (rate.base.code, rate.quote.code) for rate in written_rates(self._section)):
            return Currency(code, 2)
        raise UsageError(_("no wallet here knows the currency {code}").format(code=code))

    async def conversion(self, source: Currency, target: Currency) -> Conversion:
        """The shortest way over rates that are fresh and sane; none: `MoneyError` that says what is missing."""
        if source.code == target.code:
            return Conversion(target=target)
        floating, reasons = await self._floating()
        written, faults = self._written()
        way = shortest([*floating, *written], source.code, target.code)
        if way is None:
            raise MoneyError(
                _("there is no rate between {source} and {target}").format(
                    source=source.code, target=target.code
                ),
                hint="\n".join([*reasons, *faults, _hint(source, target)]),
            )
        return Conversion(target=target, rates=way, floats=any(rate in floating for rate in way))

    @property
    def _section(self) -> Mapping[str, str]:
        return self.settings.sections.get("rates", {})

    def _written(self) -> tuple[list[Rate], list[str]]:
        """What the user wrote down, and why some of it cannot be used."""
        rates, reasons = [], []
        for rate in written_rates(self._section):
            try:
                rates.append(rate.check(self.clock.now(), written_limit(self._section)))
            except MoneyError as error:
                reasons.append(error.message)
        return rates, reasons

    async def _floating(self) -> tuple[list[Rate], list[str]]:
        """What the accounts report, and why some of it cannot be used."""
        self.begin()
        rates, reasons = [], []
        for provider, quote in self._pairs():
            try:
                rates.append(await self.rate_of(provider, quote))
            except (UnavailableError, InputRequired) as error:
                reasons.append(error.message)
            except MoneyError as error:
                # No rate for this pair at all is no trouble; a bad one is.
                if isinstance(await self._ask(provider, quote), Rate):
                    reasons.append(error.message)
            except GpurentError:
                continue
        return rates, reasons

    def _pairs(self) -> list[tuple[str, Currency]]:
        """One provider for each account, with each currency that the account's own may be priced in."""
        billing = self.plugins.registry.entries(BillingEntry)
        entries = self.plugins.registry.entries(LeaseEntry)
        first = {entry.billing: name for name, entry in sorted(entries.items(), reverse=True)}
        return [
            (provider, quote)
            for name, provider in sorted(first.items())
            if name in billing
            for quote in (USD, CNY)
            if quote.code != billing[name].currency
        ]

    def _ask(self, provider: str, quote: Currency) -> asyncio.Task[Rate | GpurentError]:
        key = (self.plugins.provider_entry(provider).billing, quote.code)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._answer(provider, quote))
        return self._asked[key]

    async def _answer(self, provider: str, quote: Currency) -> Rate | GpurentError:
        seconds = provider_timeout(self.settings)
        try:
            async with asyncio.timeout(seconds):
                return await self.plugins.billing(provider).rate(quote)
        except GpurentError as error:
            return error
        except TimeoutError:
            billing = self.plugins.provider_entry(provider).billing
            return UnavailableError(
                _("{wallet} gives no rate within {seconds:g} s").format(wallet=billing, seconds=seconds),
                retryable=True,
            )


def _hint(source: Currency, target: Currency) -> str:
    pair = "USD/CNY" if "CNY" in (source.code, target.code) else f"{source.code}/{target.code}"
    return _('Write one down in config.toml: [rates] "{pair}" = …, with at and source.').format(pair=pair)


def written_rates(section: Mapping[str, str]) -> list[Rate]:
    """``"USD/CNY" = 7.10`` each, with ``at`` (a date) and ``source`` for all of them."""
    source = section.get("source", "config.toml")
    return [
        Rate(*_currencies(key), _number(key, text), _date(section.get("at", "")), source)
        for key, text in section.items()
        if key not in _OTHER_KEYS
    ]


def written_limit(section: Mapping[str, str]) -> timedelta:
    """How old a written rate may be: ``limit_days``."""
    text = section.get("limit_days", "")
    return timedelta(days=int(text)) if text.isdigit() and len(text) < 5 else WRITTEN_LIMIT


def _currencies(key: str) -> tuple[Currency, Currency]:
    pair = _PAIR.fullmatch(key)
    if pair is None:
        raise UsageError(_("[rates] {key} is no pair of currencies").format(key=key), hint='"USD/CNY" = 7.10')
    base, quote = (KNOWN.get(code) or Currency(code, 8) for code in pair.groups())
    return base, quote


def _number(key: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise UsageError(_("[rates] {key} = {text} is no number").format(key=key, text=repr(text))) from None


def _date(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            _("[rates] needs the date of its rates"), hint='[rates]\nat = 2026-11-24\nsource = "…"'
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
