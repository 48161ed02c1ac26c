"""The timer inside a machine, over real lines: it holds when the user's computer is gone, and the money is exact."""

from __future__ import annotations

import asyncio
import contextlib
import sys
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
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, Upload
from gpurent.errors import JobError
from gpurent.testing.sandbox.machines import why_not_bwrap
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.timing.guard_policy import GuardPolicy
from gpurent.workflow.timing.timers import TimerCommands, timer_deadline
from tests.workflow.world import Person, World, world

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
PRICE = UnitPrice(Decimal(3), CNY)
METER = Metered(price=PRICE)
FOREVER = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
async def driver(request: pytest.FixtureRequest) -> str:
    if request.param == "bwrap" and (why := await why_not_bwrap()):
        pytest.skip(why)
    return str(request.param)


async def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)
    return value


async def enter(application: Application, land: World, yuan: str = "200") -> None:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, yuan)


def usage(land: World) -> int:
    """Fen that the portal's own ledger says were used."""
    return -sum(line.amount.amount for line in land.cloud.ledgers()["mistgpu"] if line.kind == "usage")


async def test_a_forgotten_machine_is_released_although_the_users_computer_is_off(
    tmp_path: Path, driver: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(FOREVER)
    async with world(tmp_path, speed=600, driver=driver) as land:
        land.extra["GPURENT_GUARD_TIMER"] = "10m"
        async with land.application() as application:
            await enter(application, land)
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "gpurent.cli.main",
                "run",
                "-p",
                "mistgpu",
                "--for",
                "1h",
                "--",
                "train.py",
            ),
            cwd=folder,
            env={**land.environment(), "LANG": "C.UTF-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        told = b""
        while b"shuts itself at" not in told:
            told = await process.stderr.readline()
            assert told, "the trip ended before a timer was armed"
        process.kill()
        await process.wait()
        assert len(land.cloud.burning()) == 1
        await eventually(lambda: not land.cloud.burning())
        await eventually(lambda: not land.cloud.driver.machines())
        async with land.application() as application:
            (lease,) = await application.leases.view_leases(over=True)
            deadline = timer_note(application, lease)
            assert lease.started_at is not None
            assert lease.ended_at is not None
            # Seconds of a loaded machine are minutes of this clock.
            assert deadline - MINUTE <= lease.ended_at <= deadline + 2 * HOUR
            price = lease.offer.tariff.price
            begun_minutes = (lease.ended_at - lease.started_at) // MINUTE + 1
            expected = price.cost(begun_minutes * MINUTE, up=False).amount
            assert usage(land) == expected
            (total,) = (await application.receipts.current_receipt(lease.id)).totals()
            assert total.spent.amount == expected
        await land.cloud.advance(timedelta(days=1))
        assert usage(land) == expected, "nothing is billed after the stop"


def timer_note(application: Application, lease: Lease) -> datetime:
    noted = application.store.note("timer", lease.id)
    assert noted
    return datetime.fromisoformat(noted)


@frozen
class Ground:
    """One rented machine and its user."""

    land: World
    application: Application
    person: Person
    lease: Lease

    @property
    def timers(self) -> TimerCommands:
        return self.application.timer_commands

    def connect(self) -> ReconnectingConnection:
        """A connection of its own, closed behind the block."""
        return self.application.connections.to(self.lease.id)

    def processes(self) -> list[int]:
        (machine,) = self.land.cloud.driver.machines()
        found = []
        for pid in self.land.cloud.driver.processes(machine.id):
            with contextlib.suppress(psutil.Error):
                if "timer.sh" in psutil.Process(pid).cmdline():
                    found.append(pid)
        return found

    def now(self) -> datetime:
        return self.application.clock.now()


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        await enter(application, land)
        yield Ground(land, application, person, await application.trips.rent(TripSpec(provider="mistgpu")))


async def test_extend_and_off(ground: Ground) -> None:
    assert not (await ground.timers.state(ground.lease.id)).armed
    until = ground.now() + 20 * HOUR
    armed = await ground.timers.arm(ground.lease.id, until)
    assert armed.until is not None
    assert abs(armed.until - until) < 20 * MINUTE
    later = await ground.timers.extend(ground.lease.id, 2 * HOUR)
    assert later.until is not None
    assert abs(later.until - until - 2 * HOUR) < 20 * MINUTE
    assert timer_note(ground.application, ground.lease) == later.until
    earlier = await ground.timers.arm(ground.lease.id, until - 5 * HOUR)
    assert earlier.until is not None
    assert earlier.until < until, "arming anew moves it to earlier too"
    assert len(ground.processes()) == 1
    assert not (await ground.timers.off(ground.lease.id)).armed
    await eventually(lambda: not ground.processes())
    assert ground.application.machine_timers.remembered(ground.lease) is None


async def test_it_survives_a_cut_line_and_two_arms_are_one(ground: Ground) -> None:
    timers, until = ground.application.machine_timers, ground.now() + 20 * HOUR
    async with ground.connect() as one, ground.connect() as other:
        await asyncio.gather(
            timers.arm(one, ground.lease, until), timers.arm(other, ground.lease, until + HOUR)
        )
        assert await ground.land.cloud.cut() >= 1
        assert (await timers.state(one)).armed
    await eventually(lambda: len(ground.processes()) == 1)
    assert (await ground.timers.state(ground.lease.id)).armed


async def closing(ground: Ground, connection: ReconnectingConnection, wanted: bool) -> None:
    async with asyncio.timeout(60):
        # A look over the line takes long enough to be its own pause.
        while (await ground.application.machine_timers.state(connection)).closing is not wanted:
            continue


async def test_in_the_last_minutes_no_job_starts(ground: Ground) -> None:
    timers, machine = ground.application.machine_timers, ground.application.machine_commands
    async with ground.connect() as connection:
        await timers.arm(connection, ground.lease, ground.now() + 5 * HOUR, grace=6 * HOUR)
        await closing(ground, connection, True)
        with pytest.raises(JobError, match="about to shut"):
            await machine.start(ground.lease.id, "late", ("true",), ".", "", "")
        await timers.extend(connection, ground.lease, ground.now() + 40 * HOUR)
        await closing(ground, connection, False)
        await machine.start(ground.lease.id, "early", ("true",), ".", "", "")


async def test_the_command_line(ground: Ground) -> None:
    land, lease = ground.land, ground.lease.id
    said = await land.cli("timer", lease)
    assert said.out.strip() == "no timer runs in the machine"
    said = await land.cli("start", lease, "--for", "20h", "--json", "--", "true")
    assert said.code == 0, said.err
    assert said.data["timer"]["until"]
    moved = (await land.cli("timer", lease, "--extend", "2h", "--json")).data
    assert moved["until"] > said.data["timer"]["until"]
    assert (await land.cli("show", lease, "--json")).data["timer"] == moved["until"]
    assert (await land.cli("timer", lease, "--for", "1h", "--off")).code == 2
    assert (await land.cli("timer", lease, "--until", "2001-01-01T00:00")).code == 2
    assert (await land.cli("timer", lease, "--off", "--json")).data["until"] is None
    assert (await land.cli("show", lease, "--json")).data["timer"] is None
    assert (await land.cli("release", lease)).code == 0
    assert (await land.cli("timer", lease)).code == 6


async def test_a_trip_without_for_says_that_it_has_no_timer(ground: Ground) -> None:
    told = [event.text for event in ground.person.events if event.kind is EventKind.TIMER]
    assert len(told) == 1
    assert "no timer in the machine" in told[0]


async def test_a_dead_mans_switch_is_moved_on_while_somebody_watches(tmp_path: Path) -> None:
    """The job takes longer than the switch: it ends well only because the monitor moves the switch on."""
    person = Person()
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("import time\ntime.sleep(13)\n")
    async with world(tmp_path, speed=600) as land:
        land.extra["GPURENT_GUARD_TIMER"] = "100m"
        async with land.application(person) as application:
            await enter(application, land)
            end = await application.trips.run(
                TripSpec(
                    upload=Upload(folder=str(folder)), job=JobSpec(command=("train.py",)), provider="mistgpu"
                )
            )
            assert end.exit_code == 0
            assert end.receipt is not None
            assert end.receipt.started_at is not None
            assert end.receipt.ended_at is not None
            assert end.receipt.ended_at - end.receipt.started_at > 100 * MINUTE
    told = [event for event in person.events if event.kind in (EventKind.TIMER, EventKind.TIME_LEFT)]
    assert told[0].text.startswith("the machine shuts itself at")
    assert told[1].kind is EventKind.TIME_LEFT
    assert told[1].data["decided_by"] == "balance"
    assert told[1].text.startswith("time left: ")


def test_when_a_machine_gets_a_timer() -> None:
    def when(
        term: timedelta | None = None, tariff: Metered | Prepaid = METER, **written: Any
    ) -> datetime | None:
        lease = Lease(
            id="x-1",
            provider="x",
            offer=Offer(key="1", provider="x", hardware=Hardware(), tariff=tariff),
            started_at=NOW - HOUR,
        )
        return timer_deadline(lease, TripLimits(term=term), GuardPolicy(**written), NOW)

    assert when() is None
    assert when(3 * HOUR) == NOW + 2 * HOUR + 30 * MINUTE, "from the start, with a margin"
    assert when(3 * HOUR, timer=5 * MINUTE) == NOW + 2 * HOUR + 5 * MINUTE
    assert when(timer=4 * HOUR) == NOW + 4 * HOUR
    assert when(3 * HOUR, timer_off=True) is None
    assert when(24 * HOUR, tariff=Prepaid(price=PRICE), timer=HOUR) is None, "it ends by itself"
