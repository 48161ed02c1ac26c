"""When a machine gets a timer: by its trip's limits, by ``[guard]``, or manually.

A trip with ``--for`` on a metered lease gets one at its expected end plus a margin, which is ``[guard] timer``. Without
``--for``, that setting is a dead man's switch: it counts from now and is extended as long as the job is watched. A
prepaid lease ends by itself, so it gets none unless requested. A trip's own deadline arms one on any machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Metered
from gpurent.domain.time_left import MachineTimer
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.errors import GpurentError, RemoteError, UsageError
from gpurent.locale import _
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.leases import require_running
from gpurent.workflow.timing.guard_policy import GuardPolicies, GuardPolicy
from gpurent.workflow.timing.machine_timer import MachineTimers
from gpurent.workflow.timing.provider_timers import ProviderTimers

TIMER_MARGIN = timedelta(minutes=30)


def format_timer(timer: MachineTimer) -> str:
    line = _("No timer is running on the machine.")
    if timer.until is not None:
        text = _("the machine's timer shuts it down at {until:%Y-%m-%d %H:%M} UTC")
        line = text.format(until=timer.until)
    if timer.provider_until is None:
        return line
    text = _("The provider itself shuts it down at {until:%Y-%m-%d %H:%M} UTC.")
    return f"{line}\n{text.format(until=timer.provider_until)}"


def compute_timer_deadline(
    lease: Lease, limits: TripLimits, policy: GuardPolicy, now: datetime
) -> datetime | None:
    """Return when the machine should shut itself down; None for no timer. The trip's deadline always applies."""
    last = limits.deadline_for(lease.started_at or now)
    first = _compute_policy_deadline(lease, limits, policy, now)
    return min(first, last) if first and last else last or first


def _compute_policy_deadline(
    lease: Lease, limits: TripLimits, policy: GuardPolicy, now: datetime
) -> datetime | None:
    if policy.timer_off or not isinstance(lease.offer.tariff, Metered):
        return None
    if limits.term is not None:
        return (
            (lease.started_at or now) + limits.term + (TIMER_MARGIN if policy.timer is None else policy.timer)
        )
    return now + policy.timer if policy.timer is not None else None


@frozen
class TripTimers:
    """The timers that trips arm automatically."""

    timers: MachineTimers
    provider_timers: ProviderTimers
    policies: GuardPolicies
    clocks: ProviderClocks
    events: EventEmitter

    async def arm_timer(
        self, trip: TripContext, leg: str, connection: ReconnectingConnection, spec: TripSpec
    ) -> None:
        """Arm a timer if the trip or the policy asks for one. Failing to do so does not end the trip."""
        lease = await connection.get_lease()
        policy = self._get_policy(lease, spec, trip.id)
        now = self.clocks.clock_of(lease.provider).now()
        until = compute_timer_deadline(lease, spec.limits, policy, now)
        by_policy = spec.limits.deadline_for(now) is None

        async def arm(until: datetime) -> MachineTimer:
            try:
                timer = await self.timers.arm_timer(
                    connection, lease, until, after_job=policy.after_job, by_policy=by_policy
                )
            except RemoteError as error:
                trip.emit(EventKind.WARNING, f"{error.message} {error.hint}", lease=lease.id)
                return MachineTimer()
            trip.emit(EventKind.TIMER, format_timer(timer), lease=lease.id)
            return timer

        if until is not None:
            await trip.step(f"{leg}.timer", MachineTimer, lambda: arm(until), quiet=True)
        elif isinstance(lease.offer.tariff, Metered) and await self.timers.find_deadline(lease) is None:
            text = _(
                "the machine has no timer: if you forget to release it, it runs on and costs money."
                " Set one: gpurent timer {lease} --for 5h"
            )
            trip.emit(EventKind.TIMER, text.format(lease=lease.id), lease=lease.id)
        armed = await self.timers.find_deadline(lease) if until is not None else None
        await self.provider_timers.set_deadline(lease.id, armed or until, trip.id)

    async def extend_if_due(self, connection: ReconnectingConnection, spec: TripSpec) -> None:
        """Extend a dead man's switch; called regularly by whoever watches. A deadline that the user set is kept.

        A timer that a policy armed but no longer wants is disarmed.
        """
        lease = await connection.get_lease()
        until = await self.timers.find_deadline(lease)
        policy = self._get_policy(lease, spec, connection.trip_id)
        if policy.timer_off and await self.timers.is_armed_by_policy(lease):
            await self.disarm_timer(connection)
        if spec.limits.term is not None or policy.timer is None or until is None:
            return
        now = self.clocks.clock_of(lease.provider).now()
        later = compute_timer_deadline(lease, spec.limits, policy, now)
        if until - now < policy.timer * 3 / 4 and later is not None and later > until:
            await self.timers.extend_timer(connection, lease, later, after_job=policy.after_job)
            await self.provider_timers.set_deadline(lease.id, later, connection.trip_id)

    async def disarm_timer(self, connection: ReconnectingConnection) -> None:
        timer = await self.timers.disarm_timer(connection)
        await self.provider_timers.lift_deadline(connection.lease_id, connection.trip_id)
        self.events.emit(
            EventKind.TIMER, format_timer(timer), trip=connection.trip_id, lease=connection.lease_id
        )

    def _get_policy(self, lease: Lease, spec: TripSpec, trip: str) -> GuardPolicy:
        return self.policies.get_policy(lease.provider, spec, lease=lease.id, trip=trip)


