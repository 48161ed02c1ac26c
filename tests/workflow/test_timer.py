"""The timer inside a machine, over real connections: it works without the user's computer, and costs are exact."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import frozen

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Prepaid
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import JobError
from gpurent.testing.sandbox.machines import find_bwrap_problem
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.timing.guard_policy import GuardPolicy
from gpurent.workflow.timing.timers import TimerCommands, compute_timer_deadline
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
PRICE = UnitPrice(Decimal(3), CNY)
METERED = Metered(price=PRICE)
ENDLESS_JOB = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.nightly),
        pytest.param("bwrap", marks=pytest.mark.bwrap),
    ]
)
async def driver(request: pytest.FixtureRequest) -> str:
    if request.param == "bwrap" and (problem := await find_bwrap_problem()):
        pytest.skip(problem)
    return str(request.param)


async def wait_until_true(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)
    return value


async def log_in_with_money(application: Application, sandbox: TripSandbox, yuan: str = "200") -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, yuan)


def get_usage(sandbox: TripSandbox) -> int:
    """Return the fen used, according to the provider's ledger."""
    return -sum(line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage")


async def test_a_forgotten_machine_is_released_although_the_users_computer_is_off(
    tmp_path: Path, driver: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(ENDLESS_JOB)
    async with trip_sandbox(tmp_path, speed=600, driver=driver, fixed_speed=True) as sandbox:
        sandbox.extra_environment["GPURENT_GUARD_TIMER"] = "10m"
        async with sandbox.open_application() as application:
            await log_in_with_money(application, sandbox)
        process = await sandbox.start_command(
            *("-y", "run", "-p", "mistgpu", "--for", "1h", "--", "train.py"),
            folder=folder,
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert process.stderr is not None
        output = b""
        while b"timer shuts it down at" not in output:
            output = await process.stderr.readline()
            assert output, "the trip ended before a timer was armed"
        process.kill()
        await process.wait()
        assert len(sandbox.cloud.burning()) == 1
        await wait_until_true(lambda: not sandbox.cloud.burning())
        await wait_until_true(lambda: not sandbox.cloud.driver.list_machines())
        async with sandbox.open_application() as application:
            (lease,) = await application.leases.list_refreshed_leases(include_over=True)
            deadline = await get_last_deadline(application, lease)
            assert lease.started_at is not None
            assert lease.ended_at is not None
            # Seconds on a busy computer are minutes of this clock.
            assert deadline - MINUTE <= lease.ended_at <= deadline + 2 * HOUR
            price = lease.offer.tariff.price
            begun_minutes = (lease.ended_at - lease.started_at) // MINUTE + 1
            expected = price.cost(begun_minutes * MINUTE, round_up=False).amount
            assert get_usage(sandbox) == expected
            (total,) = (await application.receipts.get_current_receipt(lease.id)).totals()
            assert total.spent.amount == expected
        await sandbox.cloud.advance(timedelta(days=1))
        assert get_usage(sandbox) == expected, "nothing is billed after the stop"


async def get_last_deadline(application: Application, lease: Lease) -> datetime:
    timer = await application.store.find_machine_timer(lease.id)
    assert timer is not None
    return timer.until


@frozen
class RentedMachine:
    """One rented machine and its user."""

    sandbox: TripSandbox
    application: Application
    user: ScriptedUser
    lease: Lease

    @property
    def timers(self) -> TimerCommands:
        return self.application.timer_commands

    def connect(self) -> ReconnectingConnection:
        """Open a separate connection, closed after the block."""
        return self.application.connections.make_connection(self.lease.id)

    def processes(self) -> list[int]:
        (machine,) = self.sandbox.cloud.driver.list_machines()
        found = []
        for pid in self.sandbox.cloud.driver.list_processes(machine.id):
            with contextlib.suppress(psutil.Error):
                if "timer.sh" in psutil.Process(pid).cmdline():
                    found.append(pid)
        return found

    def now(self) -> datetime:
        return self.application.clock.now()


@pytest.fixture
async def rented(tmp_path: Path) -> AsyncIterator[RentedMachine]:
    user = ScriptedUser()
    async with (
        trip_sandbox(tmp_path, speed=60, fixed_speed=True) as sandbox,
        sandbox.open_application(user) as application,
    ):
        await log_in_with_money(application, sandbox)
        yield RentedMachine(
            sandbox, application, user, await application.trips.rent(TripSpec(provider="mistgpu"))
        )


async def test_extend_and_off(rented: RentedMachine) -> None:
    assert not (await rented.timers.get_timer(rented.lease.id)).is_armed
    until = rented.now() + 20 * HOUR
    armed = await rented.timers.arm_timer(rented.lease.id, until)
    assert armed.until is not None
    assert abs(armed.until - until) < 20 * MINUTE
    later = await rented.timers.extend_timer(rented.lease.id, 2 * HOUR)
    assert later.until is not None
    assert abs(later.until - until - 2 * HOUR) < 20 * MINUTE
    assert await get_last_deadline(rented.application, rented.lease) == later.until
    earlier = await rented.timers.arm_timer(rented.lease.id, until - 5 * HOUR)
    assert earlier.until is not None
    assert earlier.until < until, "arming anew moves it to earlier too"
    assert len(rented.processes()) == 1
    assert not (await rented.timers.disarm_timer(rented.lease.id)).is_armed
    await wait_until_true(lambda: not rented.processes())
    assert await rented.application.machine_timers.find_deadline(rented.lease) is None


async def test_it_survives_a_cut_connection_and_two_arms_are_one(rented: RentedMachine) -> None:
    timers, until = rented.application.machine_timers, rented.now() + 20 * HOUR
    async with rented.connect() as one, rented.connect() as other:
        await asyncio.gather(
            timers.arm_timer(one, rented.lease, until), timers.arm_timer(other, rented.lease, until + HOUR)
        )
        assert await rented.sandbox.cloud.cut_connections() >= 1
        assert (await timers.get_timer(one)).is_armed
    await wait_until_true(lambda: len(rented.processes()) == 1)
    assert (await rented.timers.get_timer(rented.lease.id)).is_armed


async def wait_for_closing(rented: RentedMachine, connection: ReconnectingConnection, wanted: bool) -> None:
    async with asyncio.timeout(60):
        # Polling over the connection is slow enough without a pause.
        while (await rented.application.machine_timers.get_timer(connection)).closing is not wanted:
            continue


async def test_in_the_last_minutes_no_job_starts(rented: RentedMachine) -> None:
    timers, machine = rented.application.machine_timers, rented.application.machine_commands
    async with rented.connect() as connection:
        await timers.arm_timer(connection, rented.lease, rented.now() + 5 * HOUR, grace=6 * HOUR)
        await wait_for_closing(rented, connection, True)
        with pytest.raises(JobError, match="about to shut"):
            await machine.start_job(rented.lease.id, "late", JobSpec(command=("true",)), ".")
        await timers.extend_timer(connection, rented.lease, rented.now() + 40 * HOUR)
        await wait_for_closing(rented, connection, False)
        await machine.start_job(rented.lease.id, "early", JobSpec(command=("true",)), ".")


async def test_the_command_line(rented: RentedMachine) -> None:
    sandbox, lease = rented.sandbox, rented.lease.id
    result = await sandbox.run_command("timer", lease)
    assert result.out.strip() == "No timer is running on the machine."
    result = await sandbox.run_command("start", lease, "--for", "20h", "--json", "--", "true")
    assert result.code == 0, result.err
    assert result.data["timer"]["until"]
    moved = (await sandbox.run_command("timer", lease, "--extend", "2h", "--json")).data
    assert moved["until"] > result.data["timer"]["until"]
    assert (await sandbox.run_command("show", lease, "--json")).data["timer"] == moved["until"]
    assert (await sandbox.run_command("timer", lease, "--for", "1h", "--off")).code == 2
    assert (await sandbox.run_command("timer", lease, "--until", "2001-01-01T00:00")).code == 2
    assert (await sandbox.run_command("timer", lease, "--off", "--json")).data["until"] is None
    assert (await sandbox.run_command("show", lease, "--json")).data["timer"] is None
    assert (await sandbox.run_command("release", lease)).code == 0
    assert (await sandbox.run_command("timer", lease)).code == 6


async def test_a_trip_without_for_says_that_it_has_no_timer(rented: RentedMachine) -> None:
    messages = [event.text for event in rented.user.events if event.kind is EventKind.TIMER]
    assert len(messages) == 1
    assert "the machine has no timer" in messages[0]


@pytest.mark.nightly
async def test_timer_is_extended_while_the_job_is_watched(tmp_path: Path) -> None:
    """The job runs longer than the switch allows: it succeeds only because the monitor extends the switch."""
    user = ScriptedUser()
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("import time\ntime.sleep(13)\n")
    async with trip_sandbox(tmp_path, speed=600, fixed_speed=True) as sandbox:
        sandbox.extra_environment["GPURENT_GUARD_TIMER"] = "100m"
        async with sandbox.open_application(user) as application:
            await log_in_with_money(application, sandbox)
            end = await application.trips.run(
                TripSpec(
                    upload=UploadSpec(folder=str(folder)),
                    job=JobSpec(command=("train.py",)),
                    provider="mistgpu",
                )
            )
            assert end.exit_code == 0
            assert end.receipt is not None
            assert end.receipt.started_at is not None
            assert end.receipt.ended_at is not None
            assert end.receipt.ended_at - end.receipt.started_at > 100 * MINUTE
    events = [event for event in user.events if event.kind in (EventKind.TIMER, EventKind.TIME_LEFT)]
    assert events[0].text.startswith("the machine's timer shuts it down at")
    assert events[1].kind is EventKind.TIME_LEFT
    assert events[1].data["decided_by"] == "balance"
    assert events[1].text.startswith("time left: ")


def test_when_a_machine_gets_a_timer() -> None:
    def when(
        term: timedelta | None = None, tariff: Metered | Prepaid = METERED, **written: Any
    ) -> datetime | None:
        lease = Lease(
            id="x-1",
            provider="x",
            offer=Offer(key="1", provider="x", hardware=Hardware(), tariff=tariff),
            started_at=NOW - HOUR,
        )
        return compute_timer_deadline(lease, TripLimits(term=term), GuardPolicy(**written), NOW)

    assert when() is None
    assert when(3 * HOUR) == NOW + 2 * HOUR + 30 * MINUTE, "from the start, with a margin"
    assert when(3 * HOUR, timer=5 * MINUTE) == NOW + 2 * HOUR + 5 * MINUTE
    assert when(timer=4 * HOUR) == NOW + 4 * HOUR
    assert when(3 * HOUR, timer_off=True) is None
    assert when(24 * HOUR, tariff=Prepaid(price=PRICE), timer=HOUR) is None, "it ends by itself"
