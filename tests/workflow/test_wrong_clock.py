"""A computer whose clock is wrong, at providers whose time decides: mailed codes, bills that run out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.remote.timer_script import parse_timer, state_command
from tests.workflow.test_payment_limits import GPU_SPEC, log_in_with_dbc
from tests.workflow.test_timer import log_in_with_money
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

HOUR = timedelta(hours=1)
SPEED = 60


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=SPEED, fixed_speed=True) as made:
        yield made


@pytest.mark.parametrize(
    "ahead",
    [
        timedelta(minutes=4),
        pytest.param(timedelta(minutes=25), marks=pytest.mark.nightly),
        pytest.param(-timedelta(hours=8), marks=pytest.mark.nightly),
    ],
)
async def test_bills_are_paid_and_codes_found_by_the_services_time(
    sandbox: TripSandbox, ahead: timedelta
) -> None:
    sandbox.cloud.clock.set_client_error(ahead)
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        assert abs(application.clock.now() - sandbox.cloud.clock.now() - ahead) < timedelta(minutes=1)
        await log_in_with_dbc(sandbox, application)
        lease = await application.trips.rent(GPU_SPEC)
        begun = sandbox.cloud.clock.now()
        receipt = await application.releases.release_lease(lease.id)
        took = sandbox.cloud.clock.now() - begun
        assert receipt.charges
        assert took < timedelta(minutes=6), "the code is found at once"
    warnings = [
        event.text for event in user.events if event.kind is EventKind.WARNING and "clock" in event.text
    ]
    assert len(warnings) == 1, warnings
    assert list(sandbox.cloud.burning()) == []


async def read_time_on_machine(application: Application, lease: Lease) -> timedelta:
    """Return the provider time after which the machine's own timer fires, as the machine itself counts it."""
    async with application.connections.make_connection(lease.id) as connection:
        ran = await connection.run_with_retry(lambda ssh: ssh.run(state_command()))
    found = parse_timer(ran.stdout)
    assert found is not None
    assert found.ticks_left is not None
    return timedelta(milliseconds=10) * found.ticks_left * SPEED


@pytest.mark.parametrize("ahead", [8 * HOUR, pytest.param(-8 * HOUR, marks=pytest.mark.nightly)])
async def test_the_machines_timer_and_meter_count_the_providers_time(
    sandbox: TripSandbox, ahead: timedelta
) -> None:
    sandbox.cloud.clock.set_client_error(ahead)
    async with sandbox.open_application() as application:
        await log_in_with_money(application, sandbox)
        lease = await application.trips.rent(TripSpec(provider="mistgpu", limits=TripLimits(term=20 * HOUR)))
        assert 20 * HOUR <= await read_time_on_machine(application, lease) <= 20.5 * HOUR, "and the margin"
        used = (await application.budgets.meters.estimate_meter(lease)).used
        assert used <= lease.offer.tariff.price.cost(HOUR)
    # Each of these is a process of its own, which knows no clock at first.
    assert (await sandbox.run_command("timer", lease.id, "--for", "10h")).code == 0
    assert (await sandbox.run_command("timer", lease.id, "--extend", "2h")).code == 0
    async with sandbox.open_application() as application:
        assert 11 * HOUR <= await read_time_on_machine(application, lease) <= 12 * HOUR


async def test_the_month_and_the_kept_files_are_those_of_the_provider(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(application, sandbox)
        lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        await application.releases.release_lease(lease.id)
        assert (await application.leases.get_lease(lease.id)).state is LeaseState.KEPT
    (sandbox.home / "state" / "config.toml").write_text('[budget.mistgpu]\nmonth = "100CNY"\n')
    user = ScriptedUser()
    for error in (timedelta(days=40), timedelta(days=15) - HOUR / 2):
        sandbox.cloud.clock.set_client_error(error)
        async with sandbox.open_application(user) as application:
            await application.bookkeeping.sync_lease(lease.id)
            (limit,) = await application.budgets.list_limits("mistgpu")
            assert limit.since is not None
            assert limit.since.month == sandbox.cloud.clock.now().month
            await application.guard.controller.clean_up()
    assert EventKind.TIME_LOW not in {event.kind for event in user.events}, "the files are kept for 15 days"


async def test_a_paid_end_that_has_passed_only_by_our_own_clock_ends_nothing(sandbox: TripSandbox) -> None:
    sandbox.cloud.clock.set_client_error(timedelta(days=2))
    async with sandbox.open_application() as application:
        await log_in_with_dbc(sandbox, application)
        lease = await application.trips.rent(GPU_SPEC)
        assert lease.expires_at is not None
        first = await application.leases.apply_answer(lease, Absent())
        await application.clock.sleep(timedelta(minutes=1))
        assert sandbox.cloud.clock.now() < lease.expires_at, "the test was too slow to show anything"
        second = await application.leases.apply_answer(first, Absent())
        assert (first.state, second.state) == (LeaseState.MISSING, LeaseState.MISSING)
