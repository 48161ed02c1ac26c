"""Contract tests for `gpurent.roles.rates.RateSource`, against its simulator: rates are dated, kept, never guessed.

A plugin's test is a subclass that names its entry::

    class TestBank(RateSourceContract):
        @pytest.fixture
        def rate_source(self) -> RateSourceUnderTest:
            return RateSourceUnderTest(name="bank")
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from attrs import define, field, frozen

from gpurent.domain.money import Rate
from gpurent.errors import GpurentError
from gpurent.roles.entries import RateEntry
from gpurent.testing.contracts.contract import Contract, skip_without
from gpurent.testing.contracts.provider.bad_answers import BAD_ANSWERS, CallCounter, ask, check_query, faulty
from gpurent.testing.fakes import FakePluginContext
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser, installed_plugins, sandbox_harness

DAMAGED = ("", "{", "[]", "null", "0", "x")
DAYS = 16
STEP = timedelta(hours=7)


@frozen(kw_only=True)
class RateSourceUnderTest:
    """The `RateEntry` ``name``, and its ``simulator``, by default of the same name, with ``settings``.

    ``expected``: what one unit of a currency is worth in another with these settings, by both codes.
    """

    name: str
    simulator: str = ""
    settings: Mapping[str, str] = field(factory=dict)
    expected: Mapping[tuple[str, str], Decimal] = field(factory=dict)


@define(kw_only=True)
class OpenRateSource:
    """The source with its simulator; each call of `list_rates` is a new process of one user."""

    entry: RateEntry
    sandbox: SandboxHarness
    user: SandboxUser

    @property
    def faults(self) -> ServiceFaults:
        return self.sandbox.simulators.faults

    async def list_rates(self) -> Sequence[Rate]:
        return await self.entry.build(FakePluginContext(self.entry, user=self.user)).list_rates()

    async def ask_anew(self) -> Sequence[Rate]:
        """Ask as a user who has asked never before."""
        user = self.sandbox.user()
        return await self.entry.build(FakePluginContext(self.entry, user=user)).list_rates()


class RateSourceContract(Contract):
    """Contract tests for a source of exchange rates."""

    @abstractmethod
    @pytest.fixture
    def rate_source(self) -> RateSourceUnderTest:
        """Return which source is tested."""

    @pytest.fixture
    async def source(self, rate_source: RateSourceUnderTest) -> AsyncIterator[OpenRateSource]:
        entry = installed_plugins().get_entry(RateEntry, rate_source.name)
        names = [rate_source.simulator or rate_source.name]
        async with sandbox_harness(*names, settings=rate_source.settings) as sandbox:
            yield OpenRateSource(entry=entry, sandbox=sandbox, user=sandbox.user())

    def check_rates(self, source: OpenRateSource, rates: Sequence[Rate]) -> None:
        now = source.sandbox.clock.now()
        assert rates
        assert len({(rate.base.code, rate.quote.code) for rate in rates}) == len(rates)
        for rate in rates:
            assert rate.base.code != rate.quote.code
            assert rate.source
            assert rate.at.tzinfo is not None
            assert rate.at <= now, "it holds only in the future"
            rate.check_age(now, source.entry.max_age)

    async def test_rates_are_positive_dated_and_young_enough(self, source: OpenRateSource) -> None:
        """At any hour of two weeks, over weekends too."""
        newest = None
        for _step in range(int(timedelta(days=DAYS) / STEP)):
            rates = await source.list_rates()
            self.check_rates(source, rates)
            assert newest is None or min(rate.at for rate in rates) >= newest, "an older rate than before"
            newest = min(rate.at for rate in rates)
            await source.sandbox.advance(STEP)

    async def test_the_values_are_those_of_the_source(
        self, source: OpenRateSource, rate_source: RateSourceUnderTest
    ) -> None:
        if not rate_source.expected:
            skip_without("expected values", rate_source.name)
        found = {(rate.base.code, rate.quote.code): rate.value for rate in await source.list_rates()}
        assert {pair: found.get(pair) for pair in rate_source.expected} == dict(rate_source.expected)

    async def test_the_source_is_asked_once_at_most(self, source: OpenRateSource) -> None:
        counter = CallCounter(source)
        await source.list_rates()
        assert counter.count <= 1
        await source.list_rates()
        assert counter.count <= 2

    async def test_what_is_kept_keeps_its_time(self, source: OpenRateSource) -> None:
        first = await source.list_rates()
        await source.sandbox.advance(timedelta(minutes=1))
        again = await source.list_rates()
        assert [(rate.base, rate.quote, rate.value, rate.at) for rate in again] == [
            (rate.base, rate.quote, rate.value, rate.at) for rate in first
        ]

    async def test_a_kept_rate_is_not_used_for_ever(self, source: OpenRateSource) -> None:
        await source.list_rates()
        await source.sandbox.advance(source.entry.max_age + timedelta(days=1))
        self.check_rates(source, await source.list_rates())

    async def test_a_bad_answer_is_no_rate(self, source: OpenRateSource) -> None:
        await check_query(source, source.ask_anew, list)

    async def test_after_a_bad_answer_it_asks_again(self, source: OpenRateSource) -> None:
        for answer in BAD_ANSWERS:
            async with faulty(source, answer):
                assert isinstance(await ask(source.ask_anew), GpurentError), answer.name
        self.check_rates(source, await source.list_rates())

    async def test_a_damaged_record_is_asked_for_again(self, source: OpenRateSource) -> None:
        healthy = await source.list_rates()
        for name in list(source.user.state(source.entry.name).records):
            for text in DAMAGED:
                source.user.state(source.entry.name).records[name] = text
                assert list(await source.list_rates()) == list(healthy)

    async def test_two_at_once(self, source: OpenRateSource) -> None:
        first, second = await asyncio.gather(source.list_rates(), source.list_rates())
        assert list(first) == list(second)

    async def test_it_needs_no_login(self, source: OpenRateSource) -> None:
        await source.list_rates()
        assert source.user.logins == {}
        assert source.user.challenges == []
