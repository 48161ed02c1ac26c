"""The provider's own timer, as a layer behind the one in the machine: it follows deadlines and budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent.workflow.timing.provider_timers import BUDGET_GRACE
from tests.workflow.test_stopped_machines import log_in
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

HOUR = timedelta(hours=1)
STEP = timedelta(minutes=65)  # vast.ai stops machines at full hours


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


def get_job_times(sandbox: TripSandbox) -> list[datetime]:
    state: Any = sandbox.get_simulator_state("vast")
    return [job.next_at for account in state.accounts for job in account.jobs.values()]


async def rent(application: Application, limits: TripLimits) -> Lease:
    lease = await application.trips.rent(TripSpec(provider="vast", limits=limits))
    return await application.leases.get_lease(lease.id)


async def test_it_follows_the_deadline_and_is_lifted_with_it(sandbox: TripSandbox) -> None:
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        lease = await rent(application, TripLimits(deadline_in=10 * HOUR))
        assert lease.started_at is not None
        assert lease.stops_at is not None
        assert timedelta() <= lease.stops_at - (lease.started_at + 10 * HOUR) <= STEP
        assert get_job_times(sandbox) == [lease.stops_at]
        price = lease.offer.stopped_price
        assert price is not None
        (said,) = [event.text for event in user.events if "even if this computer is off" in event.text]
        assert f"for {price.cost(timedelta(days=1))} a day until you release it" in said
        timers = application.timer_commands
        moved = await timers.extend_timer(lease.id, 5 * HOUR)
        assert moved.provider_until is not None
        assert moved.until is not None
        assert timedelta(minutes=-1) <= moved.provider_until - moved.until <= STEP
        assert get_job_times(sandbox) == [moved.provider_until]
        sooner = await timers.arm_timer(lease.id, 3 * HOUR)
        assert sooner.provider_until is not None
        assert sooner.provider_until < lease.stops_at
        assert get_job_times(sandbox) == [sooner.provider_until]
        assert (await timers.get_timer(lease.id)).provider_until == sooner.provider_until
        off = await timers.disarm_timer(lease.id)
        assert (off.until, off.provider_until) == (None, None)
        assert get_job_times(sandbox) == []
        assert (await application.leases.get_lease(lease.id)).stops_at is None
        await application.releases.release_lease(lease.id)
    assert not [event.text for event in user.events if event.kind is EventKind.WARNING]


async def test_a_budget_gives_a_time_without_a_deadline(sandbox: TripSandbox) -> None:
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in(sandbox, application)
        plain = await rent(application, TripLimits())
        assert plain.stops_at is None
        price = plain.offer.tariff.price
        lease = await rent(application, TripLimits(budget=price.cost(8 * HOUR)))
        assert lease.started_at is not None
        assert lease.stops_at is not None
        end = lease.started_at + 8 * HOUR * float(price.value / lease.offer.tariff.price.value) + BUDGET_GRACE
        assert timedelta(minutes=-10) <= lease.stops_at - end <= STEP
        # A deadline that is lifted leaves the budget's time.
        await application.timer_commands.arm_timer(lease.id, 2 * HOUR)
        off = await application.timer_commands.disarm_timer(lease.id)
        assert off.provider_until is not None
        assert timedelta(minutes=-10) <= off.provider_until - end <= STEP
        for rented in (plain, lease):
            await application.releases.release_lease(rented.id)


async def test_that_it_cannot_be_set_is_a_warning(sandbox: TripSandbox) -> None:
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        fault = ServiceFault(service="vast", path="/api/v0/commands/*", body="<html>maintenance</html>")
        await sandbox.cloud.faults.add(fault)
        lease = await rent(application, TripLimits(deadline_in=10 * HOUR))
        assert lease.state is LeaseState.READY
        assert lease.stops_at is None
        (warning,) = [event.text for event in user.events if event.kind is EventKind.WARNING]
        assert "did not take a time" in warning
        assert (await application.timer_commands.get_timer(lease.id)).is_armed
        await application.releases.release_lease(lease.id)


async def test_a_restarted_machine_is_not_shut_down_at_the_old_time(sandbox: TripSandbox) -> None:
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in(sandbox, application)
        lease = await rent(application, TripLimits(deadline_in=10 * HOUR))
        assert get_job_times(sandbox)
        await application.machine_stops.stop_machine(lease.id)
        await application.lease_changes.restart(lease.id)
        assert get_job_times(sandbox) == []
        assert (await application.leases.get_lease(lease.id)).stops_at is None
        await application.releases.release_lease(lease.id)
