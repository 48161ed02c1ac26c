"""The rates at hand: what wallets say, and what the user wrote down. Every one dated, none guessed."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from attrs import evolve

from gpurent.domain.money import CNY, USD, Currency, Rate
from gpurent.domain.rates import Conversion, shortest
from gpurent.errors import GpurentError, MoneyError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.workflow.runtime.desk import Desk

RATE_LIMIT = timedelta(hours=6)
# A rate that the user wrote down is no market's: it may be older.
WRITTEN_LIMIT = timedelta(days=45)
PATIENCE = 30.0
_PAIR = re.compile(r"([A-Z]{3,5})/([A-Z]{3,5})")
_KNOWN = {"CNY": CNY, "USD": USD}


def patience(desk: Desk) -> float:
    """Real seconds that a portal has for its answer: ``[offers] timeout``."""
    text = desk.setting("offers", "timeout", f"{PATIENCE:g}")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise UsageError(_("[offers] timeout is {text}; seconds are meant").format(text=repr(text)))
    return seconds


class Rates:
    """Asks each wallet once, all side by side, and remembers the answer: one object for one look at the market."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: dict[tuple[str, str], asyncio.Task[Rate | GpurentError]] = {}

    async def of(self, provider: str, quote: Currency) -> Rate:
        """What a unit of the currency of ``provider``'s account is worth in ``quote``; old or insane: `MoneyError`."""
        answer = await self._ask(provider, quote)
        if isinstance(answer, GpurentError):
            raise answer
        return evolve(answer, quote=quote).check(self._desk.clock.now(), RATE_LIMIT)

    def begin(self) -> None:
        """Ask every wallet now, without waiting."""
        for provider, quote in self._pairs():
            self._ask(provider, quote)

    async def currency(self, code: str) -> Currency:
        """The currency of that code; one that core does not know must be a wallet's, or have a rate written down."""
        if code in _KNOWN:
            return _KNOWN[code]
        billing = {
            name: entry for name, entry in self._desk.registry.billing.items() if entry.currency == code
        }
        for provider, entry in self._desk.registry.lease.items():
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
        if any(code in (rate.base.code, rate.quote.code) for rate in written_rates(self._desk)):
            return Currency(code, 2)
        raise UsageError(_("no wallet here knows the currency {code}").format(code=code))

    async def conversion(self, source: Currency, target: Currency) -> Conversion:
        """The shortest way over rates that are fresh and sane; none: `MoneyError` that says what is missing."""
        if source.code == target.code:
            return Conversion(target=target)
        floating, reasons = await self._floating()
        written = []
        for rate in written_rates(self._desk):
            try:
                written.append(rate.check(self._desk.clock.now(), _written_limit(self._desk)))
            except MoneyError as error:
                reasons.append(error.message)
        way = shortest([*floating, *written], source.code, target.code)
        if way is None:
            raise MoneyError(
                _("there is no rate between {source} and {target}").format(
                    source=source.code, target=target.code
                ),
                hint="\n".join([*reasons, _hint(source, target)]),
            )
        return Conversion(target=target, rates=way, floats=any(rate in floating for rate in way))

    async def _floating(self) -> tuple[list[Rate], list[str]]:
        """What the wallets say, and why some of it cannot be used."""
        self.begin()
        rates, reasons = [], []
        for provider, quote in self._pairs():
            try:
                rates.append(await self.of(provider, quote))
            except UnavailableError as error:
                reasons.append(error.message)
            except MoneyError as error:
                # No rate for this pair at all is no trouble; a bad one is.
                if isinstance(await self._ask(provider, quote), Rate):
                    reasons.append(error.message)
            except GpurentError:
                continue
        return rates, reasons

    def _pairs(self) -> list[tuple[str, Currency]]:
        """One provider for each wallet, with each currency that the wallet's own may be priced in."""
        billing = self._desk.registry.billing
        firsts = {
            entry.billing: name for name, entry in sorted(self._desk.registry.lease.items(), reverse=True)
        }
        return [
            (provider, quote)
            for name, provider in sorted(firsts.items())
            if name in billing
            for quote in (USD, CNY)
            if quote.code != billing[name].currency
        ]

    def _ask(self, provider: str, quote: Currency) -> asyncio.Task[Rate | GpurentError]:
        key = (self._desk.provider(provider).billing, quote.code)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._answer(provider, quote))
        return self._asked[key]

    async def _answer(self, provider: str, quote: Currency) -> Rate | GpurentError:
        seconds = patience(self._desk)
        try:
            async with asyncio.timeout(seconds):
                return await self._desk.wallet(provider).rate(quote)
        except GpurentError as error:
            return error
        except TimeoutError:
            billing = self._desk.provider(provider).billing
            return UnavailableError(
                _("{wallet} gives no rate within {seconds:g} s").format(wallet=billing, seconds=seconds),
                retryable=True,
            )


def written_rates(desk: Desk) -> list[Rate]:
    """``[rates]`` of config.toml: ``"USD/CNY" = 7.10``, with ``at`` (a date) and ``source`` for all of them."""
    section = desk.config.get("rates", {})
    found = []
    for key, text in section.items():
        pair = _PAIR.fullmatch(key)
        if pair is None:
            if key not in ("at", "source", "limit_days"):
                raise UsageError(
                    _("[rates] {key} is no pair of currencies").format(key=key), hint='"USD/CNY" = 7.10'
                )
            continue
        base, quote = (_KNOWN.get(code) or Currency(code, 8) for code in pair.groups())
        source = section.get("source", "config.toml")
        found.append(Rate(base, quote, _number(key, text), _date(section.get("at", "")), source))
    return found


def _written_limit(desk: Desk) -> timedelta:
    text = desk.config.get("rates", {}).get("limit_days", "")
    return timedelta(days=int(text)) if text.isdigit() and len(text) < 5 else WRITTEN_LIMIT


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


def _hint(source: Currency, target: Currency) -> str:
    pair = "USD/CNY" if "CNY" in (source.code, target.code) else f"{source.code}/{target.code}"
    return _('Write one down in config.toml: [rates] "{pair}" = …, with at and source.').format(pair=pair)
