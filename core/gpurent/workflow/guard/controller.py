"""The control loop of one lease: observe, decide, act.

A failure is reported once and retried; it never affects other leases. Actions that cost money or end something are
trips, so a guard that was killed resumes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from attrs import frozen

from gpurent.domain.guard_actions import ActionKind
from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripRecord
from gpurent.errors import BusyError, StorageError
from gpurent.locale import join_clauses
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.guard.decide import (
    Action,
    AskTopUp,
    EndLease,
    EndReason,
    ExtendTimer,
    FinishTrip,
    RemoveTimer,
    Renew,
    SaveResults,
    WarnOfLimit,
    active_warnings,
    decide_actions,
    next_check_delay,
)
from gpurent.workflow.guard.facts import LeaseFacts
from gpurent.workflow.guard.lease_endings import LeaseEndings, SaveActions, run_with_deadline
from gpurent.workflow.guard.observe_lease import GuardedLeaseObserver, StoreObserver
from gpurent.workflow.guard.observe_provider import ObservedProvider
from gpurent.workflow.guard.purchases import LeaseRenewals, RenewalUnfunded, TopUpRequests
from gpurent.workflow.guard.saved_state import ActionLog, is_action
from gpurent.workflow.guard.warnings import BACKOFF_BASE, GuardWarnings, backoff_delay, catch_failure
from gpurent.workflow.timing.guard_policy import GuardPolicy
from gpurent.workflow.timing.timers import TripTimers
from gpurent.workflow.trips.operations import Trips

TIMER_TIMEOUT = timedelta(minutes=5)
# A younger trip without a lock is probably just being started.
MIN_TRIP_AGE = timedelta(minutes=1)


async def resume_trip(trips: Trips, trip: str) -> None:
    """Resume a user's trip to its end; do nothing if another process works on it, or if it has just ended."""
    if not (await trips.trip_tracker.get_trip(trip)).is_open:
        return
    with suppress(BusyError):
        await trips.resume(trip)


@frozen
class RecordedActions:
    """The guard's actions that are recorded as trips. All can be repeated: completed steps are not run again."""

    log: ActionLog
    renewals: LeaseRenewals
    saves: SaveActions
    endings: LeaseEndings

    async def resume_action(self, record: TripRecord) -> None:
        """Resume the action of ``record`` unless it is done. Raises `BusyError` if another process holds it."""
        if not record.is_open:
            return
        trip = self.log.context_of(record.id)
        async with self.log.lock_trip(record.id):
            if is_action(record, ActionKind.RENEW):
                await self.renewals.resume_renewal(trip, record)
            elif is_action(record, ActionKind.SAVE):
                await self.saves.resume_save(trip, record)
            else:
                await self.endings.resume_ending(trip, record)

    async def renew_lease(self, lease: Lease, action: Renew) -> None:
        await self.resume_action(await self.renewals.begin_renewal(lease, action))

    async def save_results(self, lease: Lease, action: SaveResults) -> None:
        record = await self.saves.begin_save(lease)
        if record is not None:
            await run_with_deadline(self.log.clock_of(lease.provider), action.by, self.resume_action(record))

    async def end_lease(self, lease: Lease, action: EndLease) -> None:
        await self.resume_action(await self.endings.begin_ending(lease, action))


@frozen
class GuardTimers:
    """The timers inside the machines. Each call opens its own connection and ends within `TIMER_TIMEOUT`."""

    connections: Connections
    timers: TripTimers
    store_observer: StoreObserver
    clock: Clock

    async def extend_if_due(self, lease: Lease) -> None:
        """Extend the lease's timer if it is due. Idempotent: a later deadline is never moved back."""
        trip = await self.store_observer.find_trip(lease.id)
        if trip is not None:
            async with self.connections.make_connection(lease.id, trip.id) as connection:
                work = self.timers.extend_if_due(connection, trip.spec)
                await run_with_deadline(self.clock, self.clock.now() + TIMER_TIMEOUT, work)

    async def disarm_timer(self, lease: Lease) -> None:
        async with self.connections.make_connection(lease.id) as connection:
            await run_with_deadline(
                self.clock, self.clock.now() + TIMER_TIMEOUT, self.timers.disarm_timer(connection)
            )


@frozen
class GuardActions:
    """``release_unrecorded(lease_id)`` releases a machine where the Store cannot be written."""

    recorded: RecordedActions
    topups: TopUpRequests
    timers: GuardTimers
    trips: Trips
    warnings: GuardWarnings
    release_unrecorded: Callable[[str], Awaitable[None]]

    async def perform_action(self, facts: LeaseFacts, policy: GuardPolicy, action: Action) -> str:
        """Perform ``action``, or what has to be done first; return the name of what was done. Its errors propagate."""
        lease = facts.lease
        match action:
            case WarnOfLimit():
                await self.warnings.warn_of_limit(facts, action)
            case Renew():
                return await self._renew_or_top_up(lease, policy, action)
            case AskTopUp(amount=amount):
                await self.topups.request_top_up(lease.provider, amount)
            case SaveResults():
                await self.recorded.save_results(lease, action)
            case EndLease():
                await self._end_lease(facts, action)
            case ExtendTimer():
                await self.timers.extend_if_due(lease)
            case RemoveTimer():
                await self.timers.disarm_timer(lease)
            case FinishTrip(trip_id=trip):
                await resume_trip(self.trips, trip)
        return action.name

    async def _end_lease(self, facts: LeaseFacts, action: EndLease) -> None:
        """End the lease. A limit that has passed holds even where that cannot be recorded.

        The end of the time for one trip's results is postponed while others use the machine.
        """
        if action.reason is EndReason.GRACE and await self.recorded.endings.postpone_if_used(facts):
            return
        try:
            await self.recorded.end_lease(facts.lease, action)
        except StorageError:
            if action.by is not None and action.by <= facts.now:
                await self.release_unrecorded(facts.lease.id)
            raise

    async def _renew_or_top_up(self, lease: Lease, policy: GuardPolicy, action: Renew) -> str:
        try:
            await self.recorded.renew_lease(lease, action)
        except RenewalUnfunded as error:
            if policy.top_up is None:
                raise
            await self.topups.request_top_up(lease.provider, policy.top_up, error.missing)
            return AskTopUp.name
        return action.name


