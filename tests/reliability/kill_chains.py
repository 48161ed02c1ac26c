"""R1: one command after the other is killed, each a little further on, and resumed until it is through."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.reliability.actions import UserAction, find_lease, make_plan, type_action
from tests.reliability.judge import Loss, judge
from tests.reliability.providers import list_seed_providers
from tests.reliability.recovery import settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import KillPoint, TypedCommand, UserSandbox, open_user_sandbox

MAX_KILLS = 60
FIRST_SPANS = {"await": 45, "sql": 25, "http": 6, "rename": 3}
"""Each kill falls on a random point of so many; the span grows, so that every chain gets through."""
SPAN_GROWTH = 1.1


async def kill_chain(kind: str, seed: int) -> SeedResult:
    """Go through one history whose processes are all killed at points of ``kind``; each kill is one case."""
    rng = random.Random(f"{kind}-{seed}")
    providers = list_seed_providers()
    async with open_user_sandbox(providers[seed % len(providers)]) as user:
        chain = _Chain(user, kind, rng)
        return await report_seed(user, chain.run_all, lambda: chain.kills)


class _Chain:
    def __init__(self, user: UserSandbox, kind: str, rng: random.Random) -> None:
        self.kills = 0
        self._open_trip = ""
        self._user, self._kind, self._rng = user, kind, rng

    async def run_all(self) -> list[Loss]:
        plan = make_plan(self._user, self._rng)
        lease = ""
        for action in plan:
            lease = await find_lease(self._user, over=action.name == "restart") or lease
            if action.needs_lease and not lease:
                break
            await self._run_through(action, lease)
        await settle(self._user)
        return await judge(self._user, [action.project for action in plan if action.project], must_end=True)

    async def _run_through(self, action: UserAction, lease: str) -> None:
        span = float(FIRST_SPANS[self._kind])
        self._open_trip = ""
        before = len(await self._list_trips())
        typed: TypedCommand | None = await type_action(self._user, action, lease, self._draw(span))
        for _number in range(MAX_KILLS):
            if typed is None or not typed.was_killed:
                return
            self.kills += 1
            span *= SPAN_GROWTH
            typed = await self._go_on(action, lease, before, self._draw(span))

    def _draw(self, span: float) -> KillPoint:
        return KillPoint(kind=self._kind, number=self._rng.randint(1, int(span)))

    async def _go_on(
        self, action: UserAction, lease: str, before: int, kill: KillPoint
    ) -> TypedCommand | None:
        """Resume the open trip, or type the command again if it left no trip. None: its trip has ended."""
        if not self._open_trip:
            trips = await self._list_trips()
            still_open = [str(trip["id"]) for trip in trips if trip["ended_at"] is None]
            if not still_open:
                return None if len(trips) > before else await type_action(self._user, action, lease, kill)
            self._open_trip = still_open[-1]
        return await self._user.type_command("resume", self._open_trip, kill=kill)

    async def _list_trips(self) -> Sequence[Mapping[str, Any]]:
        return (await self._user.type_command("trips")).data or []
