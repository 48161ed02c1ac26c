"""Exchange rates of public sources: each is asked once, in limited time, and its rates may be as old as it declares."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import define, field

from gpurent.domain.money import Rate
from gpurent.errors import GpurentError, MoneyError
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.ports.system import ProviderClocks
from gpurent.roles.entries import RateEntry
from gpurent.workflow.payments.provider_timeout import ask_in_time
from gpurent.workflow.runtime.plugins import Plugins, iter_configured_entries
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import cancel_and_wait, start_detached

# A day begins earlier elsewhere.
_MAX_AHEAD = timedelta(days=1)


@define(eq=False)
class SourceLookup:
    """Requests the rates of each source once, concurrently, and caches the answers."""

    plugins: Plugins
    settings: Settings
    clocks: ProviderClocks
    _requests: dict[str, asyncio.Task[Sequence[Rate] | GpurentError]] = field(factory=dict, init=False)

    def prefetch(self) -> None:
        """Start requests to all sources without waiting."""
        for entry in self._list_entries():
            self._request_rates(entry)

    async def close(self) -> None:
        """Cancel the requests that are still open."""
        await cancel_and_wait(*(task for task in self._requests.values() if not task.done()))

    async def list_rates(self) -> tuple[list[Rate], list[str]]:
        """Return the rates that can be used, and why others cannot: each reason names its source."""
        self.prefetch()
        rates: list[Rate] = []
        reasons: list[str] = []
        for entry in self._list_entries():
            answer = await self._request_rates(entry)
            if isinstance(answer, GpurentError):
                reasons.append(_name_source(entry, _describe_error(answer)))
                continue
            now = self.clocks.clock_of(entry.name).now()
            for rate in answer:
                reason = find_rate_problem(rate, entry.max_age, now)
                if reason:
                    reasons.append(_name_source(entry, reason))
                else:
                    rates.append(rate)
        return rates, list(dict.fromkeys(reasons))

    def _list_entries(self) -> list[RateEntry]:
        entries = iter_configured_entries(self.plugins, self.settings, RateEntry)
        return sorted(entries, key=lambda entry: entry.name)

    def _request_rates(self, entry: RateEntry) -> asyncio.Task[Sequence[Rate] | GpurentError]:
        if entry.name not in self._requests:
            self._requests[entry.name] = start_detached(self._fetch_rates(entry))
        return self._requests[entry.name]

    async def _fetch_rates(self, entry: RateEntry) -> Sequence[Rate] | GpurentError:
        return await ask_in_time(
            self.settings,
            lambda: self.plugins.build(entry).list_rates(),
            lambda seconds: _("no answer within {seconds:g} s").format(seconds=seconds),
        )


def find_rate_problem(rate: object, max_age: timedelta, now: datetime) -> str:
    """Return why a source's rate cannot be used at ``now``; empty if it can."""
    if not isinstance(rate, Rate) or not _has_time(rate.at):
        return _("it returned something that is no dated exchange rate")
    try:
        rate.check_positive()
    except MoneyError as error:
        return error.message
    age = now - rate.at
    if age < -_MAX_AHEAD:
        return _("its {base}/{quote} exchange rate is of a day that has not come yet: {at:%Y-%m-%d}").format(
            base=rate.base.code, quote=rate.quote.code, at=rate.at
        )
    if age > max_age:
        return _(
            "its {base}/{quote} exchange rate of {at:%Y-%m-%d} is out of date: {age} old, at most {limit} is allowed"
        ).format(
            base=rate.base.code,
            quote=rate.quote.code,
            at=rate.at,
            age=format_duration(age),
            limit=format_duration(max_age),
        )
    return ""


def _has_time(at: object) -> bool:
    return isinstance(at, datetime) and at.utcoffset() is not None


def _name_source(entry: RateEntry, why: str) -> str:
    return _("rate source {name}: {why}").format(name=entry.name, why=why)


def _describe_error(error: GpurentError) -> str:
    if not error.hint:
        return error.message
    return _("{message}. {hint}").format(message=error.message, hint=error.hint)
