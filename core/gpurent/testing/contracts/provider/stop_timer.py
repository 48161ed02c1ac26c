"""Contract tests for `SupportsStopTimer`: the service stops a machine at the set time, once, and never at another."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered
from gpurent.errors import GpurentError
from gpurent.roles.lease import SupportsStart, SupportsStopTimer
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
from gpurent.testing.contracts.provider.stopping import SHUT_STATES

SOON, LATER = timedelta(hours=2, minutes=7), timedelta(hours=5, minutes=7)
MAX_LATENESS = timedelta(minutes=65)
SHUTDOWN_TIME = timedelta(minutes=5)


async def set_stop_time(opened: OpenProvider, lease: Lease, at: datetime | None) -> datetime | None:
    """Set the time as a new process does."""
    provider = require_capability(opened.provider, SupportsStopTimer, opened.name)
    return await provider.set_stop_time(lease, at)


class StopTimerContract(ProviderContractBase):
    """Contract tests for the timer of the service itself."""

    async def rent(self, opened: OpenProvider) -> Driver:
        require_capability(opened.provider, SupportsStopTimer, opened.name)
        return await opened.rent()

    async def set_time(self, opened: OpenProvider, driver: Driver, after: timedelta) -> datetime:
        wanted = opened.clock.now() + after
        found = await set_stop_time(opened, driver.current_lease, wanted)
        assert found is not None
        assert wanted <= found <= wanted + MAX_LATENESS, (
            f"{found} is not the time that was asked for: {wanted}"
        )
        return found

    async def check_stop(self, opened: OpenProvider, driver: Driver, at: datetime) -> None:
        """Check that the machine runs until ``at``, and is stopped then with its files, by the service alone."""
        data = opened.sandbox.machines.only_machine.spec.data
        await opened.advance(at - opened.clock.now() - timedelta(minutes=1))
        assert opened.sandbox.machines.alive_machines, "it was stopped before its time"
        await opened.advance(SHUTDOWN_TIME)
        assert opened.sandbox.machines.alive_machines == {}, "it was not stopped at its time"
        lease = await driver.refresh_lease()
        assert lease.state in SHUT_STATES, show_lease(lease)
        assert data not in opened.sandbox.machines.erased

    async def check_runs_past(self, opened: OpenProvider, at: datetime) -> None:
        await opened.advance(max(at - opened.clock.now(), timedelta()) + SHUTDOWN_TIME)
        assert opened.sandbox.machines.alive_machines, "it was stopped at a time that does not count any more"

    async def test_the_service_stops_the_machine_at_the_time(self, opened: OpenProvider) -> None:
        driver = await self.rent(opened)
        at = await self.set_time(opened, driver, SOON)
        await self.check_stop(opened, driver, at)
        stopped = driver.current_lease
        if stopped.state is LeaseState.STOPPED:
            tariff = stopped.offer.tariff
            assert stopped.offer.stopped_price is not None
            assert isinstance(tariff, Metered)
            await check_burn(opened, stopped.offer.stopped_price, tariff.billing_increment)
        await driver.release_lease()
        await check_released(opened, driver)

    async def test_it_stops_once(self, opened: OpenProvider) -> None:
        """Who starts the machine again is not stopped by what was set before."""
        driver = await self.rent(opened)
        starter = require_capability(opened.provider, SupportsStart, opened.name)
        at = await self.set_time(opened, driver, SOON)
        await self.check_stop(opened, driver, at)
        await opened.advance(SHUTDOWN_TIME * 2)  # an operation may lock a machine for some minutes
        started = await starter.start_lease(driver.current_lease)
        assert isinstance(started, Lease)
        driver.lease = started
        await driver.wait_until_ready()
        await self.check_runs_past(opened, at + timedelta(hours=26))

    async def test_set_again_it_moves(self, opened: OpenProvider) -> None:
        driver = await self.rent(opened)
        first = await self.set_time(opened, driver, SOON)
        later = await self.set_time(opened, driver, LATER)
        assert await set_stop_time(opened, driver.current_lease, later) == later
        await self.check_runs_past(opened, first)
        sooner = await self.set_time(opened, driver, timedelta(minutes=20))
        assert sooner < later
        await self.check_stop(opened, driver, sooner)

    async def test_lifted_it_stops_nothing(self, opened: OpenProvider) -> None:
        """What is lifted twice, or was never set, is no error."""
        driver = await self.rent(opened)
        assert await set_stop_time(opened, driver.current_lease, None) is None
        at = await self.set_time(opened, driver, SOON)
        for _turn in range(2):
            assert await set_stop_time(opened, driver.current_lease, None) is None
        await self.check_runs_past(opened, at)

    async def test_a_lost_answer_leaves_one_time(self, opened: OpenProvider) -> None:
        """What an unknown answer left behind is gone once a later call has set another time."""
        driver = await self.rent(opened)
        counter = CallCounter(opened)
        await self.set_time(opened, driver, SOON)
        early = [opened.clock.now() + SOON]
        for nth in range(1, counter.count + 1):
            for fault in (LOST_BEFORE, LOST_AFTER):
                early.append(opened.clock.now() + SOON + timedelta(minutes=nth))
                wanted = early[-1]
                async with faulty(opened, fault, nth=nth, times=1):
                    await ask(lambda at=wanted: set_stop_time(opened, driver.current_lease, at))  # type: ignore[misc]
        at = await self.set_time(opened, driver, LATER)
        await self.check_runs_past(opened, max(early) + MAX_LATENESS)
        await self.check_stop(opened, driver, at)

    async def test_a_bad_answer_sets_no_time(self, opened: OpenProvider) -> None:
        """A time is only returned if the service confirmed it, whichever call has the bad answers on."""
        driver = await self.rent(opened)
        counter = CallCounter(opened)
        await self.set_time(opened, driver, SOON)
        # Always another time than the one before, so that it has to be set.
        times = (opened.clock.now() + SOON + timedelta(hours=2 * number) for number in count(1))
        for nth in range(1, counter.count + 1):
            for answer in BAD_ANSWERS:
                wanted = next(times)
                async with faulty(opened, answer, nth):
                    found = await ask(lambda at=wanted: set_stop_time(opened, driver.current_lease, at))  # type: ignore[misc]
                assert isinstance(found, GpurentError), f"{answer.name} from call {nth} on: taken for set"
        await self.set_time(opened, driver, LATER)

    async def test_what_is_gone_has_no_timer(self, opened: OpenProvider) -> None:
        driver = await self.rent(opened)
        lease = driver.current_lease
        await driver.release_lease()
        assert await set_stop_time(opened, lease, opened.clock.now() + SOON) is None
        assert await set_stop_time(opened, lease, None) is None
        assert opened.list_billed_machines() == []
