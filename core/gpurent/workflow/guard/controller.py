"""One lease: look, decide, act. What fails is reported once and tried again; it never reaches the other leases.

What costs money or ends something is a trip: a guard that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripRecord
from gpurent.errors import BusyError, UsageError
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
    active_warnings,
    decide_actions,
    next_check_delay,
)
from gpurent.workflow.guard.ends import LeaseEndings, ResultSaves, finish_by
from gpurent.workflow.guard.facts import LeaseFacts
from gpurent.workflow.guard.observe_lease import LeaseObserver, StoreObserver
from gpurent.workflow.guard.observe_provider import ObservedProvider
from gpurent.workflow.guard.purchases import LeaseRenewals, RenewalUnfunded, TopUpRequests
from gpurent.workflow.guard.saved_state import ActionLog, parse_action_kind
from gpurent.workflow.guard.warnings import BACKOFF_BASE, GuardWarnings, backoff_delay, catch_failure
from gpurent.workflow.timing.guard_policy import GuardPolicy
from gpurent.workflow.timing.timers import TripTimers
from gpurent.workflow.trips.operations import Trips

TIMER_TIMEOUT = timedelta(minutes=5)
# A trip that is begun and not yet held is only just being started.
MIN_TRIP_AGE = timedelta(minutes=1)


async def resume_trip(trips: Trips, trip: str) -> None:
    """Walk a trip of the user's to its end; silent when a living process works on it, or has just ended it."""
    try:
        await trips.resume(trip)
    except (BusyError, UsageError):
        return


@frozen
class RecordedActions:
    """The actions that are trips. Every one can be repeated: what was done is recalled."""

    log: ActionLog
    renewals: LeaseRenewals
    saves: ResultSaves
    endings: LeaseEndings

    async def resume_action(self, record: TripRecord) -> None:
        """Do what the trip was begun for, if it is not done; held by another process: `BusyError`."""
        if not record.is_open:
            return
        kind, trip = parse_action_kind(record.id), self.log.context_of(record.id)
        with self.log.lock_trip(record.id):
            if kind == "renew":
                await self.renewals.resume_renewal(trip, record)
            elif kind == "save":
                await self.saves.resume_save(trip, record)
            else:
                await self.endings.resume_ending(trip, record)

    async def renew_lease(self, lease: Lease, action: Renew) -> None:
        await self.resume_action(await self.renewals.begin_renewal(lease, action))

    async def save_results(self, lease: Lease, action: Save) -> None:
        record = self.saves.begin_save(lease)
        if record is not None:
            await finish_by(self.log.clock, action.by, self.resume_action(record))

    async def end_lease(self, lease: Lease, action: End) -> None:
        await self.resume_action(self.endings.begin_ending(lease, action))


@frozen
class GuardTimers:
    """The timers inside the machines. Every call opens a connection of its own, and ends within `SOON`."""

    connections: Connections
    timers: TripTimers
    store_observer: StoreObserver
    clock: Clock

    async def extend_if_due(self, lease: Lease) -> None:
        """Idempotent: a deadline that is later already stays."""
        trip = self.store_observer.find_trip(lease.id)
        if trip is not None:
            async with self.connections.make_connection(lease.id, trip.id) as connection:
                work = self.timers.extend_if_due(connection, trip.spec)
                await finish_by(self.clock, self.clock.now() + TIMER_TIMEOUT, work)

    async def disarm_timer(self, lease: Lease) -> None:
        async with self.connections.make_connection(lease.id) as connection:
            await finish_by(
                self.clock, self.clock.now() + TIMER_TIMEOUT, self.timers.disarm_timer(connection)
            )


