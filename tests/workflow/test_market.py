"""Offers of all providers in one currency, by dated rates; and a plan that changes nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest

from gpurent.composition.application import Application
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Requirements
from gpurent.domain.wishes import Wish
from gpurent.errors import UsageError
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.workflow.reports.offers import MarketOffers, PricedOffer
from tests.workflow.trip_sandbox import TripSandbox, proxied_simulators, trip_sandbox

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


def write_config(sandbox: TripSandbox, text: str) -> None:
    (sandbox.home / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
    (sandbox.home / "state" / "config.toml").write_text(text, "utf-8")


PROVIDERS = ("1024gpu", "mistgpu")
NO_RATE_SOURCE = {"GPURENT_ECB_URL": ""}


def make_rates_section(sandbox: TripSandbox, age: timedelta = timedelta()) -> str:
    at = sandbox.cloud.clock.now() - age
    return f'[rates]\n"USD/CNY" = 7.10\ndate = {at.date()}\nsource = "the bank\'s board"\n'


async def log_in_everywhere(application: Application) -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await application.account_commands.log_in("1024gpu", {})


async def compare_offers(
    application: Application, term: timedelta = DAY, code: str = "CNY", disk: int = 0
) -> MarketOffers:
    return await application.market.compare_offers(Requirements(disk=disk), PROVIDERS, term, code)


def find_offer(found: MarketOffers, provider: str, gpu: str) -> PricedOffer:
    (item,) = [
        item for item in (*found.ranked, *found.unconverted)
        if (item.offer.provider, item.offer.hardware.gpu) == (provider, gpu)
    ]  # fmt: skip
    return item


async def test_offers_are_ranked_across_currencies_by_dated_rates(sandbox: TripSandbox) -> None:
    write_config(sandbox, make_rates_section(sandbox))
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
        found = await compare_offers(application)
    assert found.unconverted == []
    assert found.unavailable == []
    highs = [item.converted.high.amount for item in found.ranked if item.converted]
    assert highs == sorted(highs)
    assert {item.offer.provider for item in found.ranked} == {"mistgpu", "1024gpu"}
    item = find_offer(found, "1024gpu", "2080Ti")
    usd = Fraction("0.215") * 24
    low = Fraction(floor(usd / Fraction("0.0026") * 10**8), 10**8)
    assert item.quote.low.amount == low * 10**8
    assert item.quote.high.amount == int(low * 10**8 * Fraction("1.05")) + 1
    assert item.converted is not None
    assert item.converted.low.amount == floor(low * Fraction("0.0026") * Fraction("7.10") * 100)
    high = Fraction(item.quote.high.decimal)
    assert item.converted.high.amount == ceil(high * Fraction("0.0026") * Fraction("7.10") * 100)
    assert [rate.source for rate in item.converted.conversion.rates][1] == "the bank's board"
    assert item.converted.conversion.oldest_rate_at == item.converted.conversion.rates[1].at
    assert item.quote.deposit is not None
    assert item.quote.deposit.decimal == 60001, "it is locked while one uploads"
    own = find_offer(found, "mistgpu", "2080Ti").converted
    assert own is not None
    assert own.low.amount == 7200


async def test_offers_without_a_rate_are_listed_in_their_own_currency(sandbox: TripSandbox) -> None:
    sandbox.extra_environment |= NO_RATE_SOURCE
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
        found = await compare_offers(application)
        assert {item.offer.provider for item in found.ranked} == {"mistgpu"}
        assert {item.net_quote.high.currency.code for item in found.unconverted} == {"DBC"}
        assert all(
            "no exchange rate between USD and CNY" in item.unconverted_reason for item in found.unconverted
        )
        dollars = await compare_offers(application, code="USD")
        assert {item.offer.provider for item in dollars.ranked} == {"1024gpu"}
        assert {item.offer.provider for item in dollars.unconverted} == {"mistgpu"}


async def test_a_configured_rate_that_is_no_number_is_refused(sandbox: TripSandbox) -> None:
    write_config(sandbox, f'[rates]\n"USD/CNY" = "nan"\ndate = {sandbox.cloud.clock.now().date()}\n')
    with pytest.raises(UsageError, match="invalid value: 'nan'"):
        async with sandbox.open_application():
            pass


@pytest.mark.parametrize("text", ["0", "-7.10"])
async def test_invalid_configured_rate_converts_nothing(sandbox: TripSandbox, text: str) -> None:
    sandbox.extra_environment |= NO_RATE_SOURCE
    write_config(sandbox, f'[rates]\n"USD/CNY" = "{text}"\ndate = {sandbox.cloud.clock.now().date()}\n')
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
        found = await compare_offers(application)
    assert {item.offer.provider for item in found.unconverted} == {"1024gpu"}
    assert all("invalid exchange rate" in item.unconverted_reason for item in found.unconverted)


async def test_old_configured_rate_converts_nothing_and_its_date_is_reported(sandbox: TripSandbox) -> None:
    sandbox.extra_environment |= NO_RATE_SOURCE
    write_config(sandbox, make_rates_section(sandbox, age=timedelta(days=60)))
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
        found = await compare_offers(application)
    assert {item.offer.provider for item in found.unconverted} == {"1024gpu"}
    then = sandbox.cloud.clock.now() - timedelta(days=60)
    assert all(f"{then:%Y-%m}" in item.unconverted_reason for item in found.unconverted)


async def test_minimum_term_and_disk_are_part_of_the_price(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
        short = find_offer(
            await compare_offers(application, timedelta(minutes=30), "USD"), "1024gpu", "2080Ti"
        )
        assert short.term == HOUR, "the provider rents for no shorter time"
        assert short.price.decimal == Decimal("0.215")
        assert short.refundable.amount == short.quote.high.amount - short.net_quote.high.amount > 0
        assert short.net_quote.low.amount == floor(Fraction("0.1075") / Fraction("0.0026") * 10**8)
        disk = find_offer(await compare_offers(application, HOUR, "USD", disk=100), "1024gpu", "2080Ti")
        exact = Fraction("0.215") + 70 * Fraction("0.000033333334")
        assert disk.price.amount == ceil(exact * 10**8)
        begun = find_offer(
            await compare_offers(application, timedelta(minutes=20, seconds=1)), "mistgpu", "2080Ti"
        )
        assert begun.price.amount == 105, "21 begun minutes of 3 CNY an hour"


async def test_simulators_that_hang_or_fail_are_named_and_cost_one_timeout(sandbox: TripSandbox) -> None:
    async with proxied_simulators(sandbox, "mistgpu", "1024gpu", "dbc") as proxies:
        sandbox.extra_environment["GPURENT_OFFERS_TIMEOUT"] = "4"
        async with sandbox.open_application() as application:
            await log_in_everywhere(application)
            proxies["mistgpu"].plan = FaultPlan(stall=True)
            proxies["dbc"].plan = FaultPlan(stall=True)
            begun = time.monotonic()
            found = await compare_offers(application)
            took = time.monotonic() - begun
        assert 3.9 < took < 7.5, "the slowest decides, not the sum"
        reasons = dict(found.unavailable)
        assert "no answer within 4 s" in reasons["mistgpu"]
        assert "dbc gave no exchange rate within 4 s" in reasons["1024gpu"]
        proxies["dbc"].plan = FaultPlan()
        proxies["mistgpu"].plan = FaultPlan(refuse=True)
        async with sandbox.open_application() as application:
            found = await compare_offers(application, code="USD")
        assert [name for name, _reason in found.unavailable] == ["mistgpu"]
        assert {item.offer.provider for item in found.ranked} == {"1024gpu"}


async def test_offers_on_the_command_line_name_every_rate(sandbox: TripSandbox) -> None:
    write_config(sandbox, make_rates_section(sandbox))
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
    result = await sandbox.run_command("offers", "--for", "1天", "--in", "usd")
    assert result.code == 0, result.err
    assert "1 DBC = 0.0026 USD" in result.out
    assert "1 USD = 7.10 CNY: the bank's board" in result.out
    rows = (
        await sandbox.run_command("offers", "--for", "1d", "--json", "-p", "1024gpu", "-p", "mistgpu")
    ).data
    assert [row["provider"] for row in rows] == list(PROVIDERS)
    offers = [offer for row in rows for offer in row["offers"]]
    assert sorted(offer["rank"] for offer in offers) == list(range(1, len(offers) + 1))
    (own,) = [offer for offer in rows[0]["offers"] if offer["hardware"]["gpu"] == "2080Ti"]
    assert own["quote"]["rate"]["value"] == "0.0026"
    assert own["quote"]["low"]["currency"] == "DBC"
    assert own["quote"]["converted"]["low"]["currency"] == "CNY"
    assert [rate["source"] for rate in own["quote"]["converted"]["rates"]][1] == "the bank's board"
    assert (await sandbox.run_command("offers", "--in", "EUR", "--json")).code == 2, "nobody knows it"


def read_simulator_state(sandbox: TripSandbox) -> tuple[object, ...]:
    """Return everything at the providers that making a plan must not change."""
    simulators: Any = sandbox.cloud.simulators_by_name
    return (
        sandbox.cloud.ledgers(),
        dict(simulators["1024gpu"].state.orders),
        dict(simulators["1024gpu"].state.emails),
        dict(simulators["mistgpu"].state.servers),
        dict(simulators["mistgpu"].state.top_ups),
        list(sandbox.cloud.burning()),
    )


@pytest.mark.parametrize("provider", ["1024gpu", "mistgpu"])
async def test_plan_shows_what_run_would_do_and_changes_nothing(sandbox: TripSandbox, provider: str) -> None:
    write_config(sandbox, make_rates_section(sandbox))
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
        await sandbox.add_dbc(application, "90000")
        await sandbox.top_up_mistgpu(application, "50")
    before = read_simulator_state(sandbox)
    folder = sandbox.home / "project"
    folder.mkdir()
    plan = await sandbox.run_command(
        "plan", "-p", provider, "--gpu", "2080ti", "--for", "1d", "--budget", "2000CNY", "--json",
        "--", "train.py", "--epochs", "2", folder=folder,
    )  # fmt: skip
    assert plan.code == 0, plan.err
    text = await sandbox.run_command(
        "plan", "-p", provider, "--gpu", "2080ti", "--for", "1d", "--", "train.py", folder=folder
    )
    assert text.code == 0, text.err
    assert "Nothing was ordered, paid or written." in text.out
    assert read_simulator_state(sandbox) == before
    async with sandbox.open_application() as application:
        assert list(await application.trip_tracker.list_trips()) == []
        assert await application.store.list_leases() == []
        assert await application.bookkeeping.sum_spending() == ()
    legs, data = plan.data["legs"], plan.data
    assert data["budgets"] == [
        {
            "name": "budget",
            "limit": {"amount": "2000.00", "minor": 200000, "currency": "CNY"},
            "used": {"amount": "0.00", "minor": 0, "currency": "CNY"},
            "left": {"amount": "2000.00", "minor": 200000, "currency": "CNY"},
        }
    ]
    if provider == "mistgpu":
        assert [(leg["kind"], leg["upload"], leg["job"]) for leg in legs] == [("new", True, True)]
        assert data["low"]["minor"] == data["high"]["minor"] == 7200
        assert data["max_runtime"] == 50 * 3600 // 3
        assert "does not cover" in data["refusals"][0]
        return
    assert [(leg["kind"], leg["upload"], leg["job"]) for leg in legs] == [
        ("new", True, False),
        ("switch", False, True),
    ]
    assert data["needs_mail_binding"] is True
    assert legs[0]["deposit"]["amount"] == data["deposit"]["amount"] == "60001.00000000"
    assert data["required"]["minor"] == data["high"]["minor"] + data["deposit"]["minor"]
    assert data["rate"]["value"] == "0.0026"
    assert data["refusals"] == []
    assert "deposit of 60,001 DBC" in text.out


async def test_a_maximum_price_holds_in_any_currency(sandbox: TripSandbox) -> None:
    most = UnitPrice(Decimal(3), CNY)
    wanted = Requirements(max_price=most)
    async with sandbox.open_application() as application:
        await log_in_everywhere(application)
    write_config(sandbox, make_rates_section(sandbox))
    async with sandbox.open_application() as application:
        whole = await compare_offers(application, HOUR)
        found = await application.market.compare_offers(wanted, PROVIDERS, HOUR, "CNY")
        by_provider = {item.offer.provider for item in found.ranked}
        assert by_provider == set(PROVIDERS), "one of them is paid in DBC at prices in USD"
        rate = Fraction("7.10")
        fits = {
            item.offer.key
            for item in whole.ranked
            if item.offer.available
            and ceil(Fraction(item.price.decimal) * (1 if item.price.currency == CNY else rate) * 100) <= 300
        }
        assert {item.offer.key for item in found.ranked} == fits
        assert len(fits) < len([item for item in whole.ranked if item.offer.available])
    write_config(sandbox, "")
    sandbox.extra_environment.update(NO_RATE_SOURCE)
    async with sandbox.open_application() as application:
        found = await application.market.compare_offers(wanted, PROVIDERS, HOUR, "CNY")
        assert {item.offer.provider for item in found.ranked} == {"mistgpu"}
        assert set(found.unstated) == {"1024gpu"}
        assert set(found.unstated["1024gpu"]) == {Wish.PRICE}
