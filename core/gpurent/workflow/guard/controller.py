"""One lease: look, decide, act. What fails is told once and tried again; it never reaches the other leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.time_left import TimeLeft
from gpurent.errors import GpurentError, UsageError
from gpurent.locale import _
from gpurent.workflow.guard.action_log import unfinished
from gpurent.workflow.guard.actions import GuardActions
from gpurent.workflow.guard.decide import (
    Action,
    AskTopUp,
    End,
    Finish,
    KeepAwake,
    Reason,
    Renew,
    Save,
    Warn,
    decide,
    holding,
    next_look,
)
from gpurent.workflow.guard.facts import Facts
from gpurent.workflow.guard.month import Month, month_of
from gpurent.workflow.guard.observe import (
    SCOPE,
    Memory,
    Trip,
    facts,
    idle_since,
    machine,
    recall,
    remember,
    trip_of,
)
from gpurent.workflow.guard.policy import Policy
from gpurent.workflow.guard.renewals import Short
from gpurent.workflow.guard.topups import TopUps
from gpurent.workflow.timing import alarms as alarm

if TYPE_CHECKING:
    from gpurent.workflow.trips.operations import Service

BACKOFF = timedelta(minutes=1)
SLOWEST = timedelta(minutes=16)
# A trip that is begun and not yet held is only just being started.
FRESH = timedelta(minutes=1)


@frozen(kw_only=True)
class Looked:
    """What one look came to: for the report of ``--once`` and for planning the next one."""

    facts: Facts
    actions: Sequence[Action]
    next: timedelta
    trouble: str = ""


@frozen(kw_only=True)
class Account:
    """What all leases of one shop share: whether its balance is short, and what the month's budgets leave."""

    topping: bool
    month: Month | None