@frozen
class GuardActions:
    recorded: RecordedActions
    topups: TopUpRequests
    timers: GuardTimers
    trips: Trips
    warnings: GuardWarnings

    async def perform_action(self, facts: LeaseFacts, policy: GuardPolicy, action: Action) -> None:
        """Raises what the action fails with."""
        lease = facts.lease
        match action:
            case Warn():
                self.warnings.warn_of_limit(facts, action)
            case Renew():
                await self._renew_or_top_up(lease, policy, action)
            case AskTopUp(amount=amount):
                await self.topups.request_top_up(lease.provider, amount)
            case Save():
                await self.recorded.save_results(lease, action)
            case End():
                await self.recorded.end_lease(lease, action)
            case KeepAwake():
                await self.timers.extend_if_due(lease)
            case EndTimer():
                await self.timers.disarm_timer(lease)
            case Finish(trip_id=trip):
                await resume_trip(self.trips, trip)

    async def _renew_or_top_up(self, lease: Lease, policy: GuardPolicy, action: Renew) -> None:
        try:
            await self.recorded.renew_lease(lease, action)
        except RenewalUnfunded as error:
            if policy.top_up is None:
                raise
            missing = error.funding.ceiling - error.funding.balance
            await self.topups.request_top_up(lease.provider, policy.top_up, missing)


@frozen
class UnfinishedActions:
    """Carries on what was left half done: by an earlier guard, or by a command of the user's that was killed."""

    log: ActionLog
    actions: RecordedActions
    trips: Trips
    leases: LeaseStore

    async def resume_unfinished(self, lease: Lease) -> list[str]:
        """The guard's own actions on ``lease``, then renewals and releases of the user's; what failed, in words."""
        troubles = [
            await catch_failure(self.actions.resume_action(record))
            for record in self.log.list_lease_actions(lease.id)
            if record.is_open and not self.actions.endings.cancel_if_outdated(record)
        ]
        for record in self.log.store.list_trips(lease.id):
            old = self.log.clock.now() - record.begun_at > MIN_TRIP_AGE
            if record.kind in ("renew", "release") and record.is_open and old:
                troubles.append(await catch_failure(resume_trip(self.trips, record.id)))
        return troubles

    async def finish_ended_leases(self) -> Mapping[str, str]:
        """Actions whose lease is over, and that were not written to their end; what failed, by the lease's id."""
        troubles: dict[str, str] = {}
        for record in self.log.list_open_actions():
            lease = self.leases.find_lease(record.lease) if record.lease else None
            if lease is not None and lease.is_over:
                troubles[lease.id] = await catch_failure(self.actions.resume_action(record))
        return troubles


@frozen(kw_only=True)
class GuardResult:
    """What one look came to: for the report of ``--once``; the next one is due after ``next_delay``."""

    facts: LeaseFacts
    actions: Sequence[Action]
    next_delay: timedelta
    failure: str = ""


@frozen
class GuardController:
    observer: LeaseObserver
    actions: GuardActions
    unfinished: UnfinishedActions
    warnings: GuardWarnings

    async def guard_lease(self, lease: Lease, provider: ObservedProvider) -> GuardResult:
        """Raises only what the policy or the Store fails with."""
        memories = self.warnings.memories
        memory = memories.get_memory(lease.id)
        troubles = await self.unfinished.resume_unfinished(lease)
        facts, policy, trouble = await self.observer.observe_lease(lease, provider, memory)
        troubles += [trouble, await catch_failure(self.warnings.warn_of_time(facts))]
        actions = decide_actions(facts, policy)
        troubles += [
            await catch_failure(self.actions.perform_action(facts, policy, action)) for action in actions
        ]
        held = active_warnings(facts, policy)
        memory.warned_at = {key: at for key, at in memory.warned_at.items() if key in held}
        memories.save_memory(lease.id)
        trouble = "; ".join(dict.fromkeys(filter(None, troubles)))
        failures = self.warnings.report_failure(lease.id, trouble)
        wait = next_check_delay(facts, policy)
        if trouble:
            wait = min(max(wait, BACKOFF_BASE), backoff_delay(failures, 4))
        return GuardResult(facts=facts, actions=actions, next_delay=wait, failure=trouble)

    async def clean_up(self) -> None:
        """What is left of leases that are over."""
        for lease, trouble in (await self.unfinished.finish_ended_leases()).items():
            self.warnings.report_failure(lease, trouble)
        self.warnings.warn_of_kept_files(self.unfinished.leases.list_leases(), self.observer.clock.now())
