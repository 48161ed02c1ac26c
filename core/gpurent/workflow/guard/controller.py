"""One lease: look, decide, act. What fails is reported once and tried again; it never reaches the other leases.

What costs money or ends something is a trip: a guard that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripRecord
from gpurent.errors import Busy, UsageError
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.guard.decide import (
    Action,
    AskTopUp,
    End,
    EndTimer,
    Finish,
    KeepAwake,
    Renew,
    Save,
    Warn,
    decide,
    holding,
    next_look,
)
from gpurent.workflow.guard.ends import Ends, Saves, finish_by
from gpurent.workflow.guard.facts import Facts
from gpurent.workflow.guard.observe_lease import LeaseObserver, StoreObserver
from gpurent.workflow.guard.observe_provider import ObservedProvider
from gpurent.workflow.guard.purchases import Renewals, RenewalUnfunded, TopUps
from gpurent.workflow.guard.records import ActionLog, action_kind
from gpurent.workflow.guard.warnings import BACKOFF, GuardWarnings, backoff, trouble_of
from gpurent.workflow.timing.guard_policy import GuardPolicy
from gpurent.workflow.timing.timers import TripTimers
from gpurent.workflow.trips.operations import Trips

SOON = timedelta(minutes=5)
# A trip that is begun and not yet held is only just being started.
FRESH = timedelta(minutes=1)


async def resume_trip(trips: Trips, trip: str) -> None:
    """Walk a trip of the user's to its end; silent when a living process works on it, or has just ended it."""
    try:
        await trips.resume(trip)
    except (Busy, UsageError):
        return


@frozen
class RecordedActions:
    """The actions that are trips. Every one can be repeated: what was done is recalled."""

    log: ActionLog
    renewals: Renewals
    saves: Saves
    ends: Ends

    async def carry_on(self, record: TripRecord) -> None:
        """Do what the trip was begun for, if it is not done; held by another process: `Busy`."""
        if not record.under_way:
            return
        kind, trip = action_kind(record.id), self.log.context_of(record.id)
        with self.log.lock_trip(record.id):
            if kind == "renew":
                await self.renewals.carry_on(trip, record)
            elif kind == "save":
                await self.saves.carry_on(trip, record)
            else:
                await self.ends.carry_on(trip, record)

    async def renew(self, lease: Lease, action: Renew) -> None:
        await self.carry_on(await self.renewals.begin(lease, action))

    async def save(self, lease: Lease, action: Save) -> None:
        record = self.saves.begin(lease)
        if record is not None:
            await finish_by(self.log.clock, action.by, self.carry_on(record))

    async def end(self, lease: Lease, action: End) -> None:
        await self.carry_on(self.ends.begin(lease, action))


@frozen
class GuardTimers:
    """The timers inside the machines. Every call opens a connection of its own, and ends within `SOON`."""

    connections: Connections
    timers: TripTimers
    observed: StoreObserver
    clock: Clock

    async def keep_awake(self, lease: Lease) -> None:
        """Idempotent: a deadline that is later already stays."""
        trip = self.observed.trip_of(lease.id)
        if trip is not None:
            async with self.connections.to(lease.id, trip.id) as connection:
                work = self.timers.keep_awake(connection, trip.spec)
                await finish_by(self.clock, self.clock.now() + SOON, work)

    async def end_timer(self, lease: Lease) -> None:
        async with self.connections.to(lease.id) as connection:
            await finish_by(self.clock, self.clock.now() + SOON, self.timers.end_timer(connection))


@frozen
class GuardActions:
    recorded: RecordedActions
    topups: TopUps
    timers: GuardTimers
    trips: Trips
    warnings: GuardWarnings

    async def perform(self, facts: Facts, policy: GuardPolicy, action: Action) -> None:
        """Raises what the action fails with."""
        lease = facts.lease
        match action:
            case Warn():
                self.warnings.warn_of_limit(facts, action)
            case Renew():
                await self._renew(lease, policy, action)
            case AskTopUp(amount=amount):
                await self.topups.ask(lease.provider, amount)
            case Save():
                await self.recorded.save(lease, action)
            case End():
                await self.recorded.end(lease, action)
            case KeepAwake():
                await self.timers.keep_awake(lease)
            case EndTimer():
                await self.timers.end_timer(lease)
            case Finish(trip=trip):
                await resume_trip(self.trips, trip)

    async def _renew(self, lease: Lease, policy: GuardPolicy, action: Renew) -> None:
        try:
            await self.recorded.renew(lease, action)
        except RenewalUnfunded as error:
            if policy.top_up is None:
                raise
            missing = error.needed.ceiling - error.needed.balance
            await self.topups.ask(lease.provider, policy.top_up, missing)


@frozen
class Leftovers:
    """Carries on what was left half done: by an earlier guard, or by a command of the user's that was killed."""

    log: ActionLog
    actions: RecordedActions
    trips: Trips
    leases: LeaseStore

    async def take_over(self, lease: Lease) -> list[str]:
        """The guard's own actions on ``lease``, then renewals and releases of the user's; what failed, in words."""
        troubles = [
            await trouble_of(self.actions.carry_on(record))
            for record in self.log.of_lease(lease.id)
            if record.under_way and not self.actions.ends.drop_if_outdated(record)
        ]
        for record in self.log.store.trips(lease.id):
            old = self.log.clock.now() - record.begun_at > FRESH
            if record.kind in ("renew", "release") and record.under_way and old:
                troubles.append(await trouble_of(resume_trip(self.trips, record.id)))
        return troubles

    async def finish_ended(self) -> Mapping[str, str]:
        """Actions whose lease is over, and that were not written to their end; what failed, by the lease's id."""
        troubles: dict[str, str] = {}
        for record in self.log.under_way():
            lease = self.leases.lease(record.lease) if record.lease else None
            if lease is not None and lease.over:
                troubles[lease.id] = await trouble_of(self.actions.carry_on(record))
        return troubles


@frozen(kw_only=True)
class GuardLook:
    """What one look came to: for the report of ``--once`` and for planning the ``next`` one."""

    facts: Facts
    actions: Sequence[Action]
    next: timedelta
    trouble: str = ""


@frozen
class GuardController:
    observer: LeaseObserver
    actions: GuardActions
    leftovers: Leftovers
    warnings: GuardWarnings

    async def look_after(self, lease: Lease, provider: ObservedProvider) -> GuardLook:
        """Raises only what the policy or the Store fails with."""
        memories = self.warnings.memories
        memory = memories.of(lease.id)
        troubles = await self.leftovers.take_over(lease)
        facts, policy, trouble = await self.observer.observe(lease, provider, memory)
        troubles += [trouble, await trouble_of(self.warnings.warn_of_time(facts))]
        actions = decide(facts, policy)
        troubles += [await trouble_of(self.actions.perform(facts, policy, action)) for action in actions]
        held = holding(facts, policy)
        memory.said = {key: at for key, at in memory.said.items() if key in held}
        memories.save(lease.id)
        trouble = "; ".join(dict.fromkeys(filter(None, troubles)))
        failures = self.warnings.report_trouble(lease.id, trouble)
        wait = next_look(facts, policy)
        if trouble:
            wait = min(max(wait, BACKOFF), backoff(failures, 4))
        return GuardLook(facts=facts, actions=actions, next=wait, trouble=trouble)

    async def tidy(self) -> None:
        """What is left of leases that are over."""
        for lease, trouble in (await self.leftovers.finish_ended()).items():
            self.warnings.report_trouble(lease, trouble)
        self.warnings.warn_of_kept_files(self.leftovers.leases.leases(), self.observer.clock.now())