@frozen
class UnfinishedActions:
    """Resumes interrupted actions of an earlier guard, and commands of the user that were killed."""

    log: ActionLog
    actions: RecordedActions
    trips: Trips
    leases: LeaseStore

    async def resume_unfinished(self, lease: Lease) -> list[tuple[str, str]]:
        """Resume the guard's own actions on ``lease``, then the user's renewals and releases.

        Return the action and the error of each; an empty one for success.
        """
        troubles = [
            (_get_action_name(record), await catch_failure(self.actions.resume_action(record)))
            for record in await self.log.list_lease_actions(lease.id)
            if record.is_open and not await self.actions.endings.cancel_if_outdated(record)
        ]
        for record in await self.log.store.list_trips(lease.id):
            old = self.log.clock.now() - record.started_at > MIN_TRIP_AGE
            if record.kind in ("renew", "release") and record.is_open and old:
                trouble = await catch_failure(resume_trip(self.trips, record.id))
                troubles.append((_get_action_name(record), trouble))
        return troubles

    async def finish_ended_leases(self) -> Mapping[str, str]:
        """Finish open actions whose lease is over; return the error message of each lease, by id."""
        troubles: dict[str, str] = {}
        for record in await self.log.list_open_actions():
            lease = await self.leases.find_lease(record.lease) if record.lease else None
            if lease is not None and lease.is_over:
                troubles[lease.id] = await catch_failure(self.actions.resume_action(record))
        return troubles


def _get_action_name(record: TripRecord) -> str:
    """Return what a trip of the guard, or a renewal or release of the user, does to its lease."""
    if record.kind == Renew.name or is_action(record, ActionKind.RENEW):
        return Renew.name
    return SaveResults.name if is_action(record, ActionKind.SAVE) else EndLease.name


@frozen(kw_only=True)
class GuardResult:
    """The result of one check of a lease, as reported by ``--once``. The next check is due after ``next_delay``.

    ``actions`` are the names of what was done, ``failed_actions`` of what was due and is not known to be done.
    """

    facts: LeaseFacts
    actions: Sequence[str]
    failed_actions: Sequence[str] = ()
    next_delay: timedelta
    failure: str = ""


@frozen
class GuardController:
    observer: GuardedLeaseObserver
    actions: GuardActions
    unfinished: UnfinishedActions
    warnings: GuardWarnings

    async def guard_lease(self, lease: Lease, provider: ObservedProvider) -> GuardResult:
        """Check one lease once. Raises only errors of the policy and of the Store."""
        memories = self.warnings.memories
        memory = await memories.get_memory(lease.id)
        unfinished = await self.unfinished.resume_unfinished(lease)
        facts, policy, unseen = await self.observer.observe_lease(lease, provider, memory)
        troubles = [trouble for _name, trouble in unfinished]
        troubles += [*unseen, await catch_failure(self.warnings.warn_of_time(facts))]
        done, failed = list[str](), [name for name, trouble in unfinished if trouble]
        for action in decide_actions(facts, policy):
            trouble = await catch_failure(self._perform_action(facts, policy, action, done))
            troubles.append(trouble)
            if trouble:
                failed.append(action.name)
        held = active_warnings(facts, policy)
        memory.warned_at = {key: at for key, at in memory.warned_at.items() if key in held}
        await memories.save_memory(lease.id)
        trouble = join_clauses(dict.fromkeys(filter(None, troubles)))
        failures = self.warnings.record_outcome(lease.id, trouble, lease.id)
        wait = next_check_delay(facts, policy)
        if trouble:
            wait = min(max(wait, BACKOFF_BASE), backoff_delay(failures, 4))
        return GuardResult(
            facts=facts,
            actions=tuple(done),
            failed_actions=tuple(dict.fromkeys(failed)),
            next_delay=wait,
            failure=trouble,
        )

    async def _perform_action(
        self, facts: LeaseFacts, policy: GuardPolicy, action: Action, done: list[str]
    ) -> None:
        done.append(await self.actions.perform_action(facts, policy, action))

    def forget_lease(self, lease: str) -> None:
        """Drop what is held in memory of a lease that is over."""
        self.warnings.forget_lease(lease)
        self.observer.meters.forget_lease(lease)

    async def clean_up(self) -> Mapping[str, str]:
        """Finish what is left over from ended leases, and warn about kept files that will be deleted.

        Return what could not be finished, by lease.
        """
        troubles = await self.unfinished.finish_ended_leases()
        for lease, trouble in troubles.items():
            self.warnings.record_outcome(lease, trouble, lease)
        await self.warnings.warn_of_kept_files(
            await self.unfinished.leases.list_leases(), self.observer.clocks
        )
        return {lease: trouble for lease, trouble in troubles.items() if trouble}
