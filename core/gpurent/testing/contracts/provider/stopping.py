"""Contract tests for `SupportsStop`, `SupportsRestart` and `SupportsStart`: a machine that is shut comes back."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered, OrderKind
from gpurent.roles.lease import LeaseProvider, SupportsRestart, SupportsStart, SupportsStop
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
from gpurent.testing.contracts.provider.price import check_burn

SHUT_STATES = (LeaseState.KEPT, LeaseState.STOPPED)


async def stop_lease(opened: OpenProvider, lease: Lease, provider: LeaseProvider | None = None) -> Lease:
    """Stop until the machine is shut down, as core does."""
    for _attempt in range(10):
        answer = await require_stop(opened, provider).stop_lease(lease)
        assert not isinstance(answer, Absent)
        lease = answer
        if lease.state in SHUT_STATES:
            return lease
        await opened.advance(opened.setup.poll_interval)
    raise AssertionError(f"never stopped: {show_lease(lease)}")


def require_stop(opened: OpenProvider, provider: LeaseProvider | None = None) -> SupportsStop:
    return require_capability(provider or opened.provider, SupportsStop, opened.name)


class StopContract(ProviderContractBase):
    """Contract tests for stopping without giving the files up."""

    async def test_a_stopped_machine_costs_what_it_says_and_keeps_its_files(
        self, opened: OpenProvider
    ) -> None:
        """A KEPT one costs nothing, a STOPPED one its `Offer.stopped_price`."""
        require_stop(opened)
        driver = await opened.rent()
        data = opened.sandbox.machines.only_machine.spec.data
        shut = await stop_lease(opened, driver.current_lease)
        assert shut.endpoint is None
        assert opened.sandbox.machines.alive_machines == {}
        is_billed = shut.state is LeaseState.STOPPED and not shut.is_kept_free
        assert bool(opened.list_billed_machines()) == is_billed
        if shut.state is LeaseState.STOPPED:
            tariff = shut.offer.tariff
            assert shut.offer.stopped_price is not None
            assert isinstance(tariff, Metered)
            await check_burn(opened, shut.offer.stopped_price, tariff.billing_increment)
        else:
            settled = opened.sum_ledger()
            await opened.advance(timedelta(hours=5))
            assert opened.sum_ledger() == settled
        assert data in opened.sandbox.machines.disks
        assert data not in opened.sandbox.machines.erased
        assert shut.kept_until is None or shut.kept_until > opened.clock.now()

    async def test_stopped_twice_it_is_stopped(self, opened: OpenProvider) -> None:
        require_stop(opened)
        driver = await opened.rent()
        running = driver.current_lease
        shut = await stop_lease(opened, running)
        for lease in (shut, running):
            assert (await stop_lease(opened, lease)).state is shut.state

    async def test_a_bad_answer_to_a_stop_is_no_stop(self, opened: OpenProvider) -> None:
        require_stop(opened)
        driver = await opened.rent()
        for answer in BAD_ANSWERS:
            for times in (1, None):
                async with faulty(opened, answer, times=times):
                    found = await ask(lambda: require_stop(opened).stop_lease(driver.current_lease))
                if not opened.sandbox.machines.alive_machines:
                    return
                if isinstance(found, Lease):
                    assert found.state not in SHUT_STATES, (
                        f"{answer.name}: it is reported as stopped and runs"
                    )


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


class StartContract(ProviderContractBase):
    """Contract tests for starting a stopped machine as the same lease."""

    def require_start(self, opened: OpenProvider) -> SupportsStart:
        return require_capability(opened.provider, SupportsStart, opened.name)

    async def rent_and_stop(self, opened: OpenProvider) -> Driver:
        self.require_start(opened)
        driver = await opened.rent()
        driver.lease = await stop_lease(opened, driver.current_lease)
        assert driver.current_lease.state is LeaseState.STOPPED, show_lease(driver.current_lease)
        return driver

    async def start_lease(self, opened: OpenProvider, lease: Lease) -> Lease:
        """Start until that has begun, as core does."""
        for _attempt in range(10):
            answer = await self.require_start(opened).start_lease(lease)
            assert not isinstance(answer, Absent)
            if not answer.is_stopped:
                assert answer.state in (LeaseState.PROVISIONING, LeaseState.READY), show_lease(answer)
                return answer
            await opened.advance(opened.setup.poll_interval)
        raise AssertionError(f"never started: {show_lease(lease)}")

    async def check_started(self, opened: OpenProvider, driver: Driver, before: Lease, data: str) -> None:
        """Check that the machine runs, as the same lease with the same files, and costs its full price."""
        again = await driver.wait_until_ready()
        assert (again.id, again.ref, again.offer) == (before.id, before.ref, before.offer)
        assert opened.sandbox.machines.only_machine.spec.data == data, "another disk"
        assert len(opened.list_billed_machines()) == 1
        assert isinstance(again.offer.tariff, Metered)
        await check_burn(opened, again.offer.tariff.price, again.offer.tariff.billing_increment)
        await driver.release_lease()
        await check_released(opened, driver)

    async def test_it_starts_again_as_the_same_lease(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_stop(opened)
        stopped, data = driver.current_lease, opened.sandbox.machines.booted[-1].spec.data
        for lease in (stopped, stopped):
            driver.lease = await self.start_lease(opened, lease)
        await self.check_started(opened, driver, stopped, data)

    async def test_a_bad_answer_to_a_start_is_no_start(self, opened: OpenProvider) -> None:
        """What is reported as started starts; what is not known is started by the next call."""
        driver = await self.rent_and_stop(opened)
        stopped, data = driver.current_lease, opened.sandbox.machines.booted[-1].spec.data
        for answer in BAD_ANSWERS:
            for times in (1, None):
                async with faulty(opened, answer, times=times):
                    found = await ask(lambda: self.require_start(opened).start_lease(stopped))
                if isinstance(found, Lease) and not found.is_stopped:
                    driver.lease = found
                    await self.check_started(opened, driver, stopped, data)
                    return
        driver.lease = await self.start_lease(opened, stopped)
        await self.check_started(opened, driver, stopped, data)

    async def test_what_is_gone_does_not_start(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_stop(opened)
        stopped = driver.current_lease
        await driver.release_lease()
        assert isinstance(await self.require_start(opened).start_lease(stopped), Absent)
        assert opened.list_billed_machines() == []
