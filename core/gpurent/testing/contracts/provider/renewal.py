"""Contract tests for `gpurent.roles.lease.SupportsRenewal`: more time is bought once, and moves the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import pytest

from gpurent.domain.offer import OrderKind, Prepaid
from gpurent.roles.lease import SupportsRenewal
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import (
    LOST_AFTER,
    LOST_BEFORE,
    BadAnswer,
    CallCounter,
    choose_loss,
    faulty,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.lease import END_TOLERANCE, check_released
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.contracts.provider.spread import choose_calls


class RenewalContract(ProviderContractBase):
    """Contract tests for renewals."""

    def require_renewal(self, opened: OpenProvider) -> SupportsRenewal:
        return require_capability(opened.provider, SupportsRenewal, opened.name)

    async def test_a_renewal_order_asks_nobody(self, opened: OpenProvider) -> None:
        renewing = self.require_renewal(opened)
        lease = (await opened.rent()).current_lease
        counter = CallCounter(opened)
        order = renewing.make_renewal_order(lease, timedelta(hours=2), "more")
        assert counter.count == 0
        assert (order.key, order.kind, order.onto) == ("more", OrderKind.RENEW, lease.ref)
        assert order.term == timedelta(hours=2)
        assert order.offer.key == lease.offer.key

    async def test_a_renewal_moves_the_end_by_its_term(self, opened: OpenProvider) -> None:
        self.require_renewal(opened)
        driver = await opened.rent()
        end, ref, before = self.get_end(driver), driver.current_lease.ref, opened.sum_ledger()
        term = self.find_renewal_term(opened, driver)
        await driver.renew_lease(term, "more")
        assert abs(self.get_end(driver) - end - term) <= END_TOLERANCE
        assert driver.current_lease.ref == ref
        assert len(opened.list_billed_machines()) == 1
        seen = await driver.refresh_lease()
        assert seen.expires_at is not None
        assert abs(seen.expires_at - end - term) <= END_TOLERANCE
        spent = before - opened.sum_ledger()
        assert 0 < spent <= driver.current_lease.bills[-1].amount.amount
        await driver.release_lease()
        await check_released(opened, driver)

    async def test_a_renewal_costs_what_its_time_costs(self, opened: OpenProvider) -> None:
        self.require_renewal(opened)
        before = opened.sum_ledger()
        driver = await opened.rent()
        first, term = before - opened.sum_ledger(), self.find_renewal_term(opened, driver)
        await driver.renew_lease(term, "more")
        second = before - first - opened.sum_ledger()
        whole = opened.find_term(driver.current_lease.offer)
        assert whole is not None
        expected = (
            Fraction(first) * Fraction(term / timedelta(seconds=1)) / Fraction(whole / timedelta(seconds=1))
        )
        tariff = driver.current_lease.offer.tariff
        has_fee = isinstance(tariff, Prepaid) and tariff.fee is not None
        least = 0 if has_fee else expected * (1 - Fraction(opened.setup.price_tolerance)) - 1
        assert least <= second <= expected * (1 + Fraction(opened.setup.price_tolerance)) + 1

    async def test_lost_answers_renew_once(self, provider_setup: ProviderSetup) -> None:
        calls = await self.list_renewal_calls(provider_setup)
        for nth in choose_calls(calls, 4):
            await self.check_renewal_fault(provider_setup, nth, choose_loss(calls[nth - 1]))

    @pytest.mark.nightly
    async def test_every_lost_answer_renews_once(self, provider_setup: ProviderSetup) -> None:
        for nth in choose_calls(await self.list_renewal_calls(provider_setup), 30):
            for fault in (LOST_AFTER, LOST_BEFORE):
                await self.check_renewal_fault(provider_setup, nth, fault)

    def find_renewal_term(self, opened: OpenProvider, driver: Driver) -> timedelta:
        term = opened.find_term(driver.current_lease.offer)
        assert term is not None, "an offer that can be renewed has a term"
        return term

    def get_end(self, driver: Driver) -> datetime:
        assert driver.current_lease.expires_at is not None
        return driver.current_lease.expires_at

    async def list_renewal_calls(self, setup: ProviderSetup) -> Sequence[str]:
        async with open_provider(setup) as opened:
            self.require_renewal(opened)
            driver = await opened.rent()
            since = opened.faults.call_count
            await driver.renew_lease(self.find_renewal_term(opened, driver), "more")
            return opened.list_calls(since)

    async def check_renewal_fault(self, setup: ProviderSetup, nth: int, fault: BadAnswer) -> None:
        where = f"{fault.name} at call {nth}"
        async with open_provider(setup) as opened:
            driver = await opened.rent()
            end, before = self.get_end(driver), opened.sum_ledger()
            term = self.find_renewal_term(opened, driver)
            async with faulty(opened, fault, nth, times=1):
                await driver.renew_lease(term, "more")
            await driver.refresh_lease()
            assert abs(self.get_end(driver) - end - term) <= END_TOLERANCE, where
            spent = before - opened.sum_ledger()
            assert spent <= driver.current_lease.bills[-1].amount.amount, f"{where}: it was paid twice"
            await driver.release_lease()
            await check_released(opened, driver)
