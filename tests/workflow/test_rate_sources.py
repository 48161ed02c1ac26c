"""Rate sources: dated, as old as they declare, asked only where nothing else leads; one that fails is named."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from gpurent.composition.application import Application
from gpurent.domain.money import CNY, USD, Conversion, Rate
from gpurent.domain.offer import Requirements
from gpurent.errors import MoneyError
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import EntryT, RateEntry
from gpurent.testing.fakes import ManualClock
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.sandbox_harness import installed_plugins
from gpurent.workflow.payments.rate_sources import find_rate_problem
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings
from tests.workflow.rate_plugin import make_entry, make_failure, make_rate
from tests.workflow.test_market import log_in_everywhere, make_rates_section, write_config
from tests.workflow.trip_sandbox import TripSandbox, proxied_simulators, trip_sandbox

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)


class FixedClocks:
    """Each service has the same clock."""

    def clock_of(self, service: str) -> ManualClock:
        return ManualClock(NOW)


class OnlySources:
    """A registry with nothing but rate sources."""

    def __init__(self, *entries: RateEntry) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def get_entries(self, kind: type[EntryT]) -> Mapping[str, EntryT]:
        found: Mapping[str, EntryT] = cast("Any", self._entries if kind is RateEntry else {})
        return found

    def find_entry(self, kind: type[EntryT], name: str) -> EntryT | None:
        return self.get_entries(kind).get(name)

    def get_entry(self, kind: type[EntryT], name: str) -> EntryT:
        found: EntryT = self.get_entries(kind)[name]
        return found


async def convert(*entries: RateEntry, **sections: dict[str, str]) -> Conversion:
    no_context: Any = None
    plugins = Plugins(OnlySources(*entries), lambda _entry, _auth: no_context)
    settings = Settings(Path(), {}, {"offers": {"timeout": "0.3"}, **sections})
    lookup = ExchangeRates(plugins, settings, ManualClock(NOW), FixedClocks()).start_lookup()
    try:
        return await lookup.get_conversion(USD, CNY)
    finally:
        await lookup.close()


async def test_a_rate_is_used_for_as_long_as_its_source_declares() -> None:
    found = await convert(make_entry("bank", [make_rate(NOW - 5 * DAY)]))
    assert found.oldest_rate_at == NOW - 5 * DAY
    assert found.floats is False
    with pytest.raises(MoneyError, match="no exchange rate between USD and CNY") as caught:
        await convert(make_entry("bank", [make_rate(NOW - 7 * DAY)]))
    assert "rate source bank: its USD/CNY exchange rate of 2026-11-23 is out of date" in caught.value.hint
    assert "7 d old, at most 6 d is allowed" in caught.value.hint
    assert 'Add one to config.toml: [rates] "USD/CNY"' in caught.value.hint


async def test_the_users_own_rate_wins_and_no_source_is_asked() -> None:
    rates = {"USD/CNY": "7.10", "date": "2026-11-24", "source": "my bank"}
    begun = time.monotonic()
    found = await convert(make_entry("hanging", None), rates=rates)
    assert [rate.source for rate in found.rates] == ["my bank"]
    assert time.monotonic() - begun < 0.3


async def test_sources_that_hang_fail_or_answer_oddly_are_left_out_and_named() -> None:
    odd: list[Any] = [
        [make_rate(NOW).at],
        [Rate(USD, CNY, Decimal(7), NOW.replace(tzinfo=None), "no zone")],
        [make_rate(NOW, "0")],
        [make_rate(NOW, "NaN")],
        [make_rate(NOW + 2 * DAY)],
        "text",
        7,
        ZeroDivisionError("a mistake"),
        make_failure(),
    ]
    broken = [make_entry(f"odd-{number}", answer) for number, answer in enumerate(odd)]
    hanging = make_entry("hanging", None)
    begun = time.monotonic()
    found = await convert(hanging, *broken, make_entry("works", [make_rate(NOW)]))
    assert time.monotonic() - begun < 2, "they are asked at once"
    assert [rate.source for rate in found.rates] == ["a test bank"]
    with pytest.raises(MoneyError) as caught:
        await convert(hanging, *broken)
    hint = caught.value.hint
    assert "rate source hanging: no answer within 0.3 s" in hint
    assert "the bank is closed" in hint
    for entry in broken:
        assert f"rate source {entry.name}: " in hint, entry.name


@pytest.mark.parametrize(
    ("age", "usable"), [(timedelta(), True), (6 * DAY, True), (-DAY, True), (-2 * DAY, False)]
)
def test_the_age_is_counted_from_the_rates_own_time(age: timedelta, usable: bool) -> None:
    problem = find_rate_problem(make_rate(NOW - age), 6 * DAY, NOW)
    assert (problem == "") is usable


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


async def log_in_at_vast(sandbox: TripSandbox, application: Application) -> None:
    fields = sandbox.cloud.simulators_by_name["vast"].make_login_fields()
    await application.account_commands.log_in("vast", dict(fields))


def parse_day(text: str) -> date:
    return datetime.fromisoformat(text).date()


async def test_offers_of_a_market_in_usd_are_shown_in_cny_with_the_date_of_the_rate(
    sandbox: TripSandbox,
) -> None:
    async with sandbox.open_application() as application:
        await log_in_at_vast(sandbox, application)
    result = await sandbox.run_command("offers", "-p", "vast", "--for", "1d", "--in", "CNY")
    assert result.code == 0, result.err
    (line,) = [line for line in result.out.splitlines() if "European Central Bank" in line]
    assert line.startswith("1 USD = 7.")
    assert "1 d in CNY" in result.out
    rows = (await sandbox.run_command("offers", "-p", "vast", "--in", "CNY", "--json")).data
    offers = rows[0]["offers"]
    assert offers
    for offer in offers:
        converted = offer["quote"]["converted"]
        assert converted["low"]["currency"] == "CNY"
        assert converted["low"] == converted["high"], "it does not float"
        assert converted["floating"] is False
        (rate,) = converted["rates"]
        assert (rate["base"], rate["quote"]) == ("USD", "CNY")
        assert rate["source"] == "European Central Bank"
        assert converted["oldest_rate_at"] == rate["at"]
        day = parse_day(rate["at"])
        assert day.weekday() < 5, "no values on weekends"
        assert f"European Central Bank, {day} 14:00 UTC" in line
        usd, cny = Decimal(offer["quote"]["net_cost"]["high"]["amount"]), Decimal(converted["high"]["amount"])
        assert abs(cny - usd * Decimal(rate["value"])) <= Decimal("0.01")


async def test_a_configured_rate_wins_over_the_bank(sandbox: TripSandbox) -> None:
    write_config(sandbox, make_rates_section(sandbox))
    async with sandbox.open_application() as application:
        await log_in_at_vast(sandbox, application)
        found = await application.market.compare_offers(Requirements(), ["vast"], DAY, "CNY")
    sources = {
        rate.source for item in found.ranked if item.converted for rate in item.converted.conversion.rates
    }
    assert sources == {"the bank's board"}


async def test_a_bank_that_hangs_costs_one_timeout_and_only_what_needs_it(sandbox: TripSandbox) -> None:
    async with proxied_simulators(sandbox, "ecb") as proxies:
        sandbox.extra_environment["GPURENT_OFFERS_TIMEOUT"] = "4"
        proxies["ecb"].plan = FaultPlan(stall=True)
        async with sandbox.open_application() as application:
            await log_in_everywhere(application)
            await log_in_at_vast(sandbox, application)
            begun = time.monotonic()
            found = await application.market.compare_offers(Requirements(), ["mistgpu", "vast"], DAY, "CNY")
            took = time.monotonic() - begun
            assert {item.offer.provider for item in found.ranked} == {"mistgpu"}
            assert {item.offer.provider for item in found.unconverted} == {"vast"}
            assert all(
                "rate source ecb: no answer within 4 s" in x.unconverted_reason for x in found.unconverted
            )
            assert 3.9 < took < 7.5
            begun = time.monotonic()
            found = await application.market.compare_offers(Requirements(), ["mistgpu"], DAY, "CNY")
            assert found.ranked
            assert time.monotonic() - begun < 3.9, "nothing needs a conversion"


def test_the_plugin_declares_six_days() -> None:
    registry: EntryPointRegistry = installed_plugins()
    assert registry.get_entry(RateEntry, "ecb").max_age == 6 * DAY
