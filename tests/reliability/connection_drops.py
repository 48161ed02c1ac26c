"""R4: every SSH connection is cut again and again while a job runs; its own counter and its log must have no gap."""

from __future__ import annotations

import asyncio
import random

from tests.reliability.actions import UserAction, make_run, type_action
from tests.reliability.judge import Loss, judge
from tests.reliability.providers import list_seed_providers
from tests.reliability.recovery import settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import UserSandbox, open_user_sandbox

TICKS = 25
TICK_SECONDS = 0.1
DROPS = 8
SESSION_BACKENDS = ("screen", "tmux")


async def drop_connections(seed: int) -> SeedResult:
    """Run one job and cut its connections; each cut that hit one is a case."""
    rng = random.Random(f"drops-{seed}")
    providers = list_seed_providers()
    async with open_user_sandbox(providers[seed % len(providers)]) as user:
        watched = _WatchedJob(user, rng, SESSION_BACKENDS[seed // len(providers) % 2])
        return await report_seed(user, watched.run, lambda: watched.drops)


class _WatchedJob:
    def __init__(self, user: UserSandbox, rng: random.Random, session: str) -> None:
        self.drops = 0
        self._user, self._rng, self._session = user, rng, session

    async def run(self) -> list[Loss]:
        action = self._make_action()
        cutting = asyncio.create_task(self._cut_while_it_runs())
        typed = await type_action(self._user, action, "")
        cutting.cancel()
        await asyncio.wait({cutting})
        losses = []
        if typed.code != 0:
            losses.append(Loss(kind="job not done", text=f"rc {typed.code}: {typed.error.get('message')}"))
        # Each line may be shown once only: a connection that comes back goes on where the last one ended.
        shown = [line for line in typed.err.splitlines() if line.startswith("tick ")]
        if typed.code == 0 and shown != [f"tick {number}" for number in range(1, TICKS + 1)]:
            losses.append(Loss(kind="result lost", text=f"the log shows {shown}"))
        await settle(self._user)
        return [*losses, *await judge(self._user, [1], must_end=True)]

    def _make_action(self) -> UserAction:
        action = make_run(self._user, 1)
        job = self._user.root / "project1" / "job.sh"
        ticks = f"for number in $(seq 1 {TICKS}); do echo tick $number; sleep {TICK_SECONDS}; done\n"
        job.write_text(ticks + job.read_text())
        name, *options = action.arguments
        return UserAction(name="run", arguments=(name, "--session", self._session, *options), project=1)

    async def _cut_while_it_runs(self) -> None:
        while self.drops < DROPS:
            await asyncio.sleep(self._rng.random() * TICKS * TICK_SECONDS / DROPS)
            self.drops += await self._user.sandbox.cloud.cut_connections()
