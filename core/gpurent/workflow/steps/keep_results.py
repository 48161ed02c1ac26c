"""Step: keep a machine's files for results that could not be downloaded, and bring them back when the trip is resumed.

The cheapest form that keeps the files is used: shut down where the provider then keeps them free of charge, else
running, with the machine's timer armed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import TripSpec, UploadSpec
from gpurent.errors import GpurentError, LeaseError
from gpurent.locale import _
from gpurent.ports.store import TripStore
from gpurent.ports.system import ProviderClocks
from gpurent.roles.lease import SupportsRestart, SupportsStart, SupportsStop
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import Poller
from gpurent.workflow.timing.lease_budgets import find_budget_end
from gpurent.workflow.timing.machine_timer import MachineTimers
from gpurent.workflow.timing.provider_timers import ProviderTimers

KEEP_STEP = "keep-results"
STOP_INTERVAL = timedelta(seconds=6)
STOP_TIMEOUT = timedelta(minutes=10)
# By how much a machine's timer may fire beside the time for which it was armed.
TIMER_TOLERANCE = timedelta(minutes=2)


@frozen(kw_only=True)
class KeptResults:
    """The machine ``lease`` is kept until ``until`` at the latest, for its results."""

    lease: str
    until: datetime


async def find_kept_results(store: TripStore, trip_id: str, lease_id: str) -> KeptResults | None:
    """Return until when the trip keeps this machine for results; None if it does not."""
    records = await store.list_recorded_steps(trip_id, KEEP_STEP, KeptResults)
    return next((kept for _step, kept in reversed(records) if kept.lease == lease_id), None)


def find_stopper(plugins: Plugins, lease: Lease) -> SupportsStop | None:
    """Return the provider if it can shut the machine down with files kept free of charge, and start it again."""
    provider = plugins.provider_of(lease)
    price = lease.offer.stopped_price
    is_free = price is not None and price.is_known and not price.value
    starts = isinstance(provider, SupportsRestart) or (is_free and isinstance(provider, SupportsStart))
    return provider if isinstance(provider, SupportsStop) and starts else None


@frozen
class KeepResultsStep:
    leases: LeaseTracker
    plugins: Plugins
    locks: WorkLocks
    poller: Poller
    connections: Connections
    timers: MachineTimers
    provider_timers: ProviderTimers
    clocks: ProviderClocks

    async def keep_results(self, trip: TripContext, spec: TripSpec, lease_id: str) -> Lease:
        """Keep the files of the machine, for at most the trip's ``results_grace``; return the lease.

        A failure is a warning: the machine then runs on, and the guard ends it in time.
        """
        lease = await self.leases.try_refresh_lease(lease_id)
        kept = await self._record(trip, spec, lease)
        if lease.state is not LeaseState.READY:
            return lease
        stopper = find_stopper(self.plugins, lease)
        if stopper is not None:
            try:
                return await self._stop(lease, stopper)
            except GpurentError as error:
                trip.emit(EventKind.WARNING, error.message, lease=lease_id)
        await self._arm_timer(trip, lease, kept.until, keep_earlier=True)
        return await self.leases.get_lease(lease_id)

    async def arm_for_download(self, trip: TripContext, spec: TripSpec, lease_id: str) -> None:
        """Give the resumed download of kept results the whole grace period: arm or postpone the machine's timer."""
        lease = await self.leases.get_lease(lease_id)
        kept = await trip.store.list_recorded_steps(trip.id, KEEP_STEP, KeptResults)
        if kept and lease.state is LeaseState.READY:
            await self._arm_timer(trip, lease, await self._compute_end(trip, spec, lease), keep_earlier=False)

    async def postpone_end(self, trip: TripContext, spec: TripSpec, lease: Lease) -> bool:
        """Begin the grace period again; return whether that is possible: no limit of the trip has passed.

        The machine's timer is postponed if it is the one that was armed for the earlier end.
        """
        records = await trip.store.list_recorded_steps(trip.id, KEEP_STEP, KeptResults)
        until = await self._compute_end(trip, spec, lease)
        for step, kept in reversed(records):
            if kept.lease == lease.id and until > max(kept.until, self.clocks.clock_of(lease.provider).now()):
                await trip.replace_result(step, KeptResults(lease=lease.id, until=until))
                armed = await self.timers.find_deadline(lease)
                if armed is not None and abs(armed - kept.until) <= TIMER_TOLERANCE:
                    await self._arm_timer(trip, lease, until, keep_earlier=False)
                return True
        return False

    async def has_time_left(self, trip: TripContext, spec: TripSpec, lease: Lease) -> bool:
        """Return whether the machine may still be kept: no limit of the trip has passed."""
        kept = await find_kept_results(trip.store, trip.id, lease.id)
        until = kept.until if kept is not None else await self._compute_end(trip, spec, lease)
        return until > self.clocks.clock_of(lease.provider).now()

    async def _record(self, trip: TripContext, spec: TripSpec, lease: Lease) -> KeptResults:
        """Record the end of the grace period before anything is done; it counts from the first time."""
        known = await find_kept_results(trip.store, trip.id, lease.id)
        if known is not None:
            return known
        count = len(await trip.store.list_recorded_steps(trip.id, KEEP_STEP, KeptResults))
        kept = KeptResults(lease=lease.id, until=await self._compute_end(trip, spec, lease))
        return await trip.record_result(f"{count}.{KEEP_STEP}" if count else KEEP_STEP, kept)

    async def _compute_end(self, trip: TripContext, spec: TripSpec, lease: Lease) -> datetime:
        """Return the end of the grace period; the deadline, the paid term and the budget are never exceeded for it."""
        now = self.clocks.clock_of(lease.provider).now()
        funding = await trip.find_result("check-funds", Funding)
        ends = (
            now + spec.limits.results_grace,
            spec.limits.deadline_for(lease.started_at or now),
            lease.expires_at,
            find_budget_end(lease, funding.budget if funding else None, now),
        )
        return max(now, min(end for end in ends if end is not None))

    async def _stop(self, lease: Lease, stopper: SupportsStop) -> Lease:
        """Shut the machine down until the provider reports that it costs nothing any more."""

        async def ask() -> Lease | None:
            stopped = await self.leases.request_stop(await self.leases.get_lease(lease.id), stopper)
            is_done = isinstance(stopped, Lease) and (stopped.is_over or stopped.is_kept_free)
            return stopped if is_done and isinstance(stopped, Lease) else None

        async with self.locks.lock_lease(lease.id):
            stopped = await self.poller.poll(ask, interval=STOP_INTERVAL, timeout=STOP_TIMEOUT)
        if stopped is None:
            raise LeaseError(_("{lease} did not shut down").format(lease=lease.id), burning=(lease.id,))
        return stopped

    async def _arm_timer(
        self, trip: TripContext, lease: Lease, until: datetime, *, keep_earlier: bool
    ) -> None:
        armed = await self.timers.find_deadline(lease) if keep_earlier else None
        until = min(armed, until) if armed else until
        await self.provider_timers.set_deadline(lease.id, until, trip.id)
        try:
            async with self.connections.make_connection(lease.id, trip.id) as connection:
                await self.timers.arm_timer(connection, lease, until)
        except GpurentError as error:
            trip.emit(EventKind.WARNING, f"{error.message} {error.hint}".strip(), lease=lease.id)


