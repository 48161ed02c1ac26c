"""Shops that hang or fail beside ones that answer, and clocks that jump."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from attrs import evolve

from bench.shops import Town, plugin, portals
from gpurent.infra.clock import WallClock
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.registry import plain
from gpurent.infra.registry.registry import Registry
from gpurent.testing.sandbox.timing import SandboxClock
from gpurent.workflow.guard.scheduler import Guard, jumped
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.trips.operations import Service
from tests.guard.watching import guarding, until
from tests.workflow.world import Person

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@contextlib.asynccontextmanager
async def desk(tmp_path: Path, town: Town, clock: SandboxClock, person: Person) -> AsyncIterator[Desk]:
    module = ModuleType("gpurent_bench_shops")
    vars(module).update(plugin())
    registry = Registry.load(builtin=[plain, module], points=())
    environment = {"GPURENT_CLOCK": f"file:{clock.path}", **town.environment}
    made = Desk(registry, tmp_path / "home", person, environment)
    try:
        for lease in town.leases:
            made.journal.keep_lease(lease)
        yield made
    finally:
        await made.close()


@pytest.fixture
def clock(tmp_path: Path) -> SandboxClock:
    made = SandboxClock(private_folder(tmp_path / "clock") / "clock.json", 60)
    made.start()
    return made


async def test_one_shop_that_hangs_and_one_that_fails_delay_nobody(
    tmp_path: Path, clock: SandboxClock
) -> None:
    person = Person()
    silent = socket.create_server(("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    with portals(15, clock.now()) as town, contextlib.closing(silent):
        moved = {
            "GPURENT_SHOP0_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "GPURENT_SHOP1_URL": f"http://127.0.0.1:{dead}",
        }
        odd = evolve(town, environment={**town.environment, **moved})
        async with desk(tmp_path, odd, clock, person) as made, guarding(Service(made)) as guard:
            # Nine leases of three shops, twice each, while the first shop has not even failed yet.
            await until(lambda: guard.looks >= 18, patience=25)
            assert {name.partition("-")[0] for name in guard.looked} == {"shop2", "shop3", "shop4"}
            assert guard.beats["shop0"].task is not None
            await until(lambda: guard.beats["shop1"].failures >= 2, patience=25)
            told = [event.text for event in person.events if event.text.startswith("shop1")]
            assert len(told) == 1, "failures are told once"


async def test_a_shop_that_is_back_is_told_of_and_looked_at(tmp_path: Path, clock: SandboxClock) -> None:
    person = Person()
    with portals(5, clock.now()) as town:
        good = town.environment["GPURENT_SHOP2_URL"]
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        odd = evolve(town, environment={**town.environment, "GPURENT_SHOP2_URL": f"http://127.0.0.1:{port}"})
        async with desk(tmp_path, odd, clock, person) as made, guarding(Service(made)) as guard:
            await until(lambda: guard.beats and guard.beats["shop2"].failures, patience=25)
            relay = await asyncio.start_server(lambda r, w: _relay(r, w, good), "127.0.0.1", port)
            async with relay:
                await until(lambda: any(name.startswith("shop2") for name in guard.looked), patience=25)
        assert [event.text for event in person.events if "answers again" in event.text] == [
            "shop2 answers again"
        ]


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))

    async def copy(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            drain.write(data)
            await drain.drain()
        drain.close()

    with contextlib.suppress(OSError):
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def test_the_lock_of_a_home_is_one(tmp_path: Path, clock: SandboxClock) -> None:
    from gpurent.workflow.guard.guard_lock import alone

    person = Person()
    with portals(0, clock.now()) as town:
        async with desk(tmp_path, town, clock, person) as made:
            async with alone(made, wait=False) as first:
                async with alone(made, wait=False) as second:
                    assert (first, second) == (True, False)
                waiting = asyncio.create_task(_wait(made))
                await asyncio.sleep(0)
            assert await waiting
            assert Guard.of(Service(made)).looked == {}


async def _wait(made: Desk) -> bool:
    from gpurent.workflow.guard.guard_lock import alone

    async with alone(made, wait=True) as mine:
        return mine


@pytest.mark.parametrize(
    ("moved", "real", "jump"),
    [
        (timedelta(seconds=15), 15.0, False),
        (timedelta(seconds=15.4), 15.0, False),
        (timedelta(hours=8), 15.0, True),
        (timedelta(days=15), 15.0, True),
        (-timedelta(hours=1), 15.0, True),
        (-timedelta(days=15), 15.0, True),
        (timedelta(minutes=1), 60.0, False),
        (timedelta(0), 300.0, True),
    ],
)
def test_a_jump_is_known_by_a_clock_that_nobody_can_set(moved: timedelta, real: float, jump: bool) -> None:
    assert jumped(WallClock(), NOW, NOW + moved, real) is jump


def test_a_fast_clock_of_a_slow_computer_has_not_jumped(clock: SandboxClock) -> None:
    before = clock.now()
    assert not jumped(clock, before, before + timedelta(minutes=30), 30.0)
    clock.advance(timedelta(hours=5))
    assert jumped(clock, before, clock.now(), 0.1)