@frozen
class TimerCommands:
    """Manual control of the timer of one lease. Each call opens its own connection."""

    connections: Connections
    timers: MachineTimers
    provider_timers: ProviderTimers
    policies: GuardPolicies
    clocks: ProviderClocks
    events: EventEmitter

    async def get_timer(self, lease_id: str) -> MachineTimer:
        async with self._connect_to_running(lease_id) as connection:
            timer = await self.timers.get_timer(connection)
            return evolve(timer, provider_until=(await connection.get_lease()).stops_at)

    async def disarm_timer(self, lease_id: str) -> MachineTimer:
        async with self._connect_to_running(lease_id) as connection:
            stops_at = await self.provider_timers.lift_deadline(connection.lease_id)
            return evolve(await self.timers.disarm_timer(connection), provider_until=stops_at)

    async def arm_timer(self, lease_id: str, end: datetime | timedelta) -> MachineTimer:
        """Shut the machine down at ``end``, or that long from now, replacing an earlier or later deadline."""
        async with self._connect_to_running(lease_id) as connection:
            lease = await connection.get_lease()
            # Only now is the provider's clock known.
            now = self.clocks.clock_of(lease.provider).now()
            until = now + end if isinstance(end, timedelta) else end
            if until <= now:
                raise UsageError(_("that time is in the past"))
            stops_at = await self.provider_timers.set_deadline(lease.id, until)
            timer = await self.timers.arm_timer(
                connection, lease, until, after_job=self._get_after_job(lease)
            )
            return evolve(timer, provider_until=stops_at)

    async def extend_timer(self, lease_id: str, span: timedelta) -> MachineTimer:
        """Extend the deadline by ``span``; if no timer is running, arm one for ``span`` from now."""
        async with self._connect_to_running(lease_id) as connection:
            lease = await connection.get_lease()
            before = await self.timers.get_timer(connection)
            until = (before.until or self.clocks.clock_of(lease.provider).now()) + span
            # First, so that it does not act at the earlier time if the machine answers late.
            stops_at = await self.provider_timers.set_deadline(lease.id, until)
            timer = await self.timers.extend_timer(
                connection, lease, until, after_job=self._get_after_job(lease)
            )
            return evolve(timer, provider_until=stops_at)

    async def extend_after_renewal(self, before: Lease, after: Lease) -> None:
        """Extend the lease's timer by as much time as the lease was renewed for."""
        if (
            before.expires_at is None
            or after.expires_at is None
            or await self.timers.find_deadline(after) is None
        ):
            return
        more = after.expires_at - before.expires_at
        if more <= timedelta():
            return
        try:
            timer = await self.extend_timer(after.id, more)
        except GpurentError as error:
            # The renewal is paid; a timer that cannot be extended must not make it look like a failure.
            self.events.emit(EventKind.WARNING, f"{error.message} {error.hint}".strip(), lease=after.id)
        else:
            self.events.emit(EventKind.TIMER, format_timer(timer), lease=after.id)

    @asynccontextmanager
    async def _connect_to_running(self, lease_id: str) -> AsyncIterator[ReconnectingConnection]:
        async with self.connections.connect_to_lease(lease_id) as connection:
            require_running(await connection.get_lease())
            yield connection

    def _get_after_job(self, lease: Lease) -> timedelta | None:
        return self.policies.get_policy(lease.provider, lease=lease.id).after_job