def describe_ways_home(
    trip_id: str, upload: UploadSpec, lease: Lease, kept: KeptResults | None, *, can_restart: bool
) -> str:
    """Return where the results are, what that costs, and the commands to type."""
    lines = []
    if lease.state is LeaseState.KEPT or lease.is_kept_free:
        if lease.kept_until is not None:
            text = _(
                "{lease} is shut down and costs nothing; its files are kept until {until:%Y-%m-%d %H:%M} UTC."
            )
            lines.append(text.format(lease=lease.id, until=lease.kept_until))
        else:
            lines.append(
                _("{lease} is shut down and costs nothing; its files are kept.").format(lease=lease.id)
            )
    elif lease.is_stopped:
        text = _("{lease} is shut down; its files are kept and cost {price} a day until you release it.")
        lines.append(text.format(lease=lease.id, price=lease.current_price.cost(timedelta(days=1))))
    elif kept is not None:
        text = _(
            "{lease} keeps running for its results and costs money, until {until:%Y-%m-%d %H:%M} UTC at most."
        )
        lines.append(text.format(lease=lease.id, until=kept.until))
    else:
        lines.append(_("{lease} keeps running and costs money until you release it.").format(lease=lease.id))
    if lease.state is LeaseState.READY:
        folder = work_folder(trip_id, upload)
        lines += [
            _("See what is there: gpurent exec {lease} -- ls -la {folder}").format(
                lease=lease.id, folder=folder
            ),
            _("Download something else: gpurent pull {lease} {folder} --to FOLDER").format(
                lease=lease.id, folder=folder
            ),
        ]
    if lease.state is LeaseState.INTERRUPTED:
        text = _("Once it is back, download the results and release the machine: gpurent resume {trip}")
        lines.append(text.format(trip=trip_id))
    if lease.state is LeaseState.READY or can_restart:
        lines.append(
            _("Download the results and release the machine: gpurent resume {trip}").format(trip=trip_id)
        )
        lines.append(
            _("The same with other paths or another folder: gpurent resume {trip} --results PATH").format(
                trip=trip_id
            )
        )
    lines.append(_("Do without them: gpurent release {lease}").format(lease=lease.id))
    return "\n".join(lines)
