"""Providers that hang or fail beside ones that answer, and clocks that jump."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from bench.fake_providers import BenchProviders, run_providers
from bench.watch import open_application
from gpurent.composition.application import Application
from gpurent.composition.state import ExternalDependencies
from gpurent.errors import LockLost
from gpurent.infra.clock import WallClock
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.ports.services import Http
from gpurent.testing.fakes.virtual_time import virtual_clock
from gpurent.testing.fakes.virtual_time_http import VirtualTimeHttp
from gpurent.testing.sandbox.clock import SandboxClock
from gpurent.workflow.guard.scheduler import has_clock_jumped
from gpurent.workflow.runtime.waiting import start_detached
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import wait_until_true
from tests.workflow.trip_sandbox import ScriptedUser

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@contextlib.asynccontextmanager
async def open_watcher(
    tmp_path: Path, providers: BenchProviders, user: ScriptedUser, silent: str = ""
) -> AsyncIterator[Application]:
    """Open an application over all providers; it does not wait for answers of the one at ``silent``."""

    def wrap_http(client: Http, url: str) -> Http:
        return client if url == silent else VirtualTimeHttp(client, url)

    outside = ExternalDependencies(clock=virtual_clock(), wrap_http=wrap_http)
    async with open_application(tmp_path / "home", providers, user, outside) as made:
        yield made


@pytest.mark.virtual_time
async def test_hanging_and_failing_providers_delay_no_other(tmp_path: Path) -> None:
    user = ScriptedUser()
    silent = socket.create_server(("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        closed_port = closed.getsockname()[1]
    with run_providers(15, virtual_clock().now()) as providers, contextlib.closing(silent):
        moved = {
            "GPURENT_PROVIDER0_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "GPURENT_PROVIDER1_URL": f"http://127.0.0.1:{closed_port}",
        }
        changed = evolve(providers, environment={**providers.environment, **moved})
        async with (
            open_watcher(tmp_path, changed, user, moved["GPURENT_PROVIDER0_URL"]) as made,
            running_guard(made) as guard,
        ):
            started = made.clock.now()
            # Nine leases of three providers, before the first provider has even failed; and those of the one that
            # refuses, as they were last seen.
            watched = {"provider1", "provider2", "provider3", "provider4"}
            await wait_until_true(lambda: guard.check_count >= 12)
            assert {name.partition("-")[0] for name in guard.results} == watched
            assert guard.polls["provider0"].task is not None
            assert guard.polls["provider0"].failures == 0
            # Twice each, while the first one keeps hanging.
            await wait_until_true(lambda: guard.check_count >= 24)
            assert {name.partition("-")[0] for name in guard.results} >= watched
            assert made.clock.now() - started < timedelta(minutes=25)
            await wait_until_true(lambda: guard.polls["provider1"].failures >= 2)
            messages = [event.text for event in user.events if event.text.startswith("provider1:")]
            assert len(messages) == 1, "failures are told once"


@pytest.mark.virtual_time
async def test_a_recovered_provider_is_reported_and_polled(tmp_path: Path) -> None:
    user = ScriptedUser()
    with run_providers(5, virtual_clock().now()) as providers:
        good = providers.environment["GPURENT_PROVIDER2_URL"]
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        changed = evolve(
            providers,
            environment={**providers.environment, "GPURENT_PROVIDER2_URL": f"http://127.0.0.1:{port}"},
        )
        async with open_watcher(tmp_path, changed, user) as made, running_guard(made) as guard:
            await wait_until_true(lambda: guard.polls and guard.polls["provider2"].failures)
            relay = await asyncio.start_server(lambda r, w: _relay_connection(r, w, good), "127.0.0.1", port)
            async with relay:
                await wait_until_true(lambda: not guard.polls["provider2"].failures)
        assert [event.text for event in user.events if "back to normal" in event.text] == [
            "provider2: back to normal"
        ]


async def _relay_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))

    async def copy(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            drain.write(data)
            await drain.drain()
        drain.close()

    with contextlib.suppress(OSError):
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


@pytest.mark.virtual_time
async def test_a_home_has_one_guard_lock(tmp_path: Path) -> None:
    user = ScriptedUser()
    with run_providers(0, virtual_clock().now()) as providers:
        async with open_watcher(tmp_path, providers, user) as made:
            async with made.guard_lock.acquire(wait=False) as first:
                async with made.guard_lock.acquire(wait=False) as second:
                    assert (first, second) == (True, False)
                waiting = start_detached(_wait_for_lock(made))  # as in another process
                await asyncio.sleep(60)
                assert not waiting.done()
            assert await waiting
            assert made.guard.results == {}


@pytest.mark.virtual_time
async def test_a_guard_that_another_process_replaced_ends(tmp_path: Path) -> None:
    user = ScriptedUser()
    with run_providers(0, virtual_clock().now()) as providers:
        async with (
            open_watcher(tmp_path, providers, user) as made,
            made.guard_lock.acquire(wait=False),
        ):
            running = asyncio.create_task(made.guard.run_forever())
            await asyncio.sleep(60)
            (tmp_path / "home" / "locks" / "guard.lock").unlink()
            await start_detached(_wait_for_lock(made))  # as in another process
            with pytest.raises(LockLost, match="guard was taken over by gpurent"):
                async with asyncio.timeout(600):
                    await running


async def _wait_for_lock(made: Application) -> bool:
    async with made.guard_lock.acquire(wait=True) as acquired:
        return acquired


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
def test_jumps_are_detected_by_the_monotonic_clock(moved: timedelta, real: float, jump: bool) -> None:
    assert has_clock_jumped(WallClock(), NOW, NOW + moved, real) is jump


def test_a_fast_clock_of_a_slow_computer_has_not_jumped(tmp_path: Path) -> None:
    clock = SandboxClock(make_private_folder(tmp_path / "clock") / "clock.json", 60)
    clock.start()
    before = clock.now()
    assert not has_clock_jumped(clock, before, before + timedelta(minutes=30), 30.0)
    clock.advance(timedelta(hours=5))
    assert has_clock_jumped(clock, before, clock.now(), 0.1)
