"""R21: a day of one user with many machines, many terminals and one guard, in which nothing may pile up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from attrs import define, field, frozen

from gpurent.testing.load_timeouts import LoadDeadline, wait_within
from tests.reliability.clients import SoakClient
from tests.reliability.judge import Loss, judge
from tests.reliability.process_readings import (
    find_leaks,
    list_processes,
    read_at_rest,
    read_process,
    read_until_less,
)
from tests.reliability.providers import TestableProvider, list_seed_providers
from tests.reliability.recovery import settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import UserSandbox, open_user_sandbox

HOUR = timedelta(hours=1)
TERM, RENEWAL = "10h", "8h"
RENEW_BEFORE = timedelta(hours=2)
MAX_TIME_LEFT = timedelta(hours=10)
"""Nobody pays for more: a lease is renewed by `RENEWAL` only when no more than `RENEW_BEFORE` of it is left."""
GUARD_SETTINGS = {
    "GPURENT_GUARD_RENEW": RENEWAL,
    "GPURENT_GUARD_RENEW_BEFORE": "2h",
    "GPURENT_GUARD_RENEW_LIMIT": "none",
    "GPURENT_GUARD_IDLE": "20h",  # so that every machine is looked at over SSH
    "GPURENT_GUARD_CHECK_INTERVAL": "30m",
}
CATCH_UP_SECONDS = 60
SETTLE_SECONDS = 30
STOP_SECONDS = 20


@frozen(kw_only=True)
class SoakPlan:
    """``kept``: machines that each client keeps; ``warm_up``: hours after which nothing more may be needed.

    ``rest_seconds``: how long the guard's process is read then; idle connections are closed by then.
    """

    hours: int = 24
    machines: int = 50
    clients: int = 10
    kept: int = 3
    warm_up: int = 4
    rest_seconds: float = 15.0


async def run_soak(seed: int) -> SeedResult:
    """Let one day pass at one provider."""
    providers = list_seed_providers()
    return await soak_provider(providers[seed % len(providers)], SoakPlan(), random.Random(f"soak-{seed}"))


async def soak_provider(provider: TestableProvider, plan: SoakPlan, rng: random.Random) -> SeedResult:
    async with open_user_sandbox(provider, machines=plan.machines) as user:
        user.sandbox.extra_environment.update(GUARD_SETTINGS)
        if provider.renews:
            user.term = ("--for", TERM)
        return await report_seed(user, Soak(user, plan, rng).run_all, lambda: 1)


@define(eq=False)
class Soak:
    """The hours of one sandbox."""

    user: UserSandbox
    plan: SoakPlan
    rng: random.Random
    losses: list[Loss] = field(factory=list)

    async def run_all(self) -> Sequence[Loss]:
        user, plan = self.user, self.plan
        user.notes.append(f"# {user.provider.name}: {plan}")
        seeds = [self.rng.random() for _number in range(plan.clients)]
        clients = [
            SoakClient(number, user, random.Random(seed)) for number, seed in enumerate(seeds, start=1)
        ]
        async with self._running_watch() as watch:
            await self._live_hours(watch, clients, range(1, plan.warm_up + 1))
            early = await read_at_rest(watch.pid, plan.rest_seconds)
            await self._live_hours(watch, clients, range(plan.warm_up + 1, plan.hours + 1))
            late = await read_until_less(watch.pid, early, SETTLE_SECONDS)
            user.notes += [f"# after hour {plan.warm_up} watch needs {early}", f"# in the end {late}"]
            await settle(user)
        self.losses += find_leaks(early, late)
        self.losses += [
            Loss(kind="job not done", text=str(typed)) for client in clients for typed in client.failures
        ]
        jobs = [number for client in clients for number in client.jobs]
        return [*self.losses, *await self._find_lapsed(), *await judge(user, jobs, must_end=True)]

    async def _live_hours(
        self, watch: asyncio.subprocess.Process, clients: Sequence[SoakClient], hours: range
    ) -> None:
        for hour in hours:
            await self._live_hour(hour, clients)
            assert watch.returncode is None, "watch has ended by itself"
            self.user.notes.append(f"# hour {hour}: watch holds {read_process(watch.pid)}")

    async def _live_hour(self, hour: int, clients: Sequence[SoakClient]) -> None:
        user = self.user
        cloud = user.sandbox.cloud
        end = cloud.clock.now() + HOUR
        funding = user.provider.get_funding(cloud.simulators_by_name)
        added = await funding.add_money(user.account)
        user.funded = added if user.funded is None else user.funded + added
        await asyncio.gather(*(client.live_hour(hour, self.plan.kept) for client in clients))
        user.notes.append(f"# hour {hour}: {len(user.list_burning())} machines cost money")
        await cloud.advance(max(timedelta(), end - cloud.clock.now()))
        await self._wait_for_guard(hour)

    async def _wait_for_guard(self, hour: int) -> None:
        """Wait until the guard has finished the detached trips, and has renewed what is due."""
        deadline = LoadDeadline(CATCH_UP_SECONDS)
        while waiting := await self._list_what_is_due():
            if deadline.is_over:
                self.losses.append(Loss(kind="stuck trip", text=f"hour {hour}: watch leaves {waiting}"))
                return
            await asyncio.sleep(0.5)

    async def _list_what_is_due(self) -> list[str]:
        found = list(await self.user.list_open_trips())
        for lease in await self.user.list_living_leases():
            left = lease["time_left"]
            if left["kind"] != "prepaid":
                continue
            span = timedelta(seconds=left["left"])
            if span < RENEW_BEFORE:
                found.append(f"{lease['id']} with {span} left")
            if span > MAX_TIME_LEFT:
                self.losses.append(Loss(kind="payment lost or double", text=f"{lease['id']} has {span} left"))
        return found

    async def _find_lapsed(self) -> list[Loss]:
        ended = (await self.user.type_command("ls", "--all")).data or []
        return [
            Loss(kind="lease lapsed", text=f"{lease['id']} ended at {lease['ended_at']}, though it was kept")
            for lease in ended
            if lease["state"] == "expired"
        ]

    @contextlib.asynccontextmanager
    async def _running_watch(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run `gpurent watch` beside the block; then it has to end by SIGTERM, and nothing may be left of it."""
        log = self.user.root / "watch.log"
        with log.open("wb") as file:
            watch = await self.user.sandbox.start_command("watch", stdout=file.fileno(), stderr=file.fileno())
        try:
            yield watch
            watch.terminate()
            await wait_within(STOP_SECONDS, watch.wait())
        finally:
            if watch.returncode is None:
                watch.kill()
                await watch.wait()
            self.user.notes += [f"[watch] {line}" for line in log.read_text("utf-8").splitlines()]
        if watch.returncode != 0:
            self.losses.append(Loss(kind="crash", text=f"watch ends with {watch.returncode}"))
        self.losses += [
            Loss(kind="leak", text=f"still runs: {line}") for line in list_processes(self.user.root)
        ]
