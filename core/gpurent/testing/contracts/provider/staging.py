"""Contract tests for `SupportsStaging` and `SupportsDowngrade`: a cheaper machine first, and back to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.domain.evidence import Known
from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Order, OrderKind
from gpurent.errors import LeaseError
from gpurent.roles.lease import LeaseProvider, SupportsDowngrade, SupportsStaging
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
from gpurent.testing.contracts.provider.lease import check_released
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider, sign_charge
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.contracts.provider.spread import choose_calls


class StagingContract(ProviderContractBase):
    """Contract tests for staging."""

    async def make_staged(self, opened: OpenProvider) -> tuple[Order, Order]:
        """Return the orders of a wanted machine and of its staging machine."""
        staging = require_capability(opened.provider, SupportsStaging, opened.name)
        for offer in await opened.list_offers():
            wanted = await opened.make_order("wanted", offer)
            counter = CallCounter(opened)
            try:
                first = staging.make_staging_order(wanted)
            except LeaseError:
                continue
            assert counter.count == 0, "it is pure"
            return wanted, evolve(opened.complete_order(evolve(first, key="staged")), key="staged")
        raise AssertionError("no offer can be staged")

    async def test_a_staging_order_is_of_the_same_machine(self, opened: OpenProvider) -> None:
        wanted, first = await self.make_staged(opened)
        assert first.kind is OrderKind.NEW
        assert first.offer.key == wanted.offer.key
        assert first.gpus == 0
        deposit, price = first.offer.deposit, first.offer.tariff.price
        assert deposit is not None or price.value < wanted.offer.tariff.price.value, "it is no cheaper"

    async def test_the_wanted_machine_takes_its_place(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        driver = await self.stage_and_switch(opened)
        assert driver.current_lease.state is LeaseState.READY
        assert len(opened.list_billed_machines()) == 1
        await opened.advance(timedelta(minutes=40))
        await driver.release_lease()
        await check_released(opened, driver)
        found = await opened.billing.list_charges(driver.current_lease)
        assert isinstance(found, Known)
        assert sum(sign_charge(charge) for charge in found.items) == opened.sum_ledger() - before

    async def test_a_staging_machine_alone_is_given_back(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        _wanted, first = await self.make_staged(opened)
        driver = await opened.rent(first)
        await driver.release_lease()
        await check_released(opened, driver)
        spent = before - opened.sum_ledger()
        deposit = first.offer.deposit
        assert deposit is None or spent < deposit.money.amount, "the deposit did not come back"

    async def test_lost_answers_switch_once(self, provider_setup: ProviderSetup) -> None:
        calls = await self.list_staged_calls(provider_setup)
        for nth in choose_calls(calls, 4):
            await self.check_staged_fault(provider_setup, nth, choose_loss(calls[nth - 1]))

    @pytest.mark.nightly
    async def test_every_lost_answer_switches_once(self, provider_setup: ProviderSetup) -> None:
        for nth in choose_calls(await self.list_staged_calls(provider_setup), 40):
            for fault in (LOST_AFTER, LOST_BEFORE):
                await self.check_staged_fault(provider_setup, nth, fault)

    async def stage_and_switch(self, opened: OpenProvider) -> Driver:
        wanted, first = await self.make_staged(opened)
        driver = opened.make_driver()
        await driver.rent_machine(first)
        await driver.rent_machine(evolve(wanted, kind=OrderKind.SWITCH, onto=driver.current_lease.ref))
        return driver

    async def list_staged_calls(self, setup: ProviderSetup) -> Sequence[str]:
        async with open_provider(setup) as opened:
            _orders = await self.make_staged(opened)
            since = opened.faults.call_count
            await self.stage_and_switch(opened)
            return opened.list_calls(since)[1:]

    async def check_staged_fault(self, setup: ProviderSetup, nth: int, fault: BadAnswer) -> None:
        async with open_provider(setup) as opened:
            before = opened.sum_ledger()
            wanted, first = await self.make_staged(opened)
            driver = opened.make_driver()
            async with faulty(opened, fault, nth, times=1):
                await driver.rent_machine(first)
                await driver.rent_machine(evolve(wanted, kind=OrderKind.SWITCH))
            assert len(opened.list_billed_machines()) == 1, f"{fault.name} at call {nth}"
            await driver.release_lease()
            await check_released(opened, driver)
            found = await opened.billing.list_charges(driver.current_lease)
            assert isinstance(found, Known)
            assert sum(sign_charge(charge) for charge in found.items) == opened.sum_ledger() - before


class DowngradeContract(ProviderContractBase):
    """Contract tests for switching back to the staging machine."""

    def require_downgrade(
        self, opened: OpenProvider, provider: LeaseProvider | None = None
    ) -> SupportsDowngrade:
        return require_capability(provider or opened.provider, SupportsDowngrade, opened.name)

    def make_order(self, opened: OpenProvider, driver: Driver) -> Order:
        return self.require_downgrade(opened).make_downgrade_order(driver.current_lease, "back")

    async def test_a_downgrade_order_asks_nobody(self, opened: OpenProvider) -> None:
        self.require_downgrade(opened)
        driver = await opened.rent()
        counter = CallCounter(opened)
        order, lease = self.make_order(opened, driver), driver.current_lease
        assert counter.count == 0
        assert (order.key, order.kind, order.onto) == ("back", OrderKind.SWITCH, lease.ref)
        assert (order.offer.key, order.offer.hardware.gpus, order.gpus) == (lease.offer.key, 0, 0)
        deposit, price = order.offer.deposit, order.offer.tariff.price
        assert deposit is not None or price.value < lease.offer.tariff.price.value, "it is no cheaper"

    async def test_the_staging_machine_has_the_files(self, opened: OpenProvider) -> None:
        self.require_downgrade(opened)
        before = opened.sum_ledger()
        driver = await opened.rent()
        data = opened.sandbox.machines.only_machine.spec.data
        await opened.advance(timedelta(minutes=40))
        await driver.rent_machine(self.make_order(opened, driver))
        assert driver.current_lease.state is LeaseState.READY
        assert opened.sandbox.machines.only_machine.spec.data == data, "another disk"
        assert len(opened.list_billed_machines()) == 1
        await self.check_books(opened, driver, before)

    async def test_lost_answers_downgrade_once(self, provider_setup: ProviderSetup) -> None:
        calls = await self.list_downgrade_calls(provider_setup)
        for nth in choose_calls(calls, 4):
            await self.check_downgrade_fault(provider_setup, nth, choose_loss(calls[nth - 1]))

    @pytest.mark.nightly
    async def test_every_lost_answer_downgrades_once(self, provider_setup: ProviderSetup) -> None:
        for nth in choose_calls(await self.list_downgrade_calls(provider_setup), 30):
            for fault in (LOST_AFTER, LOST_BEFORE):
                await self.check_downgrade_fault(provider_setup, nth, fault)

    async def list_downgrade_calls(self, setup: ProviderSetup) -> Sequence[str]:
        async with open_provider(setup) as opened:
            self.require_downgrade(opened)
            driver = await opened.rent()
            since = opened.faults.call_count
            await driver.rent_machine(self.make_order(opened, driver))
            return opened.list_calls(since)

    async def check_downgrade_fault(self, setup: ProviderSetup, nth: int, fault: BadAnswer) -> None:
        async with open_provider(setup) as opened:
            before = opened.sum_ledger()
            driver = await opened.rent()
            async with faulty(opened, fault, nth, times=1):
                await driver.rent_machine(self.make_order(opened, driver))
            assert len(opened.list_billed_machines()) == 1, f"{fault.name} at call {nth}"
            await self.check_books(opened, driver, before)

    async def check_books(self, opened: OpenProvider, driver: Driver, before: int) -> None:
        """Release the machine, and check that all it cost is on the lease, the time that was not used refunded."""
        paid = sum(bill.amount.amount for bill in driver.current_lease.bills)
        await driver.release_lease()
        await check_released(opened, driver)
        spent = before - opened.sum_ledger()
        assert 0 < spent < paid
        found = await opened.billing.list_charges(driver.current_lease)
        assert isinstance(found, Known)
        assert sum(sign_charge(charge) for charge in found.items) == -spent
