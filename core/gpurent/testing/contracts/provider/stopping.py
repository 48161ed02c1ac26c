"""Contract tests for `SupportsStop` and `SupportsRestart`: a machine that is shut costs nothing and comes back."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import OrderKind
from gpurent.roles.lease import LeaseProvider, SupportsRestart, SupportsStop
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import (
    BAD_ANSWERS,
    LOST_AFTER,
    LOST_BEFORE,
    CallCounter,
    ask,
    faulty,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.lease import check_released
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider, show_lease


async def stop_lease(opened: OpenProvider, lease: Lease, provider: LeaseProvider | None = None) -> Lease:
    """Stop until the files are kept, as core does."""
    for _attempt in range(10):
        answer = await require_stop(opened, provider).stop_lease(lease)
        assert not isinstance(answer, Absent)
        lease = answer
        if lease.state is LeaseState.KEPT:
            return lease
        await opened.advance(opened.setup.poll_interval)
    raise AssertionError(f"never stopped: {show_lease(lease)}")


def require_stop(opened: OpenProvider, provider: LeaseProvider | None = None) -> SupportsStop:
    return require_capability(provider or opened.provider, SupportsStop, opened.name)


class StopContract(ProviderContractBase):
    """Contract tests for stopping without giving the files up."""

    async def test_a_stopped_machine_costs_nothing_and_keeps_its_files(self, opened: OpenProvider) -> None:
        require_stop(opened)
        driver = await opened.rent()
        data = opened.sandbox.machines.only_machine.spec.data
        kept = await stop_lease(opened, driver.current_lease)
        assert kept.endpoint is None
        assert opened.list_billed_machines() == []
        settled = opened.sum_ledger()
        await opened.advance(timedelta(hours=5))
        assert opened.sum_ledger() == settled
        assert data in opened.sandbox.machines.disks
        assert data not in opened.sandbox.machines.erased
        assert kept.kept_until is None or kept.kept_until > opened.clock.now()

    async def test_stopped_twice_it_is_stopped(self, opened: OpenProvider) -> None:
        require_stop(opened)
        driver = await opened.rent()
        running = driver.current_lease
        kept = await stop_lease(opened, running)
        for lease in (kept, running):
            assert (await stop_lease(opened, lease)).state is LeaseState.KEPT

    async def test_a_bad_answer_to_a_stop_is_no_stop(self, opened: OpenProvider) -> None:
        require_stop(opened)
        driver = await opened.rent()
        for answer in BAD_ANSWERS:
            if not opened.list_billed_machines():
                return
            async with faulty(opened, answer):
                found = await ask(lambda: require_stop(opened).stop_lease(driver.current_lease))
            if isinstance(found, Lease) and opened.list_billed_machines():
                assert not found.is_over, f"{answer.name}: it is reported as stopped and still billed"


class RestartContract(ProviderContractBase):
    """Contract tests for starting a stopped machine again."""

    def require_restart(self, opened: OpenProvider) -> SupportsRestart:
        return require_capability(opened.provider, SupportsRestart, opened.name)

    async def rent_and_keep(self, opened: OpenProvider) -> Driver:
        driver = await opened.rent()
        await opened.advance(timedelta(minutes=5))
        await driver.release_lease()
        assert driver.current_lease.state is LeaseState.KEPT, show_lease(driver.current_lease)
        await opened.advance(timedelta(minutes=5))
        return driver

    async def test_a_restart_order_asks_nobody(self, opened: OpenProvider) -> None:
        restarting = self.require_restart(opened)
        kept = (await self.rent_and_keep(opened)).current_lease
        counter = CallCounter(opened)
        order = restarting.make_restart_order(kept, "again")
        assert counter.count == 0
        assert (order.key, order.kind, order.offer.key) == ("again", OrderKind.NEW, kept.offer.key)

    async def test_it_comes_back_with_its_files(self, opened: OpenProvider) -> None:
        restarting = self.require_restart(opened)
        kept = (await self.rent_and_keep(opened)).current_lease
        data = opened.sandbox.machines.booted[-1].spec.data
        again = await opened.rent(opened.complete_order(restarting.make_restart_order(kept, "again")))
        assert again.current_lease.state is LeaseState.READY
        assert opened.sandbox.machines.only_machine.spec.data == data, "another disk"
        assert len(opened.list_billed_machines()) == 1
        await again.release_lease()
        assert opened.list_billed_machines() == []

    async def test_a_lost_answer_restarts_once(self, opened: OpenProvider) -> None:
        restarting = self.require_restart(opened)
        driver = await self.rent_and_keep(opened)
        for number, fault in enumerate((LOST_BEFORE, LOST_AFTER), 1):
            order = opened.complete_order(
                restarting.make_restart_order(driver.current_lease, f"again-{number}")
            )
            for nth in (1, 2, 3):
                await fault.apply(opened, nth, 1)
            driver = await opened.rent(order)
            await opened.faults.clear()
            assert len(opened.list_billed_machines()) == 1
            await driver.release_lease()
            await check_released(opened, driver)
