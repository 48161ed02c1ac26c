"""Contract tests for whole leases in which any one call goes wrong: one machine, and books that agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from gpurent.domain.evidence import Known
from gpurent.domain.offer import Metered, Order
from gpurent.errors import GpurentError, Spent
from gpurent.testing.contracts.provider.bad_answers import (
    EMPTY_AFTER,
    LOST_AFTER,
    LOST_BEFORE,
    SPOILT_AFTER,
    BadAnswer,
    ask,
    choose_loss,
    faulty,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.contracts.provider.spread import choose_calls

USE = timedelta(minutes=35)
STARTING_TIME = timedelta(minutes=10)
"""After which a machine is billed, also where that begins with its start."""
NIGHTLY_SPOILT = [pytest.param(fault, marks=pytest.mark.nightly) for fault in SPOILT_AFTER[1:]]
DAY_CALLS = 6
SHARES = 6


def _name_fault(fault: BadAnswer) -> str:
    return fault.name.replace(" ", "-")


async def run_journey(opened: OpenProvider, order: Order) -> Driver:
    """Rent a machine, use it, and release it, as core does: whatever is lost, a new process goes on."""
    driver = opened.make_driver()
    await driver.rent_machine(order)
    assert len(opened.list_billed_machines()) == 1
    await opened.advance(USE)
    await driver.refresh_lease()
    await driver.release_lease()
    return driver


async def check_journey(opened: OpenProvider, driver: Driver, before: int) -> None:
    """Check that it left nothing behind and cost what its charges say; ``before``: the ledger at the start."""
    assert driver.current_lease.is_over
    assert opened.list_billed_machines() == []
    await opened.settle()
    assert await opened.list_discrepancies() == []
    found = await opened.billing.list_charges(driver.current_lease)
    assert isinstance(found, Known)
    opened.check_charges(found.items, driver.current_lease, before - opened.sum_ledger())
    listed = await opened.provider.list_leases()
    assert isinstance(listed, Known)
    assert [lease.ref for lease in listed.items if not lease.is_over] == []


async def check_single_machine(opened: OpenProvider, driver: Driver) -> None:
    """As `check_journey` where a second machine may have been created, and have cost something: it is not left."""
    assert driver.current_lease.is_over
    assert opened.list_billed_machines() == []
    settled = opened.sum_ledger()
    await opened.settle()
    assert opened.sum_ledger() == settled
    listed = await opened.provider.list_leases()
    assert isinstance(listed, Known)
    assert [lease.ref for lease in listed.items if not lease.is_over] == []


class JourneyContract(ProviderContractBase):
    """Contract tests for a lease's whole life with one lost or spoilt answer: every day some, each night all."""

    async def test_lost_answers_leave_one_machine(self, provider_setup: ProviderSetup) -> None:
        calls = await self.list_journey_calls(provider_setup)
        for nth in choose_calls(calls, DAY_CALLS):
            await self.check_journey_fault(provider_setup, calls, nth, choose_loss(calls[nth - 1]))

    @pytest.mark.nightly
    @pytest.mark.parametrize("share", range(SHARES))
    async def test_every_lost_answer_leaves_one_machine(
        self, provider_setup: ProviderSetup, share: int
    ) -> None:
        calls = await self.list_journey_calls(provider_setup)
        for nth in range(1 + share, len(calls) + 1, SHARES):
            for fault in (LOST_BEFORE, LOST_AFTER):
                await self.check_journey_fault(provider_setup, calls, nth, fault)

    @pytest.mark.nightly
    @pytest.mark.parametrize("fault", SPOILT_AFTER[1:], ids=_name_fault)
    async def test_every_spoilt_answer_leaves_one_machine(
        self, provider_setup: ProviderSetup, fault: BadAnswer
    ) -> None:
        calls = await self.list_journey_calls(provider_setup)
        for nth in choose_calls(calls, 24):
            await self.check_journey_fault(provider_setup, calls, nth, fault)

    @pytest.mark.parametrize("fault", [LOST_AFTER, LOST_BEFORE], ids=["after", "before"])
    async def test_a_release_after_a_lost_order_leaves_nothing(
        self, opened: OpenProvider, fault: BadAnswer
    ) -> None:
        """The answer to an order was lost, and the user gives up: what it created is found, and released."""
        before = opened.sum_ledger()
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        payment = await driver.pay_bill(await driver.wait_for_bill())
        payable, now = driver.current_lease, opened.clock.now()
        async with faulty(opened, fault, 1, times=1):
            confirmed = await ask(lambda: opened.provider.confirm_lease(payable, payment))
        if isinstance(confirmed, GpurentError):
            driver.lease = driver.make_process_lease(payable, now)
        else:
            driver.lease = driver.merge_confirmed(payable, confirmed, now)
        await driver.release_lease()
        await check_journey(opened, driver, before)

    @pytest.mark.parametrize("fault", [EMPTY_AFTER, LOST_AFTER, *NIGHTLY_SPOILT], ids=_name_fault)
    async def test_no_answer_that_is_not_understood_says_that_nothing_was_spent(
        self, provider_setup: ProviderSetup, fault: BadAnswer
    ) -> None:
        """A metered machine runs, and the answer to its order was spoilt: no error may say that this cost nothing."""
        nth, has_more = 1, True
        while has_more:
            async with open_provider(provider_setup) as opened:
                driver = opened.make_driver()
                await driver.reserve_lease(await opened.make_order())
                if not isinstance(driver.current_lease.offer.tariff, Metered):
                    pytest.skip("its machines are paid before they are ordered")
                payment = await driver.pay_bill(await driver.wait_for_bill())
                payable, since = driver.current_lease, opened.faults.call_count
                async with faulty(opened, fault, nth, times=1):
                    try:
                        await opened.provider.confirm_lease(payable, payment)
                    except GpurentError as error:
                        await opened.advance(STARTING_TIME)
                        if opened.list_billed_machines():
                            assert error.spent is not Spent.NO, (
                                f"{fault.name}: a machine runs and costs money, and {type(error).__name__} has "
                                f"spent=Spent.NO: {error.message}. The create is sent with spent=Spent.UNKNOWN"
                            )
                has_more = len(opened.list_calls(since)) >= nth
                nth += 1

    async def list_journey_calls(self, setup: ProviderSetup) -> Sequence[str]:
        """Return the calls of a journey in which nothing goes wrong."""
        async with open_provider(setup) as opened:
            order, before = await opened.make_order(), opened.sum_ledger()
            since = opened.faults.call_count
            driver = await run_journey(opened, order)
            calls = opened.list_calls(since)
            await check_journey(opened, driver, before)
        return calls

    async def check_journey_fault(
        self, setup: ProviderSetup, calls: Sequence[str], nth: int, fault: BadAnswer
    ) -> None:
        try:
            async with open_provider(setup) as opened:
                order, before = await opened.make_order(), opened.sum_ledger()
                async with faulty(opened, fault, nth, times=1):
                    driver = await run_journey(opened, order)
                if setup.creates_again and "duplicate" in fault.fault:
                    await check_single_machine(opened, driver)
                else:
                    await check_journey(opened, driver, before)
        except BaseException as error:
            error.add_note(f"{fault.name}: call {nth} of {len(calls)}, {calls[nth - 1]}")
            raise