@define
class GuardController:
    """Bound to a `Service`; holds what is remembered of each lease."""

    service: Service
    deeds: GuardActions
    topups: TopUps
    gate: asyncio.Semaphore
    memories: dict[str, Memory]

    @classmethod
    def of(cls, service: Service, machines: int) -> GuardController:
        return cls(service, GuardActions(service), TopUps(service.desk), asyncio.Semaphore(machines), {})

    async def account(self, provider: str) -> Account:
        topping = await self.topups.watch(provider)
        return Account(topping=topping, month=await month_of(self.service.desk, provider))

    def _memory(self, lease: str) -> Memory:
        if lease not in self.memories:
            self.memories[lease] = recall(self.service.desk, lease)
        return self.memories[lease]

    async def mind(self, lease: Lease, time: TimeLeft, policy: Policy, account: Account) -> Looked:
        """Never raises but when it is cancelled."""
        memory = self._memory(lease.id)
        troubles = await self._take_over(lease)
        desk = self.service.desk
        lease = desk.journal.lease(lease.id) or lease
        trip = trip_of(desk, lease)
        troubles.append(await self._machine(lease, policy, trip, memory))
        known = facts(desk, lease, time, policy, trip, memory)
        known = evolve(known, topping=account.topping, month=account.month)
        troubles.append(await self._tried(partial(self._alarm, known)))
        actions = decide(known, policy)
        for action in actions:
            troubles.append(await self._tried(partial(self._act, known, policy, action)))
        held = holding(known, policy)
        memory.said = {key: at for key, at in memory.said.items() if key in held}
        remember(desk, lease.id, memory)
        trouble = "; ".join(dict.fromkeys(text for text in troubles if text))
        self._told(lease, memory, trouble)
        wait = next_look(known, policy)
        if trouble:
            wait = min(max(wait, BACKOFF), BACKOFF * 2 ** min(memory.failures, 4), SLOWEST)
        return Looked(facts=known, actions=actions, next=wait, trouble=trouble)

    async def tidy(self) -> None:
        """Deeds whose lease is over, and that a guard which was killed did not write to their end."""
        journal = self.service.desk.journal
        for row in journal.trips_under_way():
            lease = journal.lease(row.lease) if row.kind == SCOPE and row.lease else None
            if lease is not None and lease.over:
                trouble = await self._tried(partial(self.deeds.carry_on, row))
                self._told(lease, self._memory(lease.id), trouble)

    async def _tried(self, action: Callable[[], Awaitable[None]]) -> str:
        """Why ``action`` failed, empty if it did not."""
        try:
            await action()
        except GpurentError as error:
            return f"{error.message} {error.hint}".strip()
        except Exception as error:  # noqa: BLE001 - one broken lease must not end the watch over the others
            return f"{type(error).__name__}: {error}"
        return ""

    def _told(self, lease: Lease, memory: Memory, trouble: str) -> None:
        """Told when it is new, and when it is over."""
        desk = self.service.desk
        if trouble and trouble != memory.told:
            desk.tell(EventKind.WARNING, f"{lease.id}: {trouble}", lease=lease.id)
        elif memory.told and not trouble:
            desk.tell(
                EventKind.WARNING, _("{lease}: all is well again").format(lease=lease.id), lease=lease.id
            )
        memory.failures = memory.failures + 1 if trouble else 0
        memory.told = trouble

    async def _take_over(self, lease: Lease) -> list[str]:
        """What an earlier guard, or a renewal or return of the user's, left half done."""
        troubles = []
        for row in unfinished(self.service.desk, lease.id):
            if self.deeds.interrupted(row):
                continue
            troubles.append(await self._tried(partial(self.deeds.carry_on, row)))
        desk = self.service.desk
        for row in desk.journal.trips(lease.id):
            old = desk.clock.now() - row.begun_at > FRESH
            if row.kind in ("renew", "release") and not row.outcome and old:
                troubles.append(await self._tried(partial(self._resume, row.id)))
        return troubles

    async def _resume(self, trip: str) -> None:
        try:
            await self.service.resume(trip)
        except UsageError:
            # A living process works on it, or has just ended it.
            return

    async def _machine(self, lease: Lease, policy: Policy, trip: Trip | None, memory: Memory) -> str:
        """Look at the machine when it is time to, and somebody wants to know."""
        desk = self.service.desk
        wanted = policy.idle is not None or (trip is not None and trip.launched)
        if lease.state is not LeaseState.READY or not wanted:
            return ""
        every = policy.look if policy.idle is None else min(policy.look, policy.idle / 3)
        seen = memory.machine
        if seen is not None and timedelta() <= desk.clock.now() - seen.at < every:
            return ""

        async def look() -> None:
            async with self.gate:
                found = await machine(desk, lease, trip, seen)
            memory.machine = found
            memory.idle_since = idle_since(found, memory.idle_since, policy.idle_load)

        return await self._tried(look)

    async def _alarm(self, known: Facts) -> None:
        alarm.mind(self.service.desk, known.lease, known.time, trip=known.trip)

    async def _act(self, known: Facts, policy: Policy, action: Action) -> None:
        lease = known.lease
        match action:
            case Warn():
                self._warn(known, action)
            case Renew():
                await self._renew(lease, policy, action)
            case AskTopUp(amount=amount):
                await self.topups.ask(lease.provider, amount)
            case Save():
                await self.deeds.save(lease, action)
            case End():
                await self.deeds.end(lease, action)
            case KeepAwake():
                await self.deeds.keep_awake(lease)
            case Finish():
                await self._resume(action.trip)

    async def _renew(self, lease: Lease, policy: Policy, action: Renew) -> None:
        try:
            await self.deeds.renew(lease, action)
        except Short as short:
            if policy.top_up is None:
                raise
            least = short.needed.ceiling - short.needed.balance
            await self.topups.ask(lease.provider, policy.top_up, least)

    def _warn(self, known: Facts, action: Warn) -> None:
        text = {
            Reason.IDLE: _("{lease} is idle; it is given back at {at:%Y-%m-%d %H:%M} UTC"),
            Reason.BUDGET: _(
                "the budget for {lease} is nearly used up; it is given back by {at:%Y-%m-%d %H:%M} UTC"
            ),
            Reason.DEADLINE: _("{lease} nears its deadline; it is given back by {at:%Y-%m-%d %H:%M} UTC"),
        }[action.reason].format(lease=known.lease.id, at=action.at)
        self._memory(known.lease.id).said[action.reason.value] = known.now
        self.service.desk.tell(
            EventKind.WARNING, text, trip=known.trip, lease=known.lease.id, reason=action.reason.value
        )
